//! A look at the table while the tasks may have nothing to commit: has it gone back behind what was committed?
//!
//! A first writer on old Nessie can overwrite our rows (connector/docs/adr/0002-first-writer-on-nessie.md), and a branch
//! can be reset. A commit would notice; but where no records come, none is made, and the rows would stay away. The tasks
//! then begin again from the table's position. Reads only; whether a batch may be committed is decided by the commit.

use std::sync::Arc;
use std::time::Duration;

use catalog_sync::catalog::CatalogClient;
use iceberg::TableIdent;
use protocol::Position;
use tokio::sync::watch;

use super::status::Board;

/// How often it looks: rows are away for so long at most, and a catalog has one more load to answer in this time.
const EVERY: Duration = Duration::from_secs(10);

/// Returns true when the table has gone back, false when told to stop. Another table under the same name is not looked
/// at: that is a halt, which the tasks tell with their next commit.
pub(super) async fn gone_back(
    client: CatalogClient,
    ident: TableIdent,
    uuid: String,
    board: Arc<Board>,
    mut stop: watch::Receiver<bool>,
) -> bool {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return false,
        }
        // Before the load: what was committed by now must be in what is loaded.
        let committed = board.last_position().unwrap_or_default();
        let facts = match client.load_table(&ident).await {
            Ok(loaded) => loaded.facts(),
            Err(error) => {
                tracing::debug!(table = %ident, %error, "cannot look at the table");
                continue;
            }
        };
        if let Ok(facts) = facts
            && facts.uuid == uuid
            && let Some((topic, partition)) = behind(&facts.position, &committed)
        {
            tracing::warn!(table = %ident, topic, partition, "the table went back behind what was committed; reading again");
            return true;
        }
    }
}

/// A partition of which the table has less than was committed.
fn behind<'a>(table: &Position, committed: &'a Position) -> Option<(&'a str, i32)> {
    committed.topics.iter().find_map(|(topic, at)| {
        // A topic of another identity has offsets of its own.
        let other = table.topics.get(topic).is_some_and(|found| found.id != at.id);
        let less = |(&partition, at): (&i32, &protocol::position::PartitionPosition)| {
            (table.next(topic, partition).is_none_or(|next| next < at.next)).then_some((topic.as_str(), partition))
        };
        if other { None } else { at.partitions.iter().find_map(less) }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn position(id: &str, next: i64) -> Position {
        let text = format!(
            r#"{{"v":1,"seq":1,"topics":{{"t":{{"id":"{id}","epoch":0,"ended":[0,0,0],"parts":{{"3":[0,{next},0,0]}}}}}}}}"#
        );
        Position::decode(&text).unwrap().0
    }

    #[test]
    fn a_table_that_has_less_than_was_committed_has_gone_back() {
        let committed = position("a", 7);
        assert_eq!(behind(&position("a", 6), &committed), Some(("t", 3)));
        assert_eq!(behind(&Position::default(), &committed), Some(("t", 3)));
        for table in [position("a", 7), position("a", 9), position("b", 0)] {
            assert_eq!(behind(&table, &committed), None);
        }
        assert_eq!(behind(&committed, &Position::default()), None);
    }
}
