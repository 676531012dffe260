//! Are the files of a snapshot there, whole, and each referred to once? Do the manifests add up?
//!
//! Pure: what the manifests say and what the store answered come in as facts. Called by [`super::verify`].

use std::collections::BTreeMap;

use super::{Check, plural};

/// What a live file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows.
    Data,
    /// Places of rows that are deleted.
    PositionDeletes,
    /// Values of rows that are deleted.
    EqualityDeletes,
}

/// What the store has at a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An object of so many bytes.
    Bytes(u64),
    /// Nothing.
    Missing,
    /// It could not be looked up, or not be read; why.
    Unreadable(String),
}

/// A file that a live manifest entry refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFact {
    /// Its location.
    pub location: String,
    /// What it holds.
    pub kind: Kind,
    /// Its size in bytes, by the manifest.
    pub bytes: u64,
    /// Its records, by the manifest.
    pub records: u64,
    /// What is there.
    pub found: Found,
}

/// Files and rows of a manifest, by status of the entries: added, existing, deleted. None where the list leaves it out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries.
    pub files: [Option<u64>; 3],
    /// Records in the files of the entries.
    pub rows: [Option<u64>; 3],
}

/// A manifest, or the manifest list itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFact {
    /// Its location.
    pub location: String,
    /// Its size in bytes, by the list; none for the list itself.
    pub bytes: Option<u64>,
    /// What is there.
    pub found: Found,
    /// What the list says about its entries.
    pub listed: Tally,
    /// What its entries say; nothing if it could not be read.
    pub counted: Option<Tally>,
}

/// Checks that every manifest is there and says what the list says.
#[must_use]
pub fn manifests(facts: &[ManifestFact]) -> Check {
    let mut problems = Vec::new();
    for fact in facts {
        problems.extend(absent(&fact.location, fact.bytes, &fact.found));
        let Some(counted) = fact.counted else { continue };
        for (what, listed, counted) in
            [("files", fact.listed.files, counted.files), ("rows", fact.listed.rows, counted.rows)]
        {
            for ((status, listed), counted) in ["added", "existing", "deleted"].iter().zip(listed).zip(counted) {
                if let (Some(listed), Some(counted)) = (listed, counted)
                    && listed != counted
                {
                    let location = &fact.location;
                    problems.push(format!("{location}: the list says {listed} {status} {what}, there are {counted}"));
                }
            }
        }
    }
    let manifests = facts.iter().filter(|fact| fact.bytes.is_some()).count() as u64;
    let detail = match facts {
        [] => "no snapshot, no manifests".to_owned(),
        _ => format!("manifest list and {}", plural(manifests, "manifest")),
    };
    Check::new("manifests", detail, problems)
}

/// Checks that every live file is there with its size, and that none is referred to twice.
#[must_use]
pub fn files(facts: &[FileFact]) -> Check {
    let mut problems: Vec<String> =
        facts.iter().filter_map(|fact| absent(&fact.location, Some(fact.bytes), &fact.found)).collect();
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for fact in facts {
        *times.entry(&fact.location).or_default() += 1;
    }
    for (location, times) in times.into_iter().filter(|(_, times)| *times > 1) {
        problems.push(format!("{location} is referred to {times} times"));
    }
    let deletes = facts.iter().filter(|fact| fact.kind != Kind::Data).count() as u64;
    let bytes: u64 = facts.iter().map(|fact| fact.bytes).sum();
    let data = facts.len() as u64 - deletes;
    let also = if deletes == 0 { String::new() } else { format!(" and {}", plural(deletes, "delete file")) };
    let detail = format!("{}{also}, {bytes} bytes", plural(data, "data file"));
    Check::new("files", detail, problems)
}

fn absent(location: &str, bytes: Option<u64>, found: &Found) -> Option<String> {
    match (bytes, found) {
        (Some(bytes), Found::Bytes(found)) if bytes != *found => {
            Some(format!("{location} has {found} bytes, its entry says {bytes}"))
        }
        (_, Found::Bytes(_)) => None,
        (_, Found::Missing) => Some(format!("{location} is missing")),
        (_, Found::Unreadable(why)) => Some(format!("{location} cannot be read: {why}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(location: &str, found: Found) -> FileFact {
        FileFact { location: location.into(), kind: Kind::Data, bytes: 10, records: 3, found }
    }

    fn manifest(added: u64, rows: u64, found: Found) -> ManifestFact {
        let tally =
            |files, rows| Tally { files: [Some(files), Some(0), Some(0)], rows: [Some(rows), Some(0), Some(0)] };
        let (listed, counted) = (tally(2, 6), Some(tally(added, rows)));
        ManifestFact { location: "m".into(), bytes: Some(10), found, listed, counted }
    }

    #[test]
    fn files_that_are_there_once_and_whole_are_fine() {
        let check = files(&[file("a", Found::Bytes(10)), file("b", Found::Bytes(10))]);
        assert!(check.ok);
        assert_eq!(check.detail, "2 data files, 20 bytes");
    }

    #[test]
    fn a_missing_file_is_named() {
        let check = files(&[file("a", Found::Bytes(10)), file("b", Found::Missing)]);
        assert_eq!(check.problems, ["b is missing"]);
    }

    #[test]
    fn a_short_file_is_named_with_both_sizes() {
        assert_eq!(files(&[file("a", Found::Bytes(9))]).problems, ["a has 9 bytes, its entry says 10"]);
    }

    #[test]
    fn a_file_that_is_referred_to_twice_is_named_once() {
        let check = files(&[file("a", Found::Bytes(10)), file("a", Found::Bytes(10))]);
        assert_eq!(check.problems, ["a is referred to 2 times"]);
    }

    #[test]
    fn manifests_must_be_there_and_agree_with_the_list() {
        assert!(manifests(&[manifest(2, 6, Found::Bytes(10))]).ok);
        let check = manifests(&[manifest(1, 5, Found::Bytes(10))]);
        let expected = ["m: the list says 2 added files, there are 1", "m: the list says 6 added rows, there are 5"];
        assert_eq!(check.problems, expected);
        let gone = ManifestFact { counted: None, ..manifest(2, 6, Found::Missing) };
        assert_eq!(manifests(&[gone]).problems, ["m is missing"]);
        assert_eq!(manifests(&[manifest(2, 6, Found::Bytes(4))]).problems, ["m has 4 bytes, its entry says 10"]);
    }

    #[test]
    fn counts_that_a_list_leaves_out_are_not_compared() {
        let silent = ManifestFact { listed: Tally::default(), ..manifest(1, 1, Found::Bytes(10)) };
        assert!(manifests(&[silent]).ok);
    }
}
