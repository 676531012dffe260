//! A look at the table while the tasks may have nothing to commit: has it gone back behind what was committed?
//!
//! A first writer on old Nessie can overwrite our rows (connector/docs/adr/0002-first-writer-on-nessie.md), and a branch
//! can be reset. A commit would notice; but where no records come, none is made, and the rows would stay away. The tasks
//! then begin again from the table's position. Reads only; whether a batch may be committed is decided by the commit.

use std::sync::Arc;
use std::time::Duration;

use catalog_sync::catalog::CatalogClient;
use iceberg::TableIdent;
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
            && let Some((topic, partition)) = facts.position.behind(&committed)
        {
            tracing::warn!(table = %ident, topic, partition, "the table went back behind what was committed; reading again");
            return true;
        }
    }
}
