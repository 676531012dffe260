//! What an operator, or an accident, does to Kafka: records deleted, a log put back from a copy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::Kafka;
use crate::servers;
use crate::stack::Stack;
use crate::wait::{Look, until};

/// Longest wait for a broker's answer.
const ANSWER: Duration = Duration::from_secs(20);

impl Kafka {
    /// Deletes the records of a partition before an offset, as retention does.
    ///
    /// # Errors
    /// The broker refuses, or the log begins elsewhere afterwards.
    pub async fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(before))?;
        admin.delete_records(&offsets, &AdminOptions::new().operation_timeout(Some(ANSWER))).await?;
        let consumer: BaseConsumer = self.config().set("group.id", "it").create()?;
        let (start, _) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
        ensure!(start == before, "{topic}-{partition} begins at {start} after records before {before} were deleted");
        Ok(())
    }
}

/// A copy of a partition's log, to be put back later.
#[derive(Debug)]
pub struct LogCopy {
    log: PathBuf,
    copy: PathBuf,
}

impl LogCopy {
    /// Copies the log of a partition that nobody writes to at the moment.
    ///
    /// # Errors
    /// It is not where the servers of `compose/local` keep it.
    pub fn take(stack: &Stack, topic: &str, partition: i32, into: &Path) -> Result<Self> {
        let name = format!("{topic}-{partition}");
        let copy = Self { log: servers::data_folder(stack, "kafka")?.join(&name), copy: into.join(&name) };
        copy_folder(&copy.log, &copy.copy)?;
        Ok(copy)
    }

    /// Stops the broker, puts the copy in the place of the log, and starts the broker again.
    ///
    /// # Errors
    /// The broker does not stop or start, or the folder cannot be written.
    pub async fn put_back(&self) -> Result<()> {
        servers::stop("kafka").await?;
        let put =
            std::fs::remove_dir_all(&self.log).map_err(Into::into).and_then(|()| copy_folder(&self.copy, &self.log));
        // The other tests need the broker, whatever became of the log.
        servers::start("kafka").await?;
        put
    }
}

impl Kafka {
    /// Waits until a partition has a leader, and returns where its log ends.
    ///
    /// # Errors
    /// It has none in time.
    pub async fn end_of(&self, topic: &str, partition: i32) -> Result<i64> {
        until(&format!("{topic}-{partition} has a leader"), ANSWER, async || {
            Ok(match self.ends(topic) {
                Ok(ends) => ends.get(&partition).map_or(Look::NotYet("no leader".to_owned()), |end| Look::Done(*end)),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
