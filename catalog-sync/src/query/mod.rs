//! SQL over an Iceberg table, in the process: the analyses of the demo and of `catalog-sync query`.
//!
//! [`QueryEngine`] holds one table at one snapshot, so that several questions get answers about the same rows. It reads as a
//! stream, sorts and groups within [`MEMORY_BYTES_MAX`] and spills to the temporary directory beyond; only the result is in
//! memory as a whole. It cannot change anything: statements that write are refused. The texts are written in the common
//! subset of DataFusion and Trino; [`functions`] adds the one Trino function that DataFusion does not have.

mod functions;
mod named;
mod predicate;
mod provider;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use iceberg::table::Table;

pub use named::{ANALYSES, Analysis, TABLE, named};

use provider::IcebergTable;

/// Memory that sorting and grouping may take before they spill: 512 MiB.
pub const MEMORY_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The table's schema has no Arrow form, or its metadata does not hold together.
    #[error("table {table} cannot be queried: {source}")]
    Table {
        /// Name the table was to have in the queries.
        table: String,
        /// What the table format says.
        source: Box<iceberg::Error>,
    },
    /// The text is no query, names something unknown, or could not be carried out.
    #[error("query failed: {0}")]
    Sql(#[source] Box<DataFusionError>),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        Self::Sql(Box::new(error))
    }
}

/// One table at one snapshot, ready to be asked.
#[derive(Clone)]
pub struct QueryEngine {
    context: SessionContext,
}

impl std::fmt::Debug for QueryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryEngine").finish_non_exhaustive()
    }
}

impl QueryEngine {
    /// Makes `table`, at its current snapshot, known as `name`. A table without a snapshot has zero rows.
    ///
    /// # Errors
    /// [`QueryError::Table`] when a column has no Arrow type; [`QueryError::Sql`] when `name` is no table name.
    pub fn open(table: Table, name: &str) -> Result<Self, QueryError> {
        let provider = IcebergTable::new(table)
            .map_err(|error| QueryError::Table { table: name.to_owned(), source: Box::new(error) })?;
        let runtime =
            RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_BYTES_MAX))).build_arc()?;
        let context = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
        context.register_udf(functions::date_diff());
        context.register_table(name, Arc::new(provider))?;
        Ok(Self { context })
    }

    /// Answers one query. Dropping the future stops the work.
    ///
    /// # Errors
    /// [`QueryError::Sql`] when the text is no query, would change anything, or reading fails.
    pub async fn sql(&self, text: &str) -> Result<Vec<RecordBatch>, QueryError> {
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame = Box::pin(self.context.sql_with_options(text, read_only)).await?;
        Ok(Box::pin(frame.collect()).await?)
    }
}
