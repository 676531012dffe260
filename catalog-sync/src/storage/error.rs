//! What can go wrong with an object, in words that are safe to log.
//!
//! An S3 server may echo the access key and the signed text in its answer. The answers are therefore cut down to code
//! and message, and known credentials are blanked, before they become part of an error. No source error is kept, since
//! whoever prints the chain would print the answer.

use crate::secret::Secret;

/// A failed operation on the object store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The location cannot be understood or has no known scheme.
    #[error("location {location:?} is not usable: {reason}")]
    Location {
        /// The location as given.
        location: String,
        /// Why not.
        reason: String,
    },
    /// The location is in another bucket or on another kind of store than this one.
    #[error("location {location:?} is not on the store {store}; open a store for it")]
    OtherStore {
        /// The location as given.
        location: String,
        /// The root of this store.
        store: String,
    },
    /// The settings do not make an object store.
    #[error("object store for {location:?} cannot be set up: {reason}; check the s3.* settings")]
    Settings {
        /// The location the store was opened for.
        location: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing is at the location.
    #[error("no object at {location:?}")]
    NotFound {
        /// The location.
        location: String,
    },
    /// Something else is at the location already; nothing was written.
    #[error("another object is already at {location:?}; it was left as it is")]
    Exists {
        /// The location.
        location: String,
    },
    /// Refused for lack of rights or with wrong credentials.
    #[error(
        "access to {location:?} denied while trying to {action} it: {reason}; check the credentials and the policy"
    )]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The location.
        location: String,
        /// The server's code and message.
        reason: String,
    },
    /// The store did not do it, after all retries.
    #[error("cannot {action} {location:?}: {reason}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// The location.
        location: String,
        /// The server's or the operating system's message.
        reason: String,
    },
}

impl StorageError {
    /// Translates an error of the object store. `secrets` are blanked in its text.
    pub(super) fn new(action: &'static str, location: &str, error: &object_store::Error, secrets: &[Secret]) -> Self {
        use object_store::Error as E;
        let location = location.to_owned();
        match error {
            E::NotFound { .. } => Self::NotFound { location },
            E::AlreadyExists { .. } => Self::Exists { location },
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Self::Denied { action, location, reason: safe_text(&error.to_string(), secrets) }
            }
            _ => Self::Failed { action, location, reason: safe_text(&error.to_string(), secrets) },
        }
    }

    /// Whether the object is simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// The text without an XML answer (only its code and message) and without the given secrets.
pub(super) fn safe_text(text: &str, secrets: &[Secret]) -> String {
    let mut safe = match text.find("<?xml").or_else(|| text.find("<Error>")) {
        None => text.to_owned(),
        Some(start) => {
            let (head, answer) = text.split_at(start);
            let code = element(answer, "Code").unwrap_or("no code");
            let message = element(answer, "Message").unwrap_or("no message");
            format!("{head}{code}: {message}")
        }
    };
    for secret in secrets.iter().filter(|secret| !secret.expose().is_empty()) {
        safe = safe.replace(secret.expose(), "[hidden]");
    }
    safe
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::safe_text;
    use crate::secret::Secret;

    #[test]
    fn an_answer_that_echoes_the_key_is_cut_to_code_and_message() {
        let answer = "403: <?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>check it</Message>\
                      <AWSAccessKeyId>AKIA1</AWSAccessKeyId><StringToSign>text</StringToSign></Error>";
        assert_eq!(safe_text(answer, &[]), "403: SignatureDoesNotMatch: check it");
    }

    #[test]
    fn a_known_secret_is_blanked_wherever_it_stands() {
        let secrets = [Secret::new("AKIA1"), Secret::new("")];
        assert_eq!(safe_text("no such key AKIA1 here", &secrets), "no such key [hidden] here");
    }
}
