//! `catalog-sync position`: how far a table has got, and from where that was read.

use std::process::ExitCode;

use protocol::lineage::POSITION_KEY;
use protocol::{Counts, Position, TopicPosition};
use serde::Serialize;
use serde_json::{Value, json};

use super::{CliError, TableArgs, columns, print, print_json};
use crate::catalog::LoadedTable;

/// Where the position stands written.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum Source {
    /// In the summary of a snapshot, perhaps an ancestor of the current one.
    Summary { snapshot_id: i64, sequence_number: i64 },
    /// In the table property, since no snapshot that the catalog shows bears one.
    Property { written_with_sequence_number: Option<i64> },
    /// Nowhere: the table was never fed.
    Nowhere,
}

/// Loads the table and prints its position.
pub(super) async fn show(args: TableArgs) -> Result<ExitCode, CliError> {
    let as_json = args.json;
    let loaded = args.load().await?;
    let facts = loaded.facts().map_err(|halt| CliError::Halted { code: halt.code(), text: halt.to_string() })?;
    let source = source(&loaded);
    if as_json {
        print_json(&json!({
            "table": loaded.ident().to_string(),
            "uuid": facts.uuid,
            "snapshot_id": facts.snapshot_id,
            "sequence_number": facts.sequence_number,
            "read_from": source,
            "topics": topics(&facts.position),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let snapshot = facts.snapshot_id.map_or("no snapshot".to_owned(), |id| format!("snapshot {id}"));
    let mut out = format!("{}, {snapshot}, sequence number {}\n", loaded.ident(), facts.sequence_number);
    out.push_str(&match source {
        Source::Summary { snapshot_id, sequence_number } => {
            format!("read from the summary of snapshot {snapshot_id}, sequence number {sequence_number}\n")
        }
        Source::Property { written_with_sequence_number } => {
            let written = written_with_sequence_number.map_or("unknown".to_owned(), |number| number.to_string());
            format!("read from table property {POSITION_KEY}, written with sequence number {written}\n")
        }
        Source::Nowhere => "no position: nothing was ever ingested\n".to_owned(),
    });
    out.push_str(&text(&facts.position));
    print(&out)?;
    Ok(ExitCode::SUCCESS)
}

fn source(loaded: &LoadedTable) -> Source {
    let bears =
        |snapshot: &&iceberg::spec::Snapshot| snapshot.summary().additional_properties.contains_key(POSITION_KEY);
    if let Some(snapshot) = loaded.lineage().find(bears) {
        let (snapshot_id, sequence_number) = (snapshot.snapshot_id(), snapshot.sequence_number());
        return Source::Summary { snapshot_id, sequence_number };
    }
    match loaded.metadata().properties().get(POSITION_KEY) {
        Some(text) => {
            Source::Property { written_with_sequence_number: Position::decode(text).ok().map(|(_, seq)| seq) }
        }
        None => Source::Nowhere,
    }
}

/// The position as JSON: one object for each topic.
pub(super) fn topics(position: &Position) -> Value {
    let topic = |(name, topic): (&String, &TopicPosition)| {
        let partition = |(partition, at): (&i32, &protocol::PartitionPosition)| {
            json!({
                "partition": partition, "first": at.first, "next": at.next,
                "rows": at.counts.rows, "rejects": at.counts.rejects, "skipped": at.counts.skipped,
                "lost": at.counts.lost,
            })
        };
        let ended = topic.ended;
        json!({
            "topic": name,
            "topic_id": topic.id,
            "epoch": topic.epoch,
            "ended": {"rows": ended.rows, "rejects": ended.rejects, "skipped": ended.skipped, "lost": ended.lost},
            "partitions": topic.partitions.iter().map(partition).collect::<Vec<_>>(),
        })
    };
    position.topics.iter().map(topic).collect()
}

fn text(position: &Position) -> String {
    let mut out = String::new();
    let headings = ["partition", "first", "next", "rows", "rejects", "skipped", "lost"];
    let numbers =
        |counts: Counts| [counts.rows, counts.rejects, counts.skipped, counts.lost].map(|count| count.to_string());
    for (name, topic) in &position.topics {
        out.push_str(&format!("\ntopic {name}, id {}, epoch {}\n", topic.id, topic.epoch));
        let mut rows: Vec<Vec<String>> = topic
            .partitions
            .iter()
            .map(|(partition, at)| {
                let ends = [at.first.to_string(), at.next.to_string()];
                [partition.to_string()].into_iter().chain(ends).chain(numbers(at.counts)).collect()
            })
            .collect();
        if topic.epoch > 0 {
            let before = ["before".to_owned(), String::new(), String::new()];
            rows.push(before.into_iter().chain(numbers(topic.ended)).collect());
        }
        out.push_str(&columns(&headings, &rows, &[0, 1, 2, 3, 4, 5, 6]));
    }
    let counts = position.counts();
    if counts.offsets() > 0 {
        let Counts { rows, rejects, skipped, lost } = counts;
        let offsets = counts.offsets();
        out.push_str(&format!(
            "\n{offsets} offsets = {rows} rows + {rejects} rejects + {skipped} skipped + {lost} lost\n"
        ));
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn position() -> Position {
        let text = r#"{"v":1,"seq":9,"topics":{"clicks":{"id":"abc","epoch":1,"ended":[5,1,0,4],
            "parts":{"0":[0,1200,1180,7,10],"11":[3,5,2,0]}}}}"#;
        Position::decode(text).unwrap().0
    }

    #[test]
    fn every_partition_and_what_came_before_is_shown() {
        let printed = text(&position());
        assert!(printed.starts_with("\ntopic clicks, id abc, epoch 1\n"), "{printed}");
        let cells: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(cells.contains(&vec!["0", "0", "1200", "1180", "7", "3", "10"]), "{printed}");
        assert!(cells.contains(&vec!["before", "5", "1", "0", "4"]), "{printed}");
        assert!(printed.ends_with("\n1212 offsets = 1187 rows + 8 rejects + 3 skipped + 14 lost\n"), "{printed}");
    }

    #[test]
    fn the_json_form_has_numbers_not_texts() {
        let value = topics(&position());
        assert_eq!(value[0]["topic_id"], "abc");
        assert_eq!(value[0]["partitions"][1]["next"], 5);
        assert_eq!(value[0]["ended"]["rejects"], 1);
        assert_eq!((&value[0]["ended"]["lost"], &value[0]["partitions"][0]["lost"]), (&json!(4), &json!(10)));
    }
}
