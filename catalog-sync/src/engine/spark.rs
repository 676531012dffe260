//! A plan as calls of Iceberg's Spark procedure `rewrite_data_files`, one for each partition, for somebody to run.
//!
//! The options have the names that [`crate::compact::options`] took from there, and the values that the plan was made with. Pure.

use iceberg::TableIdent;
use schemas::time::format_day;

use super::{Order, qualified};
use crate::compact::plan::Sizes;

/// The statements, each of them complete and without its semicolon.
#[must_use]
pub fn statements(catalog: &str, table: &TableIdent, orders: &[Order], sizes: &Sizes) -> Vec<String> {
    let catalog_name = catalog.replace('`', "``");
    let table_name = text(&qualified(catalog, table, '`'));
    let options = [
        ("target-file-size-bytes", sizes.target.to_string()),
        ("min-file-size-bytes", sizes.min.to_string()),
        ("max-file-size-bytes", sizes.max.to_string()),
        ("max-file-group-size-bytes", sizes.group_max.to_string()),
        ("min-input-files", sizes.input_files_min.to_string()),
        ("rewrite-all", sizes.all.to_string()),
        ("partial-progress.enabled", true.to_string()),
    ];
    let options: Vec<String> = options.iter().map(|(key, value)| format!("'{key}', '{value}'")).collect();
    let options = options.join(", ");
    let call = |order: &Order| {
        let condition = text(&condition(order));
        format!(
            "CALL `{catalog_name}`.system.rewrite_data_files(table => {table_name}, strategy => 'binpack', \
             where => {condition}, options => map({options}))"
        )
    };
    orders.iter().map(call).collect()
}

/// The rows of a partition, by the columns that it is made of.
fn condition(Order { key, .. }: &Order) -> String {
    let (from, to) = (format_day(key.day), format_day(key.day.saturating_add(1)));
    format!(
        "event_timestamp >= TIMESTAMP '{from} 00:00:00 UTC' AND event_timestamp < TIMESTAMP '{to} 00:00:00 UTC' AND \
         event_type = {}",
        text(&key.event_type)
    )
}

/// A string literal; Spark takes a backslash before a quote, and two quotes for none.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use schemas::partition::PartitionKey;

    use super::*;
    use crate::compact::options::Options;

    #[test]
    fn a_partition_is_a_call_that_can_be_pasted() -> Result<(), String> {
        let table = TableIdent::from_strs(["analytics", "clickstream"]).map_err(|error| error.to_string())?;
        let key = PartitionKey { day: 20_515, event_type: "add'to\\cart".to_owned() };
        let statements = statements("lakehouse", &table, &[Order { key, files: 9 }], &Options::default().sizes(1_000)?);
        let expected = "CALL `lakehouse`.system.rewrite_data_files(table => '`lakehouse`.`analytics`.`clickstream`', \
                        strategy => 'binpack', where => 'event_timestamp >= TIMESTAMP \\'2026-03-03 00:00:00 UTC\\' AND \
                        event_timestamp < TIMESTAMP \\'2026-03-04 00:00:00 UTC\\' AND \
                        event_type = \\'add\\\\\\'to\\\\\\\\cart\\'', options => map(\
                        'target-file-size-bytes', '1000', 'min-file-size-bytes', '750', 'max-file-size-bytes', '1800', \
                        'max-file-group-size-bytes', '1073741824', 'min-input-files', '5', 'rewrite-all', 'false', \
                        'partial-progress.enabled', 'true'))";
        assert_eq!(statements, [expected]);
        Ok(())
    }
}
