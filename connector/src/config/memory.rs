//! How the one memory budget of a connector, `memory.max.bytes`, is divided. Pure.
//!
//! Every task gets the same share, whether it has work or not, so that a share holds whatever the others do. Of a share
//!
//! ```text
//!   1/4  the open batch                                                 [`MemoryConfig::batch_bytes`]
//!   1/4  the batch on its way: encoded, uploaded, committed
//!   1/4  what Kafka has sent and nobody has taken yet                   [`MemoryConfig::queue_bytes`], `fetch_bytes`
//!   1/4  work: rows in the decoder, rows that are moved or encoded, and what the allocator has not given back yet
//! ```
//!
//! What the process needs without any record (code, threads, connections) is not part of it, nor is what is kept of each file
//! until its commit (8 KiB), which cannot be made less by sealing earlier: that would make more files. Read by the consumer's
//! settings and by the task.

use super::ConnectorConfig;

/// The smallest share that a task can work with.
pub const SHARE_BYTES_MIN: u64 = 16 << 20;

/// librdkafka's `message.max.bytes`, below which `fetch.max.bytes` cannot be.
const MESSAGE_BYTES: u64 = 1_000_000;

/// The memory of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryConfig {
    share: u64,
}

impl MemoryConfig {
    /// The share of each of `tasks` in a budget of `bytes_max`.
    #[must_use]
    pub fn divide(bytes_max: u64, tasks: u32) -> Self {
        Self { share: bytes_max / u64::from(tasks.max(1)) }
    }

    /// Bytes that a batch may hold; there are two at most, one open and one on its way.
    #[must_use]
    pub fn batch_bytes(&self) -> u64 {
        self.share / 4
    }

    /// Bytes of columns in the decoder, beyond which they go to the batch.
    #[must_use]
    pub fn decoder_bytes(&self) -> u64 {
        self.share / 32
    }

    /// Bytes of records fetched ahead. The client holds as much again for its own book-keeping.
    #[must_use]
    pub fn queue_bytes(&self) -> u64 {
        // More would not be faster, and librdkafka counts in 31 bits.
        (self.share / 16).min(1 << 30)
    }

    /// Records fetched ahead: the client's book-keeping is some 500 bytes a record, however small it is.
    #[must_use]
    pub fn queue_records(&self) -> u64 {
        self.queue_bytes() / 512
    }

    /// Bytes of one of Kafka's answers, which comes on top of a queue that was not quite full. They are compressed, and
    /// unpacked when they arrive. The client wants room for a request of its `message.max.bytes`.
    #[must_use]
    pub fn fetch_bytes(&self) -> u64 {
        (self.share / 64).clamp(MESSAGE_BYTES, 16 << 20)
    }
}

impl ConnectorConfig {
    /// Bytes that a batch may hold: `flush.bytes.max`, or what the budget allows.
    #[must_use]
    pub fn batch_bytes_max(&self) -> u64 {
        self.flush.bytes_max.map_or(self.memory.batch_bytes(), |max| max.min(self.memory.batch_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_all_tasks_fit_into_the_budget() {
        for (budget, tasks) in [(192 << 20, 1), (256 << 20, 4), (1 << 30, 64), (1 << 36, 1)] {
            let one = MemoryConfig::divide(budget, tasks);
            // An answer is four times as large when it is unpacked.
            let kafka = 2 * one.queue_bytes() + 4 * one.fetch_bytes();
            let held = 2 * one.batch_bytes() + kafka + 2 * one.decoder_bytes();
            assert!(held * u64::from(tasks) <= budget, "{held} of {} for each of {tasks}", one.share);
            assert!(one.queue_records() > 0);
        }
    }
}
