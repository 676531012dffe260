//! Small files become few, all the time: in those partitions only that need it.
//!
//! A partition needs it when compacting it gains something, and its small files are many, or came with many commits, or the oldest
//! has waited long enough. [`wanted`] and [`Rests`] are pure. Called by [`super::Job`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use schemas::partition::PartitionKey;

use super::{Done, JobError, Sight, Target, Verdict, Wish, value};
use crate::compact::options::Options;
use crate::compact::{Report, Rewritten, compact};
use crate::run::config::Compact;
use crate::run::picture::{Moments, Share};
use crate::run::schedule::backoff;

/// Partitions that a compaction has gained nothing for, and that are left alone for a while: files that cannot be read, or that the
/// planner knows more about than the look at the table.
#[derive(Debug, Clone, Default)]
pub(in crate::run) struct Rests(BTreeMap<PartitionKey, (u32, Instant)>);

impl Rests {
    fn holds(&self, key: &PartitionKey, now: Instant) -> bool {
        self.0.get(key).is_some_and(|(_, until)| now < *until)
    }

    /// Takes in what became of a wish. `jitter` is between 0 and 1.
    pub(in crate::run) fn learn(&mut self, wish: &Wish, done: &Done, now: Instant, max: Duration, jitter: f64) {
        for key in wish.partitions.iter().flatten() {
            if done.in_vain.contains(key) {
                let failures = self.0.get(key).map_or(0, |(failures, _)| *failures).saturating_add(1);
                let until = now.checked_add(backoff(failures, max, jitter)).unwrap_or(now);
                self.0.insert(key.clone(), (failures, until));
            } else {
                self.0.remove(key);
            }
        }
    }
}

/// The partitions that need it now.
pub(super) fn wanted(sight: &Sight<'_>, rests: &Rests) -> Option<Wish> {
    let (picture, now) = (sight.picture, Instant::now());
    let needs = |(key, share): (&PartitionKey, &Share)| {
        if !share.is_worth_it(&picture.sizes) || rests.holds(key, now) {
            return None;
        }
        Some((key.clone(), cause(&sight.jobs.compact, share, sight.moments, sight.now_ms)?))
    };
    let needy: BTreeMap<PartitionKey, String> = picture.contents.partitions.iter().filter_map(needs).collect();
    let (key, cause) = needy.first_key_value()?;
    let why = match needy.len() {
        1 => format!("{key}: {cause}"),
        count => format!("{count} partitions, the first {key}: {cause}"),
    };
    Some(Wish { why, partitions: Some(needy.into_keys().collect()) })
}

/// Why a partition is not left for later.
fn cause(config: &Compact, share: &Share, moments: &Moments, now_ms: i64) -> Option<String> {
    let commits = share.commits.len() as u64;
    let age = share.commits.first().map_or(0, |commit| moments.age(*commit, now_ms));
    match () {
        () if share.large_files > 0 => Some(format!("{} files are too large", share.large_files)),
        () if share.small_files >= config.small_file_count => Some(format!("{} small files", share.small_files)),
        () if commits >= config.commit_count => Some(format!("small files of {commits} commits")),
        () if age >= config.max_small_file_age_ms => Some(format!("a small file is {} s old", age / 1_000)),
        () => None,
    }
}

pub(super) async fn run(target: Target<'_>, wish: &Wish) -> Result<Done, JobError> {
    let options =
        Options { dry_run: target.dry_run, partitions: wish.partitions.clone(), ..target.jobs.compact.options() };
    Ok(done(&compact(target.client, target.ident, &options).await?, wish))
}

fn done(report: &Report, wish: &Wish) -> Done {
    use crate::compact::Verdict as Of;
    let verdict = match report.verdict {
        _ if !report.failed.is_empty() => Verdict::Failed,
        Of::NothingToGain => Verdict::NothingToDo,
        Of::Planned => Verdict::Planned,
        Of::Committed => Verdict::Done,
        Of::Yielded => Verdict::Yielded,
        Of::Failed => Verdict::Failed,
    };
    let Rewritten { groups, files_before, files_after, .. } =
        if verdict == Verdict::Planned { report.planned } else { report.done };
    let mut summary = format!("{files_before} files became {files_after}, in {groups} groups");
    if report.yielded > 0 {
        summary.push_str(&format!("; {} groups were given up, others were faster", report.yielded));
    }
    if let Some(failed) = report.failed.first() {
        summary.push_str(&format!("; {} groups failed: {}: {}", report.failed.len(), failed.partition, failed.why));
    }
    let wished = wish.partitions.iter().flatten();
    let failed: BTreeSet<&str> = report.failed.iter().map(|failed| failed.partition.as_str()).collect();
    let is_vain = |key: &&PartitionKey| verdict == Verdict::NothingToDo || failed.contains(key.to_string().as_str());
    Done {
        verdict,
        summary,
        files_removed: report.done.files_before,
        in_vain: wished.filter(is_vain).cloned().collect(),
        report: value(report),
    }
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
