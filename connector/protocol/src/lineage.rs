//! Where a table's position is to be read from.
//!
//! The newest snapshot of the lineage that bears a position is the truth, since a rollback moves it together with the
//! rows. Nessie shows the current snapshot only, and a foreign commit (Trino's `optimize`) bears none: there the table
//! property is read. It tells the sequence number of the snapshot that it was committed with, and so whether that
//! snapshot can be an ancestor of what is there now:
//!
//! | lineage, none of it bearing a position | the property is |
//! |---|---|
//! | all later than the property | the position: whoever committed since has seen our rows |
//! | goes back before it, down to the first snapshot | of rows that are not in the table: read again from the start |
//! | goes back before it, and further than is shown | of a table that was rolled back: halt |
//!
//! The second line is what a first writer leaves who overwrote ours (connector/docs/adr/0002-first-writer-on-nessie.md).
//! Called with each load of a table.

use crate::halt::Halt;
use crate::position::{Counts, Position};

/// Key of the position, both in the snapshot summary and among the table properties.
pub const POSITION_KEY: &str = "kafka.position";

/// One snapshot as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotFact<'a> {
    /// Its sequence number.
    pub sequence_number: i64,
    /// The catalog shows parents, and this one has none. A snapshot of sequence number 1 has none in any case.
    pub root: bool,
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
    let Some(current) = lineage.first() else { return Err(Halt::TableRolledBack { written, current: 0 }) };
    // Had the property's snapshot been an ancestor, the lineage would have met it before this one.
    match lineage.iter().find(|snapshot| snapshot.sequence_number <= written) {
        None => Ok(position),
        Some(_) if lineage.iter().any(|snapshot| snapshot.root || snapshot.sequence_number == 1) => {
            from_the_start(position, written, current.sequence_number)
        }
        Some(before) => Err(Halt::TableRolledBack { written, current: before.sequence_number }),
    }
}

/// Takes a position back to where the table began, since nothing that it accounts for is in the table. The first offsets
/// are kept, so that records which Kafka has deleted since are a gap and not forgotten. Records of superseded topics
/// cannot be read again at all.
fn from_the_start(mut position: Position, written: i64, current: i64) -> Result<Position, Halt> {
    for topic in position.topics.values_mut() {
        if topic.ended.rows > 0 {
            return Err(Halt::TableRolledBack { written, current });
        }
        for at in topic.partitions.values_mut() {
            at.next = at.first;
            at.counts = Counts::default();
        }
    }
    Ok(position)
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

    fn fact(sequence_number: i64, position: Option<&str>) -> SnapshotFact<'_> {
        SnapshotFact { sequence_number, root: false, position }
    }

    fn foreign(sequence_number: i64) -> SnapshotFact<'static> {
        fact(sequence_number, None)
    }

    fn root(sequence_number: i64) -> SnapshotFact<'static> {
        SnapshotFact { root: true, ..foreign(sequence_number) }
    }

    /// Offsets 5 to 9 of one partition, and `ended` rows of a superseded topic.
    fn fed(seq: i64, ended: u64) -> String {
        format!(
            r#"{{"v":1,"seq":{seq},"topics":{{"t":{{"id":"a","epoch":1,"ended":[{ended},0,0],"parts":{{"0":[5,9,4,0]}}}}}}}}"#
        )
    }

    /// Next offset of that partition, and offsets accounted for.
    fn stands(position: &Position) -> (i64, u64) {
        (position.next("t", 0).unwrap().get(), position.counts().offsets())
    }

    #[test]
    fn the_newest_ancestor_that_bears_a_position_is_the_truth() {
        let (three, two, nine) = (text(3), text(2), text(9));
        let lineage = [foreign(4), fact(3, Some(&three)), fact(2, Some(&two)), root(1)];
        assert!(bears(&read_position(&lineage, Some(&nine)).unwrap(), 3));
    }

    #[test]
    fn after_a_foreign_commit_on_a_one_snapshot_catalog_the_property_tells() {
        let seven = text(7);
        assert!(bears(&read_position(&[foreign(8)], Some(&seven)).unwrap(), 7));
        // As far as the history was asked for, nobody was there before the property.
        assert!(bears(&read_position(&[foreign(9), foreign(8)], Some(&seven)).unwrap(), 7));
    }

    #[test]
    fn a_table_replaced_by_somebody_who_has_seen_our_rows_keeps_its_position() {
        assert_eq!(stands(&read_position(&[root(8)], Some(&fed(7, 0))).unwrap()), (9, 4));
    }

    #[test]
    fn a_property_from_the_future_means_that_the_table_was_rolled_back() {
        let nine = text(9);
        let rolled_back = |written, current| Err(Halt::TableRolledBack { written, current });
        assert_eq!(read_position(&[foreign(8)], Some(&nine)), rolled_back(9, 8));
        assert_eq!(read_position(&[], Some(&nine)), rolled_back(9, 0));
    }

    #[test]
    fn a_foreign_snapshot_of_the_propertys_own_number_is_not_its_descendant() {
        let nine = text(9);
        let halt = Err(Halt::TableRolledBack { written: 9, current: 9 });
        assert_eq!(read_position(&[foreign(9)], Some(&nine)), halt);
        assert!(bears(&read_position(&[foreign(10)], Some(&nine)).unwrap(), 9));
    }

    #[test]
    fn commits_on_top_of_a_rolled_back_table_do_not_hide_the_rollback() {
        let halt = Err(Halt::TableRolledBack { written: 4, current: 3 });
        assert_eq!(read_position(&[foreign(6), foreign(3), foreign(2)], Some(&text(4))), halt);
    }

    #[test]
    fn a_first_writer_who_overwrote_ours_takes_the_position_back_to_the_start() {
        for written in [1, 7] {
            for lineage in [&[foreign(1)][..], &[foreign(9), foreign(1)], &[root(1)], &[foreign(9), root(0)]] {
                let position = read_position(lineage, Some(&fed(written, 0))).unwrap();
                assert_eq!(stands(&position), (5, 0), "{lineage:?}");
                assert_eq!(Position::decode(&position.encode(2)).unwrap().0, position);
            }
        }
    }

    #[test]
    fn a_rollback_to_before_the_first_ingestion_takes_the_position_back_to_the_start() {
        assert_eq!(stands(&read_position(&[foreign(3), root(2)], Some(&fed(7, 0))).unwrap()), (5, 0));
    }

    #[test]
    fn rows_that_cannot_be_read_again_halt() {
        let halt = Err(Halt::TableRolledBack { written: 7, current: 1 });
        assert_eq!(read_position(&[foreign(1)], Some(&fed(7, 3))), halt);
    }

    #[test]
    fn a_later_commit_does_not_hide_that_the_table_was_rolled_back() {
        let nine = text(9);
        let snapshot = |sequence_number| SnapshotFact { sequence_number, root: false, position: None };
        let rolled_back = Err(Halt::TableRolledBack { written: 9, current: 5 });
        assert_eq!(read_position(&[snapshot(10), snapshot(5)], Some(&nine)), rolled_back);
        // Nothing older is shown: as on a catalog that shows one snapshot, or after expiry.
        assert!(read_position(&[snapshot(11), snapshot(10)], Some(&nine)).is_ok());
    }

    #[test]
    fn a_table_that_was_never_fed_has_an_empty_position() {
        assert_eq!(read_position(&[], None), Ok(Position::default()));
        assert_eq!(read_position(&[foreign(1)], None), Ok(Position::default()));
    }

    #[test]
    fn a_position_that_cannot_be_read_halts_and_is_not_guessed() {
        let lineage = [fact(1, Some("{}"))];
        assert!(matches!(read_position(&lineage, None), Err(Halt::PositionUnreadable(_))));
        assert!(matches!(read_position(&[foreign(1)], Some("{}")), Err(Halt::PositionUnreadable(_))));
    }
}
