//! The protocol's rules, each of which can be switched off: with any of them off, some seed must break a promise. So the
//! oracles are shown to see.
//!
//! The protocol's code has no switches. What a rule decides is replaced around the machines: they are fed altered facts,
//! or a step of the shell is left out. Where that happens is said at each rule.

use std::fmt;
use std::str::FromStr;

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Position equality. Off: a batch that would be fenced is shown a position where it fits (`committer`).
    R1,
    /// The base assertion. Off: the catalog asks for the uuid only (`catalog`).
    R2,
    /// The position as a table property. Off: it is in the summary only (`catalog`).
    R3,
    /// Three outcomes. Off: no answer counts as committed (`committer`).
    R5,
    /// A fresh look after conflict and unknown. Off: only the base is looked up, the decision is kept (`committer`).
    R6,
    /// No file is deleted after a POST. Off: those of a batch whose fate is unknown are (`committer`).
    R7,
    /// Maintenance looks at its inputs again. Off: it sends what it planned, on whatever base there is (`maintenance`).
    R8,
    /// The sweep epoch. Off: the table shows the epoch of the batch (`committer`).
    R9,
    /// Halts. Off: a gap and another topic are passed over without a word of an operator (`worker`).
    R10,
    /// The table's position is the truth. Off: reading begins at the group's offsets, else at the end (`shell`).
    R11,
    /// Committed records only. Off: aborted ones are read as well (`kafka`).
    R12,
    /// A file's name is unique to the attempt. Off: it follows from the offsets, and a replay overwrites (`flight`).
    R13,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::R1,
        Self::R2,
        Self::R3,
        Self::R5,
        Self::R6,
        Self::R7,
        Self::R8,
        Self::R9,
        Self::R10,
        Self::R11,
        Self::R12,
        Self::R13,
    ];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|rule| rule.to_string().eq_ignore_ascii_case(text));
        named.ok_or_else(|| format!("{text} is none of {:?}", Self::ALL))
    }
}
