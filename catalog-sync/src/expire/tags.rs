//! Daily tags on Nessie: made for days that are over, retired when they are old.
//!
//! A tag keeps the state of the whole catalog at the end of a day, whatever the cut-off of the branch says. Its name is the
//! table's with the day, so that making it twice is making it once. [`plan`] is pure. Called by [`super`], before anything
//! is looked for that nobody needs.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use iceberg::TableIdent;
use serde::Serialize;

use crate::catalog::{CatalogClient, CatalogError, Commits, Reference};
use crate::reach::cutoff::Cutoff;

/// What was done about tags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tags {
    /// Made, or to be made by a dry run.
    pub made: Vec<String>,
    /// Retired, or to be retired.
    pub retired: Vec<String>,
}

/// Days whose tag is missing, oldest first, and tags that are too old.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Days that are over.
    pub missing: Vec<NaiveDate>,
    /// Names.
    pub old: Vec<String>,
}

/// Plans for `keep` days before today; `prefix` is what names begin with.
#[must_use]
pub fn plan<'a>(names: impl Iterator<Item = &'a str>, prefix: &str, keep: u32, today: NaiveDate) -> Plan {
    let day_of = |name: &'a str| Some((name.strip_prefix(prefix)?.parse::<NaiveDate>().ok()?, name));
    let tagged: BTreeMap<NaiveDate, &str> = names.filter_map(day_of).collect();
    let first = today.checked_sub_days(Days::new(keep.into())).unwrap_or(NaiveDate::MIN);
    let old = tagged.range(..first).map(|(_, name)| (*name).to_owned()).collect();
    let days = first.iter_days().take_while(|day| *day < today);
    Plan { missing: days.filter(|day| !tagged.contains_key(day)).collect(), old }
}

/// Makes and retires tags; `keep` of them, 0 leaves all tags alone.
///
/// # Errors
/// [`CatalogError`]; what was done stays.
pub async fn keep(
    client: &CatalogClient,
    ident: &TableIdent,
    (keep, cutoff): (u32, Cutoff),
    now: DateTime<Utc>,
    dry_run: bool,
) -> Result<Tags, CatalogError> {
    let mut done = Tags::default();
    if keep == 0 {
        return Ok(done);
    }
    let references = client.nessie_references().await?;
    let prefix = format!("{}-daily-", ident.name());
    let tags = || references.iter().filter(|reference| !reference.is_branch);
    let plan = plan(tags().map(|tag| tag.name.as_str()), &prefix, keep, now.date_naive());
    let name = client.branch();
    if let Some(branch) = references.iter().find(|reference| reference.is_branch && reference.name == name) {
        for (day, hash) in ends(client, ident, branch, &plan.missing, cutoff, now).await? {
            let tag = format!("{prefix}{day}");
            if !dry_run {
                match client.make_tag(&tag, &branch.name, &hash).await {
                    // Another run was faster.
                    Ok(()) | Err(CatalogError::AlreadyExists { .. }) => {}
                    Err(error) => return Err(error),
                }
                tracing::info!(table = %ident, tag, hash, "made a tag");
            }
            done.made.push(tag);
        }
    }
    for tag in tags().filter(|tag| plan.old.contains(&tag.name)) {
        if !dry_run {
            match client.remove_tag(&tag.name, &tag.hash).await {
                Ok(()) | Err(CatalogError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            tracing::info!(table = %ident, tag = tag.name, "retired a tag");
        }
        done.retired.push(tag.name.clone());
    }
    Ok(done)
}

/// The newest commit of each of these days or before it, if the table is there in it. Days whose end is beyond the cut-off
/// are left out: files of their states may be gone.
async fn ends(
    client: &CatalogClient,
    ident: &TableIdent,
    branch: &Reference,
    days: &[NaiveDate],
    cutoff: Cutoff,
    now: DateTime<Utc>,
) -> Result<Vec<(NaiveDate, String)>, CatalogError> {
    let mut left: Vec<NaiveDate> = days.to_vec();
    let key: Vec<String> = ident.namespace().as_ref().iter().cloned().chain([ident.name().to_owned()]).collect();
    let (mut found, mut page, mut place) = (Vec::new(), None, 0);
    while !left.is_empty() {
        let Commits { commits, next } = client.nessie_commits(&branch.name, &branch.hash, page.as_deref()).await?;
        for commit in commits {
            while left.last().is_some_and(|day| commit.time < end(*day)) {
                let Some(day) = left.pop() else { break };
                // What was to be seen at the cut-off is kept as well.
                if !cutoff.keeps(end(day), place, now) {
                    return Ok(found);
                }
                let contents = client.nessie_contents(&branch.name, &commit.hash).await?;
                if contents.iter().any(|content| content.key == key) {
                    found.push((day, commit.hash.clone()));
                }
            }
            place += 1;
        }
        match next {
            Some(next) => page = Some(next),
            None => break,
        }
    }
    Ok(found)
}

/// The moment when a day is over.
fn end(day: NaiveDate) -> DateTime<Utc> {
    day.succ_opt().unwrap_or(day).and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_over_get_a_tag_and_old_tags_go() {
        let day = |day: u32| NaiveDate::from_ymd_opt(2026, 3, day).unwrap_or_default();
        let names =
            ["clicks-daily-2026-03-01", "clicks-daily-2026-03-08", "clicks-daily-x", "other-daily-2026-01-01", "main"];
        let plan = plan(names.into_iter(), "clicks-daily-", 3, day(10));
        assert_eq!(plan, Plan { missing: vec![day(7), day(9)], old: vec!["clicks-daily-2026-03-01".to_owned()] });
    }
}
