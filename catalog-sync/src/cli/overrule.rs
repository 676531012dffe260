//! `catalog-sync override`: an operator's word against a halt, and what it changed.
//!
//! The word is the halt's token, copied from the task's trace; it is refused unless the table stands exactly as the token
//! says. Nothing is asked back: token and reason are the confirmation, and both stay in the table's history.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use iceberg::TableIdent;
use protocol::overrule::{OverruleError, Overruled};
use protocol::{Offset, Position};
use serde::Serialize;
use serde_json::json;

use super::position::topics;
use super::{CliError, TableArgs, columns, print, print_json};
use crate::catalog::CatalogClient;
use crate::overrule::{Done, Error, last_readable, overrule};

const EXAMPLES: &str = "\
What each halt's override does is told in connector/docs/RUNBOOK.md. table-replaced and schema-incompatible have none: alter
or restore the table, and restart the connector.

Exit code: 0 done, also when an earlier call had done it; 1 refused or failed, and nothing was changed; 2 wrong usage.

Examples:
  catalog-sync override 'gap:clicks-0:120..150' --reason 'ticket 4711: no copy exists' --config connector.json
  catalog-sync override position-unreadable analytics.clickstream --reason 'edited by hand' --position good.json";

/// What to overrule.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct OverrideArgs {
    /// The halt's token, as the task's trace prints it
    #[arg(value_name = "HALT")]
    halt: String,
    /// Why; kept in the table's history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// For position-unreadable: the position to go on from, in the form of `kafka.position`; - for standard input
    #[arg(long, value_name = "FILE")]
    position: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
}

/// What became of one partition.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    topic: String,
    partition: i32,
    before: Option<Offset>,
    after: Option<Offset>,
    lost: u64,
}

/// Overrules and prints what changed.
pub(super) async fn run(args: OverrideArgs) -> Result<ExitCode, CliError> {
    let (token, reason, as_json) = (args.halt, args.reason, args.table.json);
    token.parse::<Overruled>().map_err(|error| CliError::Usage(error.to_string()))?;
    let replacement = args.position.as_deref().map(read).transpose()?;
    let (client, ident) = args.table.connect().await?;
    let done = match overrule(&client, &ident, &token, &reason, replacement).await {
        Err(Error::Decision(OverruleError::Replacement(why))) if args.position.is_none() => {
            return Err(unsaid(&client, &ident, why).await);
        }
        Err(Error::Decision(error @ OverruleError::Replacement(_))) => return Err(CliError::Usage(error.to_string())),
        done => done?,
    };
    if as_json {
        print_json(&json!({
            "table": ident.to_string(),
            "token": token,
            "snapshot_id": done.snapshot_id,
            "already": done.already,
            "before": done.before.as_ref().map(topics),
            "after": topics(&done.after),
            "changes": changes(&done),
            "lost_offsets": lost(&done),
        }))?;
    } else {
        print(&text(&ident, &token, &done))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A position is wanted and none was given: the last that could be read is offered.
async fn unsaid(client: &CatalogClient, ident: &TableIdent, why: &str) -> CliError {
    match last_readable(client, ident).await {
        Ok(Some((at, position))) => {
            CliError::Usage(format!("{why}; the last that could be read stands in {at}:\n{position}"))
        }
        Ok(None) | Err(_) => CliError::Usage(why.to_owned()),
    }
}

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why; whoever reads the table's history wants to know".to_owned()),
        text => Ok(text.to_owned()),
    }
}

fn read(path: &Path) -> Result<Position, CliError> {
    let name = path.display();
    let unusable = |why: String| CliError::Usage(format!("position {name}: {why}"));
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().lock().read_to_string(&mut text).map(|_| ()),
        _ => std::fs::read_to_string(path).map(|read| text = read),
    };
    read.map_err(|error| unusable(error.to_string()))?;
    Position::decode(text.trim()).map(|(position, _)| position).map_err(|error| unusable(error.to_string()))
}

fn lost(done: &Done) -> u64 {
    let before = done.before.as_ref().map_or(0, |before| before.counts().lost);
    if done.before.is_some() { done.after.counts().lost.saturating_sub(before) } else { 0 }
}

/// Every partition that stands elsewhere, or is counted in another way, than before.
fn changes(done: &Done) -> Vec<Change> {
    let nothing = Position::default();
    let before = done.before.as_ref().unwrap_or(&nothing);
    let places = |position: &Position| -> BTreeSet<(String, i32)> {
        let of = |(name, partition): (&String, &i32)| (name.clone(), *partition);
        let all = position.topics.iter().flat_map(|(name, topic)| topic.partitions.keys().map(move |p| (name, p)));
        all.map(of).collect()
    };
    let at = |position: &Position, topic: &str, partition: i32| {
        position.topics.get(topic).and_then(|topic| topic.partitions.get(&partition)).copied()
    };
    let change = |(topic, partition): (String, i32)| {
        let (was, is) = (at(before, &topic, partition), at(&done.after, &topic, partition));
        let lost = is.map_or(0, |is| is.counts.lost).saturating_sub(was.map_or(0, |was| was.counts.lost));
        let change = Change { topic, partition, before: was.map(|at| at.next), after: is.map(|at| at.next), lost };
        (was != is).then_some(change)
    };
    places(before).union(&places(&done.after)).cloned().filter_map(change).collect()
}

fn text(ident: &TableIdent, token: &str, done: &Done) -> String {
    let how = if done.already { "had overruled it before, nothing was changed" } else { "overrules it" };
    let mut out = format!("{ident}: {token}: snapshot {} {how}\n", done.snapshot_id);
    let was = |name: &str| done.before.as_ref().and_then(|before| before.topics.get(name));
    for (name, topic) in &done.after.topics {
        if let Some(was) = was(name).filter(|was| was.id != topic.id || was.epoch != topic.epoch) {
            let (id, epoch) = (&topic.id, topic.epoch);
            out.push_str(&format!("topic {name}: id {} -> {id}, epoch {} -> {epoch}\n", was.id, was.epoch));
        }
    }
    let offset = |at: Option<Offset>| at.map_or("-".to_owned(), |at| at.to_string());
    let rows: Vec<Vec<String>> = changes(done)
        .into_iter()
        .map(|change| {
            let (before, after) = (offset(change.before), offset(change.after));
            vec![change.topic, change.partition.to_string(), before, after, change.lost.to_string()]
        })
        .collect();
    if !rows.is_empty() {
        out.push_str(&columns(&["topic", "partition", "before", "after", "lost"], &rows, &[1, 2, 3, 4]));
    }
    out.push_str(&format!("{} offsets given up; now restart the connector\n", lost(done)));
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn position(text: &str) -> Position {
        Position::decode(text).unwrap().0
    }

    #[test]
    fn what_changed_is_told_partition_by_partition() {
        let before = position(
            r#"{"v":1,"seq":4,"topics":{"t":{"id":"a","epoch":0,"ended":[0,0,0],"parts":{"0":[0,120,120,0],"1":[0,7,7,0]}}}}"#,
        );
        let gap = protocol::overrule::moved(&before, &"gap:t-0:120..150".parse().unwrap()).unwrap();
        let done = Done { before: Some(before.clone()), after: gap, snapshot_id: 5, already: false };
        let change = changes(&done);
        assert_eq!((change.len(), change[0].partition, change[0].lost, lost(&done)), (1, 0, 30, 30));
        let printed = text(&TableIdent::from_strs(["a", "t"]).unwrap(), "gap:t-0:120..150", &done);
        assert!(printed.starts_with("a.t: gap:t-0:120..150: snapshot 5 overrules it\n"), "{printed}");
        let cells: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(cells.contains(&vec!["t", "0", "120", "150", "30"]), "{printed}");

        let again = protocol::overrule::moved(&before, &"topic-recreated:t:a..b".parse().unwrap()).unwrap();
        let done = Done { before: Some(before), after: again, snapshot_id: 5, already: true };
        let printed = text(&TableIdent::from_strs(["a", "t"]).unwrap(), "topic-recreated:t:a..b", &done);
        assert!(printed.contains("topic t: id a -> b, epoch 0 -> 1\n"), "{printed}");
        assert_eq!(changes(&done).iter().map(|change| change.after).collect::<Vec<_>>(), [None, None]);
    }

    #[test]
    fn a_reason_is_wanted() {
        assert!(reason("  ").is_err());
        assert_eq!(reason(" why ").unwrap(), "why");
    }
}
