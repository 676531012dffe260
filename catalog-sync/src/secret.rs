//! A value that must never be seen: tokens, keys, passwords.
//!
//! There is no `Display` and no `Serialize`; `Debug` prints a placeholder; the memory is wiped on drop. The only way
//! to the text is [`Secret::expose`], so that every use can be found by searching for it. Used by the catalog client
//! and by the connector's configuration.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the call that needs it and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_hides_the_text() {
        let printed = format!("{:?}", Some(Secret::new("hunter2")));
        assert_eq!(printed, "Some([hidden])");
    }
}
