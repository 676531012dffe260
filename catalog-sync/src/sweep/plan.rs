//! The decision: which of a table's files may be deleted. Pure. Called by [`super`] and by the simulation.
//!
//! A file is a suspect if nothing reaches it, it is old enough, and it is of a kind that a table has. What merely lies in the
//! table's folder is left alone: files of unknown names, version hints, statistics and metadata files that nobody has proven
//! to be this table's.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::reach::cutoff::age_of;

/// What a file is, by its name below the table's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Data, deletes, a manifest or a manifest list.
    Content,
    /// A metadata file; this table's if its uuid says so.
    Metadata,
    /// Statistics; this table's if a metadata file of it names them.
    Statistics,
    /// A record of an earlier sweep.
    Record,
    /// Anything else.
    Unknown,
}

/// End of the name of a record of files that wait to be deleted.
pub const RECORD_END: &str = ".quarantine.json";

/// What a file is.
#[must_use]
pub fn kind(name: &str) -> Kind {
    let file = name.rsplit('/').next().unwrap_or(name);
    let ends = |ends: &[&str]| ends.iter().any(|end| file.ends_with(end));
    let is_in_metadata = name.split('/').rev().nth(1) == Some("metadata");
    match () {
        // Hidden files are no table's: checksums of Hadoop, temporary files.
        () if file.starts_with(['.', '_']) => Kind::Unknown,
        () if file.ends_with(RECORD_END) => Kind::Record,
        () if ends(&[".metadata.json", ".metadata.json.gz"]) => Kind::Metadata,
        () if ends(&[".stats", ".puffin"]) || is_in_metadata && ends(&[".parquet", ".orc"]) => Kind::Statistics,
        () if ends(&[".parquet", ".orc", ".avro"]) => Kind::Content,
        () => Kind::Unknown,
    }
}

/// What becomes of a listed file, as far as its name, its age and the references tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Somebody needs it.
    Reached,
    /// Nobody does, but a writer may have just made it.
    Young,
    /// Nobody does.
    Suspect(Kind),
    /// Nobody knows what it is.
    Left,
}

/// Judges a file.
#[must_use]
pub fn judge(
    kind: Kind,
    is_reached: bool,
    modified: DateTime<Utc>,
    now: DateTime<Utc>,
    older_than: Duration,
) -> Judgement {
    match kind {
        Kind::Record | Kind::Unknown => Judgement::Left,
        _ if is_reached => Judgement::Reached,
        _ if age_of(modified, now) < older_than || modified > now => Judgement::Young,
        kind => Judgement::Suspect(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_table_writes_is_a_candidate() {
        let kinds = [
            ("data/event_timestamp_day=2026-01-01/a.parquet", Kind::Content),
            ("data/a.orc", Kind::Content),
            ("metadata/snap-1-0-x.avro", Kind::Content),
            ("metadata/x-m0.avro", Kind::Content),
            ("metadata/00001-x.metadata.json", Kind::Metadata),
            ("metadata/00001-x.gz.metadata.json", Kind::Metadata),
            ("metadata/v3.metadata.json.gz", Kind::Metadata),
            ("metadata/2026-x.stats", Kind::Statistics),
            ("metadata/partition-stats-1.parquet", Kind::Statistics),
            ("data/dv.puffin", Kind::Statistics),
            ("metadata/0198-x.quarantine.json", Kind::Record),
            ("metadata/version-hint.text", Kind::Unknown),
            ("data/.a.parquet.crc", Kind::Unknown),
            ("data/_SUCCESS", Kind::Unknown),
            ("data/_temporary.parquet", Kind::Unknown),
            ("README", Kind::Unknown),
        ];
        for (name, expected) in kinds {
            assert_eq!(kind(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_reached_or_young_or_from_the_future_is_no_suspect() {
        let now = DateTime::UNIX_EPOCH + chrono::Duration::days(10);
        let days = |days: i64| DateTime::UNIX_EPOCH + chrono::Duration::days(days);
        let judge = |reached, modified| judge(Kind::Content, reached, modified, now, Duration::from_secs(3 * 86_400));
        assert_eq!(judge(true, days(1)), Judgement::Reached);
        assert_eq!(judge(false, days(8)), Judgement::Young);
        assert_eq!(judge(false, days(7)), Judgement::Suspect(Kind::Content));
        let zero = super::judge(Kind::Content, false, days(11), now, Duration::ZERO);
        assert_eq!(zero, Judgement::Young);
    }
}
