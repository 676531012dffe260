//! The order of rows: what a user says, what the table says, and whether rows are in it.
//!
//! NULL comes first when a column ascends and last when it descends, as in Iceberg, unless it is said otherwise; texts are
//! ordered by their bytes. Pure. Called by [`super::sort`], which sorts, and by [`super::write`], which looks whether what was
//! written is in order.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::{OwnedRow, RowConverter, SortField};
use arrow_schema::{ArrowError, Schema, SortOptions};
use datafusion::sql::sqlparser::ast::{Expr, OrderByExpr};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use iceberg::spec::{NullOrder, SortDirection, TableMetadata, Transform};
use schemas::table::COLUMNS;

/// Columns by which rows are sorted, the most significant first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortOrder(Vec<SortKey>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SortKey {
    pub(super) column: String,
    pub(super) options: SortOptions,
}

impl SortOrder {
    /// By visit, and in a visit by time: `session_id ASC, event_timestamp ASC`.
    #[must_use]
    pub fn by_session() -> Self {
        Self(["session_id", "event_timestamp"].map(|column| SortKey::new(column, false, None)).into())
    }

    /// Parses a list such as `user_id, event_timestamp DESC NULLS LAST`.
    ///
    /// # Errors
    /// A sentence: it is no such list, or names a column that the table cannot be sorted by.
    pub fn parse(text: &str) -> Result<Self, String> {
        let dialect = GenericDialect {};
        let wrong = |error: &dyn std::fmt::Display| format!("it is no list of columns to sort by: {error}");
        let mut parser = Parser::new(&dialect).try_with_sql(text).map_err(|error| wrong(&error))?;
        let parsed = parser.parse_comma_separated(Parser::parse_order_by_expr).map_err(|error| wrong(&error))?;
        let rest = parser.peek_token().token;
        if rest != Token::EOF {
            return Err(wrong(&format!("nothing was expected after it, found {rest}")));
        }
        let keys = parsed.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(keys))
    }

    /// The table's own; none if it has none.
    ///
    /// # Errors
    /// A sentence, if it sorts by more than the values of columns.
    pub(super) fn of_table(metadata: &TableMetadata) -> Result<Option<Self>, String> {
        let order = metadata.default_sort_order();
        let key = |field: &iceberg::spec::SortField| {
            let column = metadata.current_schema().name_by_field_id(field.source_id).unwrap_or("a dropped column");
            if field.transform != Transform::Identity || !COLUMNS.iter().any(|known| known.name == column) {
                return Err(format!(
                    "the table's sort order has {}({column}), which is not sorted by here: say a --sort-order",
                    field.transform
                ));
            }
            let descending = field.direction == SortDirection::Descending;
            Ok(SortKey::new(column, descending, Some(field.null_order == NullOrder::First)))
        };
        let keys = order.fields.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        Ok((!keys.is_empty()).then_some(Self(keys)))
    }

    pub(super) fn keys(&self) -> &[SortKey] {
        &self.0
    }
}

impl std::fmt::Display for SortOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, SortKey { column, options }) in self.0.iter().enumerate() {
            let direction = if options.descending { "DESC" } else { "ASC" };
            let nulls = if options.nulls_first { "FIRST" } else { "LAST" };
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{column} {direction} NULLS {nulls}")?;
        }
        Ok(())
    }
}

impl SortKey {
    pub(super) fn new(column: &str, descending: bool, nulls_first: Option<bool>) -> Self {
        let nulls_first = nulls_first.unwrap_or(!descending);
        Self { column: column.to_owned(), options: SortOptions { descending, nulls_first } }
    }
}

fn key(expr: &OrderByExpr) -> Result<SortKey, String> {
    let name = match &expr.expr {
        Expr::Identifier(name) => name.value.to_ascii_lowercase(),
        other => return Err(format!("{other} is no column: only columns can be sorted by")),
    };
    if !COLUMNS.iter().any(|column| column.name == name) {
        return Err(format!("{name} is no column of an event"));
    }
    Ok(SortKey::new(&name, expr.options.asc == Some(false), expr.options.nulls_first))
}

/// Looks whether rows come in order.
pub(super) struct OrderCheck {
    columns: Vec<usize>,
    converter: RowConverter,
    last: Option<OwnedRow>,
}

impl OrderCheck {
    /// # Errors
    /// The schema has not these columns, or their types have no order.
    pub(super) fn new(order: &SortOrder, schema: &Schema) -> Result<Self, ArrowError> {
        let columns = order.0.iter().map(|key| schema.index_of(&key.column)).collect::<Result<Vec<_>, _>>()?;
        let field = |(key, &column): (&SortKey, &usize)| {
            SortField::new_with_options(schema.field(column).data_type().clone(), key.options)
        };
        let converter = RowConverter::new(order.0.iter().zip(&columns).map(field).collect())?;
        Ok(Self { columns, converter, last: None })
    }

    /// Whether the rows of this batch, after those of the ones before, are in order.
    ///
    /// # Errors
    /// It has another schema.
    pub(super) fn is_in_order(&mut self, batch: &RecordBatch) -> Result<bool, ArrowError> {
        let columns: Vec<ArrayRef> =
            self.columns.iter().filter_map(|&column| batch.columns().get(column).cloned()).collect();
        let rows = self.converter.convert_columns(&columns)?;
        let Some(last) = rows.num_rows().checked_sub(1) else { return Ok(true) };
        let follows = self.last.as_ref().is_none_or(|before| before.row() <= rows.row(0));
        let is_sorted = (0..last).all(|row| rows.row(row) <= rows.row(row + 1));
        self.last = Some(rows.row(last).owned());
        Ok(follows && is_sorted)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::datafile::testing::{clicks, table_with};
    use serde_json::json;

    #[test]
    fn an_order_reads_as_in_sql_and_nulls_lie_as_in_iceberg() {
        let order = SortOrder::parse("USER_ID, event_timestamp desc, city DESC NULLS FIRST").unwrap();
        let told = "user_id ASC NULLS FIRST, event_timestamp DESC NULLS LAST, city DESC NULLS FIRST";
        assert_eq!(order.to_string(), told);
        assert_eq!(SortOrder::parse(told), Ok(order));
        for (text, why) in [
            ("", "no list of columns"),
            ("user_id user_id", "nothing was expected"),
            ("user_id,", "no list of columns"),
            ("price", "price is no column of an event"),
            ("lower(city)", "only columns can be sorted by"),
        ] {
            let error = SortOrder::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    fn table(transform: &str) -> TableMetadata {
        let mut table =
            serde_json::to_value(table_with(&schemas::table::iceberg_schema(), &schemas::table::partition_spec(), &[]))
                .unwrap();
        let field = |id: i32, transform: &str| json!({"transform": transform, "source-id": id, "direction": "asc", "null-order": "nulls-first"});
        table["sort-orders"] = json!([{"order-id": 3, "fields": [field(4, "identity"), field(2, transform)]}]);
        table["default-sort-order-id"] = json!(3);
        serde_json::from_value(table).unwrap()
    }

    #[test]
    fn the_tables_order_is_taken_if_it_sorts_by_values() {
        assert_eq!(SortOrder::of_table(&crate::datafile::testing::table()), Ok(None));
        assert_eq!(SortOrder::of_table(&table("identity")), Ok(Some(SortOrder::by_session())));
        let error = SortOrder::of_table(&table("day")).unwrap_err();
        assert!(error.contains("day(event_timestamp)"), "{error}");
    }

    #[test]
    fn rows_out_of_order_are_noticed_in_a_batch_and_between_two() {
        let batch = clicks(20);
        let is_in_order = |order: &str, batches: &[RecordBatch]| {
            let mut check = OrderCheck::new(&SortOrder::parse(order).unwrap(), &batch.schema()).unwrap();
            batches.iter().all(|batch| check.is_in_order(batch).unwrap())
        };
        let (first, second) = (batch.slice(0, 10), batch.slice(10, 10));
        assert!(is_in_order("event_id", &[first.clone(), second.clone()]));
        assert!(!is_in_order("event_id", &[second, first.clone()]));
        assert!(!is_in_order("event_id DESC", std::slice::from_ref(&first)));
        assert!(is_in_order(
            "event_type DESC, event_timestamp",
            &[first.clone(), first.slice(9, 1), first.slice(0, 0)]
        ));
        assert!(!is_in_order("user_id", &[first]));
    }
}
