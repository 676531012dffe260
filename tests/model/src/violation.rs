//! Promises that can be broken, and the steps that break them.

use std::fmt;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// An offset is live twice.
    Twice,
    /// The current snapshot refers to a file that was deleted.
    Dangling,
    /// A file that the current snapshot refers to was written again, with other content.
    Overwritten,
    /// The position went back.
    Backwards,
    /// The rows are not those that the position tells of: a record was skipped, or one is there that should not be.
    RowsDiffer,
    /// A writer was told `Committed`, and its rows are not there.
    NotThere,
    /// Everybody is at rest, and a record is missing.
    Missing,
    /// No end can be reached from here any more.
    Stuck,
    /// The position could not be read, or an operator's word was refused.
    Unreadable(String),
    /// The committer did something that the world does not know.
    Round(String),
    /// The world is larger than there is room for.
    TooLarge,
}

impl Violation {
    /// Whether it is of the same kind.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// One step, for the trace: who, what, how many. A and B are writers, C and D compactors, S the sweeper, K is Kafka, O an
/// operator, F anybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step(pub char, pub &'static str, pub u8);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)?;
        if self.2 > 0 { write!(f, "({})", self.2) } else { Ok(()) }
    }
}
