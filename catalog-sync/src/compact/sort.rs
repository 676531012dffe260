//! Rows sorted in bounded memory: DataFusion's external sort, which spills sorted runs to the disk and merges them.
//!
//! Each sort has memory of its own, beside that of what it reads and of who takes the rows. Runs go to the temporary directory
//! (`TMPDIR`) and are gone when the sort ends. Called by [`super::write`].

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

use super::order::{SortKey, SortOrder};
use super::read::BATCH_ROWS;

/// Rows on their way from those who read to those who write.
pub(super) type Rows = std::result::Result<RecordBatch, BrokenOff>;

/// There should be more rows.
#[derive(Debug, thiserror::Error)]
#[error("the rows break off")]
pub(super) struct BrokenOff;

/// How rows are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) order: SortOrder,
    /// The table's name for this order, if it has one.
    pub(super) order_id: Option<i32>,
    pub(super) memory_bytes: u64,
}

/// The least memory that a sort does its work in.
pub(super) const MEMORY_BYTES_MIN: u64 = 32 * 1024 * 1024;

/// The rows of a stream in the order of these keys. Rows of equal keys come in any order.
///
/// # Errors
/// The schema has not these columns, or the temporary directory cannot be written to; in the stream those of the rows, and that
/// the memory does not do.
pub(super) fn sorted(
    schema: SchemaRef,
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    keys: &[SortKey],
    memory_bytes: u64,
) -> Result<SendableRecordBatchStream> {
    let pool = GreedyMemoryPool::new(usize::try_from(memory_bytes).unwrap_or(usize::MAX));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()?;
    let config = SessionConfig::new().with_target_partitions(1).with_batch_size(BATCH_ROWS);
    let key = |key: &SortKey| Ok(PhysicalSortExpr::new(col(&key.column, &schema)?, key.options));
    let keys = keys.iter().map(key).collect::<Result<Vec<_>>>()?;
    let order = LexOrdering::new(keys).ok_or_else(|| DataFusionError::Plan("nothing to sort by".to_owned()))?;
    let rows: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), rows));
    let once = Once { schema: Arc::clone(&schema), rows: Mutex::new(Some(rows)) };
    let input = StreamingTableExec::try_new(schema, vec![Arc::new(once)], None, [], false, None)?;
    SortExec::new(order, Arc::new(input)).execute(0, SessionContext::new_with_config_rt(config, runtime).task_ctx())
}

/// The rows that come over a channel.
pub(super) fn received(rows: mpsc::Receiver<Rows>) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
    stream::unfold(rows, |mut rows| async {
        let next = rows.recv().await?;
        Some((next.map_err(|broken| DataFusionError::External(Box::new(broken))), rows))
    })
}

/// Sorts what comes over one channel into the other; ends early when nobody takes the rows any more.
///
/// # Errors
/// Those of [`sorted`] and its stream.
pub(super) async fn pass_sorted(
    schema: SchemaRef,
    sort: Sort,
    rows: mpsc::Receiver<Rows>,
    out: mpsc::Sender<Rows>,
) -> Result<()> {
    let mut sorted = sorted(schema, received(rows), sort.order.keys(), sort.memory_bytes)?;
    while let Some(rows) = sorted.next().await {
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                out.send(Err(BrokenOff)).await.ok();
                return Err(error);
            }
        };
        if out.send(Ok(rows)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// A stream that can be taken once.
struct Once {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        rows.unwrap_or_else(|| {
            let gone = DataFusionError::Internal("the rows were taken before".to_owned());
            let rows = stream::iter([Err(gone)]);
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::TryStreamExt;

    use super::super::order::OrderCheck;
    use super::super::rows::RowSummer;
    use super::*;
    use crate::datafile::testing::clicks;

    #[tokio::test]
    async fn many_times_more_rows_than_fit_the_memory_come_out_in_order_and_are_the_same() {
        let batch = clicks(8_000);
        let schema = batch.schema();
        let batches = 40;
        let order = SortOrder::parse("user_id, event_id DESC").unwrap();
        let memory = MEMORY_BYTES_MIN;
        assert!(batch.get_array_memory_size() as u64 * batches > 3 * memory, "it would fit");
        let input = stream::iter((0..batches).map(move |_| Ok(batch.clone())));
        let mut rows = sorted(Arc::clone(&schema), input, order.keys(), memory).unwrap();
        let (mut check, mut summer) = (OrderCheck::new(&order, &schema).unwrap(), RowSummer::new(&schema));
        while let Some(batch) = rows.try_next().await.unwrap() {
            assert!(check.is_in_order(&batch).unwrap());
            summer.add(&batch).unwrap();
        }
        let mut expected = RowSummer::new(&schema);
        (0..batches).for_each(|_| expected.add(&clicks(8_000)).unwrap());
        assert!(summer.sum() == expected.sum());
    }

    #[tokio::test]
    async fn rows_that_break_off_are_an_error_and_not_the_end() {
        let batch = clicks(10);
        let schema = batch.schema();
        let broken: [Result<RecordBatch>; 2] = [Ok(batch), Err(DataFusionError::Execution("gone".to_owned()))];
        let rows = sorted(schema, stream::iter(broken), SortOrder::by_session().keys(), MEMORY_BYTES_MIN).unwrap();
        assert!(rows.try_collect::<Vec<_>>().await.is_err());
    }
}
