//! Why a record did not become a row.
//!
//! The codes are part of the public contract: they are header values in the dead letter topic, metric labels and rows of
//! the table in the README. A code is never renamed or reused; a new kind of fault gets a new code. The detail is for
//! people, may change at any time, and never repeats more than [`ECHO_BYTES_MAX`] bytes of the record, since records hold
//! personal data and logs are read by many. The decoder makes rejects; the connector routes them.

use std::borrow::Cow;
use std::fmt;

/// How many bytes of a record a reject may repeat in its detail, and how many of an unknown key in its field.
pub const ECHO_BYTES_MAX: usize = 64;

/// A record that cannot become a row: the reason, and the field if one field is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Reject {
    /// The stable reason.
    pub code: RejectCode,
    /// The field at fault: a column's name, or the (cut) key of the record for `unknown_field` and `duplicate_key`.
    pub field: Option<Cow<'static, str>>,
    /// One line for people: what was found and what was wanted.
    pub detail: String,
}

impl Reject {
    /// A reject of the record as a whole.
    pub(crate) fn new(code: RejectCode, detail: impl Into<String>) -> Self {
        Self { code, field: None, detail: detail.into() }
    }

    /// A reject because of one column.
    pub(crate) fn at(code: RejectCode, field: &'static str, detail: impl Into<String>) -> Self {
        Self { code, field: Some(Cow::Borrowed(field)), detail: detail.into() }
    }

    /// A reject because of a key that only the record knows.
    pub(crate) fn at_key(code: RejectCode, key: &str, detail: impl Into<String>) -> Self {
        Self { code, field: Some(Cow::Owned(excerpt(key))), detail: detail.into() }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: {}: {}", self.code, field, self.detail),
            None => write!(f, "{}: {}", self.code, self.detail),
        }
    }
}

/// The beginning of a piece of the record, safe to print: at most [`ECHO_BYTES_MAX`] bytes of it, cut at a character, control
/// characters escaped.
pub(crate) fn excerpt(text: &str) -> String {
    let cut = text.floor_char_boundary(ECHO_BYTES_MAX);
    let mut out: String = text[..cut].escape_debug().collect();
    if cut < text.len() {
        out.push('…');
    }
    out
}

/// Declares the codes once: variant, name in headers and metrics, meaning.
macro_rules! reject_codes {
    ($($variant:ident $name:literal $doc:literal),+ $(,)?) => {
        /// The stable reason of a reject.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum RejectCode {
            $(#[doc = $doc] $variant,)+
        }

        impl RejectCode {
            /// Every code, in the order in which a record is checked.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in dead letter headers and metric labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What the code means, in one sentence.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$variant => $doc),+ }
            }
        }
    };
}

reject_codes! {
    Tombstone "tombstone" "The record has no value; a click cannot be deleted by key.",
    TooLarge "too_large" "The value is longer than the limit for a record.",
    Empty "empty" "The value has no bytes, or only white space.",
    Bom "bom" "The value begins with a byte order mark, which JSON forbids.",
    InvalidUtf8 "invalid_utf8" "The value is not UTF-8.",
    NotJson "not_json" "The value is not JSON: cut off, plain text, single quotes, half of a surrogate pair.",
    NotAnObject "not_an_object" "The value is JSON, but an array, a string, a number, a boolean or null.",
    TrailingData "trailing_data" "Something follows the object: a second object, or garbage.",
    TooDeep "too_deep" "Objects or arrays are nested deeper than the limit.",
    DuplicateKey "duplicate_key" "A key occurs twice, so that the record says two things at once.",
    UnknownField "unknown_field" "A key is no field of a click, and the policy forbids such keys.",
    MissingField "missing_field" "A required field is absent, null or an empty string.",
    WrongType "wrong_type" "The value has a type that the column cannot hold exactly.",
    OutOfRange "out_of_range" "The number does not fit 32 bits.",
    BadTimestamp "bad_timestamp" "The text is no ISO-8601 time of the accepted form.",
    TimestampOutOfRange "timestamp_out_of_range" "The time lies outside the years that the policy accepts.",
    UnknownEventType "unknown_event_type" "The event type is not in the allow-list; it would make a partition of its own.",
    TooLong "too_long" "A string is longer than the limit for one column.",
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_snake_case() {
        let names: std::collections::BTreeSet<_> = RejectCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), RejectCode::ALL.len());
        assert!(
            names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit()))
        );
    }

    #[test]
    fn display_is_code_field_detail() {
        let reject = Reject::at(RejectCode::WrongType, "screen_width", "a boolean");
        assert_eq!(reject.to_string(), "wrong_type: screen_width: a boolean");
        assert_eq!(Reject::new(RejectCode::Empty, "no bytes").to_string(), "empty: no bytes");
    }

    #[test]
    fn excerpt_cuts_at_a_character_and_escapes_line_ends() {
        assert_eq!(excerpt("a\nb"), "a\\nb");
        let long = "é".repeat(40);
        assert_eq!(excerpt(&long), format!("{}…", "é".repeat(32)));
        assert_eq!(excerpt(&format!("x{long}")), format!("x{}…", "é".repeat(31)));
    }
}
