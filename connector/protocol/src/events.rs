//! What a task is told and what it says in answer: the alphabet of the machine in [`crate::task`].
//!
//! Plain data. Every question (`Locate`, `Survey`, `Launch`) names the event that answers it.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::Proposal;
use crate::flush::Fill;
use crate::halt::Halt;
use crate::offset::Offset;
use crate::outcome::Landed;
use crate::position::Position;
use crate::start::LogRange;

/// A partition of Kafka: topic and number.
pub type TopicPartition = (String, i32);

/// Why something that a task needs could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Somebody has to look.
    Halt(Halt),
    /// A new task may do better.
    Passing(String),
}

/// What table and log say about the assigned partitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bearings {
    /// How far the table has got.
    pub position: Position,
    /// The table's last orphan sweep.
    pub sweep_epoch: String,
    /// Topic -> identity.
    pub ids: BTreeMap<String, String>,
    /// Kafka's log of each assigned partition.
    pub logs: BTreeMap<TopicPartition, LogRange>,
}

/// What Kafka says when a batch is about to be sealed; asked after the last record of the batch was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Where the consumer stands in each partition that it has read from.
    pub reached: BTreeMap<TopicPartition, i64>,
    /// Topic -> identity, of every topic in the batch.
    pub ids: BTreeMap<String, String>,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The group gave these partitions; it waits until they are begun to be read.
    Assigned(BTreeSet<TopicPartition>),
    /// The group wants all partitions back; it waits until they are released.
    Revoked,
    /// The partitions are another's already.
    Lost,
    /// Answer to [`Effect::Locate`].
    Located(Result<Bearings, Obstacle>),
    /// Time to look at the open batch: what it holds.
    Look(Fill),
    /// Answer to [`Effect::Survey`].
    Surveyed(Result<Survey, Obstacle>),
    /// The verdict on the batch with this number.
    Landed(u64, Landed),
    /// Kafka does not have the offsets that were asked for.
    OffsetsMissing,
    /// The time for draining is over.
    DrainOver,
    /// Commit what was read, and end.
    Stop,
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Load the table's position, then ask Kafka for the topic ids, then for the logs; answer with [`Event::Located`]. In this
    /// order: a log that is older than the position looks cut, and a log that is older than the id may be another topic's.
    Locate(BTreeSet<TopicPartition>),
    /// Read these partitions from these offsets.
    Assign(Vec<(TopicPartition, Offset)>),
    /// Release all partitions.
    Release,
    /// Drop the rows of the open batch, and do not wait for the one on its way.
    Drop,
    /// Ask Kafka where the consumer stands, and who the topics of the open batch are; answer with [`Event::Surveyed`]. No
    /// record may be taken from the consumer before the answer is in: it would not be booked, and be passed over.
    Survey,
    /// Close the open batch: its rows, with these offsets, go their way; answer with [`Event::Landed`].
    Launch(u64, Proposal),
    /// Stop reading; the group is not left.
    Pause,
    /// Read on.
    Resume,
    /// Tell Kafka how far the table is; for lag tools.
    Acknowledge(Position),
    /// Wait a little, longer for a higher number, before the next effect: another writer is at work.
    Backoff(u32),
    /// The task has ended.
    End(End),
}

/// Why a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was told to.
    Stopped,
    /// It waits for an operator.
    Halted(Halt),
    /// It failed for good: a record that cannot become a row and may not be set aside, or a configuration error.
    Failed(String),
    /// It failed for now; a new task may do better.
    Retry(String),
}

impl From<Obstacle> for End {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::Halt(halt) => Self::Halted(halt),
            Obstacle::Passing(why) => Self::Retry(why),
        }
    }
}
