//! Reasons to stop. A halt is never skipped over: the task ends, says its code, and waits for an operator.
//!
//! Each code has a section in `connector/docs/RUNBOOK.md`: what it means, how to check, how to cure.

use crate::offset::Offset;

/// Why nothing more may be committed until somebody has looked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Halt {
    /// Kafka no longer has records that the table has not got.
    #[error(
        "{topic}-{partition}: the table stands at offset {expected}, but Kafka's first is {found}: {count} offsets are gone"
    )]
    Gap {
        /// Topic name.
        topic: String,
        /// Kafka partition.
        partition: i32,
        /// Where the table stands.
        expected: Offset,
        /// Kafka's first offset.
        found: Offset,
        /// Offsets lost.
        count: u64,
    },
    /// The topic is not the one that the table was fed from.
    #[error("topic {topic} has id {found}, but the table was fed from a topic with id {expected}")]
    TopicRecreated {
        /// Topic name.
        topic: String,
        /// Identity in the table.
        expected: String,
        /// Identity in Kafka.
        found: String,
    },
    /// Kafka has fewer records than the table has read.
    #[error("{topic}-{partition}: the table stands at offset {expected}, but Kafka ends at {found}")]
    PositionAhead {
        /// Topic name.
        topic: String,
        /// Kafka partition.
        partition: i32,
        /// The topic's epoch in the table. The table can come to stand at the same offset again, in a later epoch.
        epoch: u32,
        /// Where the table stands.
        expected: Offset,
        /// Kafka's end.
        found: Offset,
    },
    /// The table was dropped and made again, or is gone.
    #[error("the table has uuid {found}, but the batch was read for the table {expected}")]
    TableReplaced {
        /// Identity when the task began.
        expected: String,
        /// Identity now; `none` when there is no such table.
        found: String,
    },
    /// The position was written with a later snapshot than the table shows: somebody rolled the table back.
    #[error(
        "the position was written with sequence number {written}, but the table went back to {current}: it was rolled back"
    )]
    TableRolledBack {
        /// Sequence number in the position.
        written: i64,
        /// Sequence number of the snapshot that the table went back to.
        current: i64,
    },
    /// The position cannot be understood.
    #[error("{0}")]
    PositionUnreadable(String),
    /// The table's columns or partition spec cannot hold the event.
    #[error("the table does not fit: {0}")]
    SchemaIncompatible(String),
}

impl Halt {
    /// Every code, for documentation and for the test that each has a section in the runbook.
    pub const CODES: [&'static str; 7] = [
        "gap",
        "topic-recreated",
        "position-ahead",
        "table-replaced",
        "table-rolled-back",
        "position-unreadable",
        "schema-incompatible",
    ];

    /// What an operator repeats, letter by letter, to have the table's position changed so that this halt ends
    /// ([`crate::overrule`]). None where nothing about the position has to change: alter or restore the table, restart.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        let code = self.code();
        match self {
            Self::Gap { topic, partition, expected, found, .. } => {
                Some(format!("{code}:{topic}-{partition}:{expected}..{found}"))
            }
            Self::PositionAhead { topic, partition, epoch, expected, found } => {
                Some(format!("{code}:{topic}-{partition}@{epoch}:{expected}..{found}"))
            }
            Self::TopicRecreated { topic, expected, found } => Some(format!("{code}:{topic}:{expected}..{found}")),
            Self::TableRolledBack { written, current } => Some(format!("{code}:{written}..{current}")),
            Self::PositionUnreadable(_) => Some(code.to_owned()),
            Self::TableReplaced { .. } | Self::SchemaIncompatible(_) => None,
        }
    }

    /// Stable name, and anchor in the runbook.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::TopicRecreated { .. } => "topic-recreated",
            Self::PositionAhead { .. } => "position-ahead",
            Self::TableReplaced { .. } => "table-replaced",
            Self::TableRolledBack { .. } => "table-rolled-back",
            Self::PositionUnreadable(_) => "position-unreadable",
            Self::SchemaIncompatible(_) => "schema-incompatible",
        }
    }
}
