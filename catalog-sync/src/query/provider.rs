//! An Iceberg table as a DataFusion table.
//!
//! Planning reads the manifests and drops the files that the filters exclude; then each task reads its share of the files as
//! a stream, projected columns only. Columns follow the table's current schema: one added after a file was written is NULL
//! in that file's rows. Filters are only a hint here: DataFusion applies them again to every row.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::expr::Predicate;
use iceberg::scan::FileScanTask;
use iceberg::table::Table;

use super::predicate::to_predicate;

/// One table at the snapshot that was current when it was loaded.
#[derive(Debug)]
pub(super) struct IcebergTable {
    table: Table,
    schema: SchemaRef,
}

impl IcebergTable {
    pub(super) fn new(table: Table) -> iceberg::Result<Self> {
        let schema = Arc::new(schema_to_arrow_schema(table.metadata().current_schema())?);
        Ok(Self { table, schema })
    }

    /// The files to read, each told to yield the columns of `schema` (the first column when there are none).
    async fn plan_files(&self, schema: &Schema, filters: &[Expr]) -> iceberg::Result<Vec<FileScanTask>> {
        let mut scan = self.table.scan().select_empty();
        let known = |name: &str| {
            self.table.metadata().current_snapshot().is_some_and(|snapshot| {
                snapshot.schema(self.table.metadata()).is_ok_and(|schema| schema.field_by_name(name).is_some())
            })
        };
        if let Some(predicate) = filters.iter().filter_map(|filter| to_predicate(filter, &known)).reduce(Predicate::and)
        {
            scan = scan.with_filter(predicate);
        }
        let mut tasks: Vec<FileScanTask> = scan.build()?.plan_files().await?.try_collect().await?;
        let current = self.table.metadata().current_schema();
        let wanted = schema.fields().iter().map(|field| field.name().as_str());
        let mut field_ids: Vec<i32> = wanted.filter_map(|name| current.field_id_by_name(name)).collect();
        if field_ids.is_empty() {
            field_ids.extend(current.as_struct().fields().first().map(|field| field.id));
        }
        for task in &mut tasks {
            task.schema = Arc::clone(current);
            task.project_field_ids.clone_from(&field_ids);
            // The reader would test rows against it column by column; DataFusion does that anyway.
            task.predicate = None;
        }
        Ok(tasks)
    }
}

#[async_trait]
impl TableProvider for IcebergTable {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let known = |name: &str| self.schema.field_with_name(name).is_ok();
        Ok(filters
            .iter()
            .map(|filter| match to_predicate(filter, &known) {
                Some(_) => TableProviderFilterPushDown::Inexact,
                None => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let tasks = self.plan_files(&schema, filters).await.map_err(external)?;
        let shares = share_out(tasks, state.config().target_partitions());
        let partitions = shares.into_iter().map(|tasks| {
            let share = Share { table: self.table.clone(), schema: Arc::clone(&schema), tasks };
            Arc::new(share) as Arc<dyn PartitionStream>
        });
        let plan = StreamingTableExec::try_new(Arc::clone(&schema), partitions.collect(), None, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// Deals files out, the largest first, each to the task with the fewest bytes so far; always at least one share.
fn share_out(mut tasks: Vec<FileScanTask>, shares: usize) -> Vec<Vec<FileScanTask>> {
    let mut dealt: Vec<(u64, Vec<FileScanTask>)> = Vec::new();
    dealt.resize_with(shares.min(tasks.len()).max(1), Default::default);
    tasks.sort_by_key(|task| std::cmp::Reverse(task.length));
    for task in tasks {
        if let Some((bytes, share)) = dealt.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += task.length;
            share.push(task);
        }
    }
    dealt.into_iter().map(|(_, share)| share).collect()
}

/// The files that one task of the query reads, one after the other.
struct Share {
    table: Table,
    schema: SchemaRef,
    tasks: Vec<FileScanTask>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("files", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl Share {
    /// Row counts straight from the manifests, when no column is asked for and no delete file takes rows away.
    fn counts(&self) -> Option<Vec<u64>> {
        let counted = |task: &FileScanTask| task.record_count.filter(|_| task.deletes.is_empty());
        if self.schema.fields().is_empty() { self.tasks.iter().map(counted).collect() } else { None }
    }
}

impl PartitionStream for Share {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        if let Some(counts) = self.counts() {
            let batches = stream::iter(counts).map(move |rows| columns_of(&schema, None, rows as usize));
            return Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches));
        }
        let tasks = stream::iter(self.tasks.clone().into_iter().map(Ok)).boxed();
        let reader = self
            .table
            .reader_builder()
            .with_data_file_concurrency_limit(1)
            .with_batch_size(ctx.session_config().batch_size())
            .build();
        let batches = match reader.read(tasks) {
            Ok(read) => read
                .stream()
                .map(move |batch| {
                    let batch = batch.map_err(external)?;
                    columns_of(&schema, Some(&batch), batch.num_rows())
                })
                .boxed(),
            Err(error) => stream::once(async { Err(external(error)) }).boxed(),
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// The batch under the schema that was promised; without columns only the number of rows is left of it.
fn columns_of(schema: &SchemaRef, batch: Option<&RecordBatch>, rows: usize) -> Result<RecordBatch> {
    let columns = batch.filter(|_| !schema.fields().is_empty()).map_or_else(Vec::new, |batch| batch.columns().to_vec());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn external(error: iceberg::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
