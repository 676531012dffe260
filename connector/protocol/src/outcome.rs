//! What became of a commit: of the one POST, and of a batch.

use crate::halt::Halt;
use crate::position::Position;

/// What the one POST of a commit led to. Anything but [`Outcome::Committed`] is resolved by a fresh load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The catalog says that it is in.
    Committed,
    /// A requirement did not hold: the table has moved; perhaps it was this very commit, sent twice on the way.
    Conflict(String),
    /// Nobody knows: no answer, an answer that cannot be read, or a server error, which can come after the fact.
    Unknown(String),
    /// The catalog says no for a reason that a retry does not change.
    Refused(String),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Landed {
    /// It is in the table, exactly once; the table's position as last seen.
    Committed(Position),
    /// It is not, and must not be sent again: somebody else moved the table. Go on from the table's position.
    Fenced(String),
    /// Nothing may be committed until somebody has looked.
    Halt(Halt),
    /// It could not be brought about in the time given. It may still land; begin again from the table's position.
    Failed(String),
}
