//! Compaction past one machine: the same plan, carried out by Trino or Spark.
//!
//! What [`crate::compact`] would rewrite is told to an engine, partition by partition, as its own statement for that:
//! [`trino`] runs `ALTER TABLE … EXECUTE optimize` and holds the table's position against what it was before, [`spark`] says
//! `CALL … rewrite_data_files` for somebody to run. Pure but for [`trino::optimize`]. Called by `catalog-sync compact
//! --engine`.

pub mod client;
pub mod spark;
pub mod trino;

use iceberg::TableIdent;
use schemas::partition::PartitionKey;

use crate::compact::plan::{FileGroup, Sizes};

/// A partition for an engine to rewrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The partition.
    pub key: PartitionKey,
    /// Files of it that the plan would rewrite.
    pub files: u64,
}

/// The partitions of a plan, those with the most files first. Groups that make no fewer files are left out: an engine packs, and does
/// not cut.
#[must_use]
pub fn orders(groups: &[FileGroup], sizes: &Sizes) -> Vec<Order> {
    let mut orders: Vec<Order> = Vec::new();
    for group in groups.iter().filter(|group| sizes.outputs(group.bytes()) < group.files.len() as u64) {
        let files = group.files.len() as u64;
        match orders.iter_mut().find(|order| order.key == group.key) {
            Some(order) => order.files += files,
            None => orders.push(Order { key: group.key.clone(), files }),
        }
    }
    orders.sort_by_key(|order| std::cmp::Reverse(order.files));
    orders
}

/// Levels of a table's name below a catalog, each quoted.
fn qualified(catalog: &str, table: &TableIdent, quote: char) -> String {
    let doubled = format!("{quote}{quote}");
    let levels = std::iter::once(catalog).chain(table.namespace().iter().map(String::as_str));
    let levels = levels.chain(std::iter::once(table.name()));
    let quoted = levels.map(|level| format!("{quote}{}{quote}", level.replace(quote, &doubled)));
    quoted.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::compact::plan;
    use crate::compact::plan::FileFact;

    #[test]
    fn a_partition_is_told_once_and_a_file_that_is_only_to_be_cut_is_not() -> Result<(), String> {
        let sizes =
            crate::compact::options::Options { max_file_group_size_bytes: 100, ..Default::default() }.sizes(100)?;
        let file = |bytes: u64| FileFact::plain(format!("f{bytes}"), Arc::from("m"), (bytes, 1));
        let key = |event_type: &str| PartitionKey { day: 0, event_type: event_type.to_owned() };
        let files = [
            (key("click"), [&[18; 5][..], &[19; 5]].concat().into_iter().map(file).collect()),
            (key("scroll"), vec![file(500)]),
            (key("search"), (1..=5).map(file).collect()),
        ];
        let groups = plan::plan(&files.into(), &sizes);
        let told: Vec<(String, u64)> =
            orders(&groups, &sizes).into_iter().map(|order| (order.key.event_type, order.files)).collect();
        assert_eq!(told, [("click".to_owned(), 10), ("search".to_owned(), 5)]);
        Ok(())
    }

    #[test]
    fn names_are_quoted_level_by_level() -> iceberg::Result<()> {
        let table = TableIdent::from_strs(["a", "b\"c", "t"])?;
        assert_eq!(qualified("lakehouse", &table, '"'), r#""lakehouse"."a"."b""c"."t""#);
        assert_eq!(qualified("l`h", &table, '`'), r#"`l``h`.`a`.`b"c`.`t`"#);
        Ok(())
    }
}
