//! Where a table's position is to be read from.
//!
//! Catalogs with history show the snapshots back to the first: the newest that bears a position is the truth, since a
//! rollback moves it together with the rows. Nessie shows the current snapshot only, and a foreign commit (Trino's
//! `optimize`) bears none: there the table property is read, and the sequence number inside it tells whether the table
//! was rolled back since.

use crate::halt::Halt;
use crate::position::Position;

/// Key of the position, both in the snapshot summary and among the table properties.
pub const POSITION_KEY: &str = "kafka.position";

/// One snapshot as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotFact<'a> {
    /// Its sequence number.
    pub sequence_number: i64,
    /// Its position, if it bears one.
    pub position: Option<&'a str>,
}

/// The position of a table. `lineage` goes from the current snapshot to its ancestors as far as the catalog shows them;
/// `property` is the table property.
///
/// # Errors
/// [`Halt::PositionUnreadable`] and [`Halt::TableRolledBack`].
pub fn read_position(lineage: &[SnapshotFact<'_>], property: Option<&str>) -> Result<Position, Halt> {
    let decode = |text: &str| Position::decode(text).map_err(|error| Halt::PositionUnreadable(error.to_string()));
    if let Some(text) = lineage.iter().find_map(|snapshot| snapshot.position) {
        return Ok(decode(text)?.0);
    }
    let Some(text) = property else { return Ok(Position::default()) };
    let (position, written) = decode(text)?;
    let current = lineage.first().map_or(0, |snapshot| snapshot.sequence_number);
    if written > current { Err(Halt::TableRolledBack { written, current }) } else { Ok(position) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(seq: i64) -> String {
        format!(r#"{{"v":1,"seq":{seq},"topics":{{"t{seq}":{{"id":"a","epoch":0,"ended":[0,0,0],"parts":{{}}}}}}}}"#)
    }

    fn bears(position: &Position, seq: i64) -> bool {
        position.topics.contains_key(&format!("t{seq}"))
    }

    #[test]
    fn the_newest_ancestor_that_bears_a_position_is_the_truth() {
        let (three, two, nine) = (text(3), text(2), text(9));
        let lineage = [
            SnapshotFact { sequence_number: 4, position: None },
            SnapshotFact { sequence_number: 3, position: Some(&three) },
            SnapshotFact { sequence_number: 2, position: Some(&two) },
        ];
        assert!(bears(&read_position(&lineage, Some(&nine)).unwrap(), 3));
    }

    #[test]
    fn after_a_foreign_commit_on_a_one_snapshot_catalog_the_property_tells() {
        let seven = text(7);
        let lineage = [SnapshotFact { sequence_number: 8, position: None }];
        assert!(bears(&read_position(&lineage, Some(&seven)).unwrap(), 7));
    }

    #[test]
    fn a_property_from_the_future_means_that_the_table_was_rolled_back() {
        let nine = text(9);
        let lineage = [SnapshotFact { sequence_number: 8, position: None }];
        assert_eq!(read_position(&lineage, Some(&nine)), Err(Halt::TableRolledBack { written: 9, current: 8 }));
    }

    #[test]
    fn a_table_that_was_never_fed_has_an_empty_position() {
        assert_eq!(read_position(&[], None), Ok(Position::default()));
    }

    #[test]
    fn a_position_that_cannot_be_read_halts_and_is_not_guessed() {
        let lineage = [SnapshotFact { sequence_number: 1, position: Some("{}") }];
        assert!(matches!(read_position(&lineage, None), Err(Halt::PositionUnreadable(_))));
    }
}
