//! `--dedupe event_id`: which rows repeat an event that is there already.
//!
//! Producers that are at-least-once send an event twice now and then, with the same id. Of the rows of one id that are looked at
//! together, the one that was taken in first stays (by `ingestion_timestamp`, then by the order of the files and of the rows in
//! them), and the others are marked, as rows of a file by their places. Rows without an id are never repeats, and rows that are
//! deleted are not looked at. Only the two columns are read; the ids are sorted in bounded memory. Called by [`super::compact`].

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::TryStreamExt;
use tokio::sync::mpsc;

use super::commit::Reading;
use super::deletes;
use super::order::SortKey;
use super::plan::FileFact;
use super::read::{self, Part};
use super::sort::{self, BrokenOff, Rows};
use super::write::GroupError;
use crate::deletes::Places;

/// The column by which events are told apart.
const EVENT_ID: &str = "event_id";
const TAKEN_IN: &str = "ingestion_timestamp";
/// Batches that wait to be sorted.
const BATCHES_WAITING: usize = 2;

/// Repeats in files that were read together, by the places of the files.
#[derive(Debug, Default, PartialEq)]
struct Repeats {
    places: HashMap<usize, Places>,
    /// For each of these files, the others that have the rows which stay.
    witnesses: HashMap<usize, BTreeSet<usize>>,
}

/// Marks the repeats in these files of one partition.
///
/// # Errors
/// [`GroupError`]: a file cannot be read, or the ids cannot be sorted.
pub(super) async fn mark(reading: &Reading, files: &mut [FileFact], memory_bytes: u64) -> Result<(), GroupError> {
    let deleted = deletes::places(&reading.deletes, files, &reading.base.store.file_io()).await?;
    let (out, rows) = mpsc::channel(BATCHES_WAITING);
    let keys = ["id", "taken_in", "file", "place"].map(|column| SortKey::new(column, false, Some(false)));
    let sorted = sort::sorted(schema(), sort::received(rows), &keys, memory_bytes).map_err(GroupError::sort)?;
    let feed = async {
        let fed = feed(reading, files, &deleted, &out).await;
        if fed.is_err() {
            // Else they would seem to be at their end. Nobody takes them any more if this fails.
            out.send(Err(BrokenOff)).await.ok();
        }
        drop(out);
        fed
    };
    let (fed, found) = tokio::join!(feed, find(sorted));
    fed?;
    let mut found = found?;
    let named: Vec<_> = files.iter().map(|file| (file.location.clone(), Arc::clone(&file.manifest))).collect();
    for (place, file) in files.iter_mut().enumerate() {
        file.repeats = found.places.remove(&place).unwrap_or_default();
        let witnesses = found.witnesses.remove(&place).unwrap_or_default();
        file.witnesses = witnesses.iter().filter_map(|witness| named.get(*witness).cloned()).collect();
    }
    Ok(())
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("taken_in", DataType::Int64, true),
        Field::new("file", DataType::UInt32, false),
        Field::new("place", DataType::UInt64, false),
    ]))
}

/// Reads ids and times and hands them on with their places.
async fn feed(
    reading: &Reading,
    files: &[FileFact],
    deleted: &HashMap<String, Places>,
    out: &mpsc::Sender<Rows>,
) -> Result<(), GroupError> {
    let layout = &reading.tools.layout;
    let is_wanted = |name: &str| name == EVENT_ID || name == TAKEN_IN;
    let columns = layout.schema().fields().iter().zip(layout.columns());
    let field_ids: Vec<i32> =
        columns.filter(|(field, _)| is_wanted(field.name())).map(|(_, column)| column.field_id).collect();
    let mut parts = pin!(read::parts(reading, files, &field_ids)?);
    let none = Places::new();
    while let Some(part) = parts.try_next().await? {
        let location = files.get(part.file).map_or("", |file| &file.location);
        let rows = narrow(&part, deleted.get(location).unwrap_or(&none))?;
        if out.send(Ok(rows)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The ids, times and places of the rows that have an id and are not deleted.
fn narrow(part: &Part, deleted: &Places) -> Result<RecordBatch, ArrowError> {
    let column = |name: &str| {
        part.rows.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("no column {name} was read")))
    };
    let (ids, taken_in) = (column(EVENT_ID)?, column(TAKEN_IN)?);
    let taken_in = taken_in
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(|| ArrowError::SchemaError(format!("{TAKEN_IN} is no time")))?;
    let count = part.rows.num_rows();
    let file = u32::try_from(part.file).unwrap_or(u32::MAX);
    let columns: Vec<ArrayRef> = vec![
        Arc::clone(ids),
        Arc::new(taken_in.reinterpret_cast::<Int64Type>()),
        Arc::new(UInt32Array::from_value(file, count)),
        Arc::new(UInt64Array::from_iter_values(part.first..part.first + count as u64)),
    ];
    let rows = RecordBatch::try_new(schema(), columns)?;
    let has_id = |place: u64| usize::try_from(place - part.first).is_ok_and(|row| ids.is_valid(row));
    Part { rows, ..*part }.pick(|place| has_id(place) && !deleted.contains(place))
}

/// Goes through the rows in the order of ids and finds those whose id the row before has.
async fn find(mut sorted: SendableRecordBatchStream) -> Result<Repeats, GroupError> {
    let (mut repeats, mut last, mut stays) = (Repeats::default(), String::new(), None);
    while let Some(batch) = sorted.try_next().await.map_err(GroupError::sort)? {
        let ids = batch.column(0).as_string::<i32>();
        let (files, places) =
            (batch.column(2).as_primitive::<UInt32Type>(), batch.column(3).as_primitive::<UInt64Type>());
        for ((id, file), place) in ids.iter().zip(files).zip(places) {
            let (Some(id), Some(file), Some(place)) = (id, file, place) else { continue };
            let file = file as usize;
            match stays {
                Some(witness) if last == id => {
                    repeats.places.entry(file).or_default().insert(place);
                    if witness != file {
                        repeats.witnesses.entry(file).or_default().insert(witness);
                    }
                }
                _ => {
                    last.clear();
                    last.push_str(id);
                    stays = Some(file);
                }
            }
        }
    }
    Ok(repeats)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow_array::StringArray;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::stream;

    use super::*;
    use crate::datafile::testing::batch;

    #[tokio::test]
    async fn of_one_id_the_first_row_stays_and_the_others_are_marked_with_who_has_it() {
        let rows = [("a", 1, 4), ("a", 1, 5), ("b", 0, 0), ("c", 0, 9), ("c", 1, 0), ("c", 2, 0), ("d", 2, 1)];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>()),
            Arc::new(arrow_array::Int64Array::from(vec![0; rows.len()])),
            Arc::new(rows.iter().map(|row| Some(row.1)).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<UInt64Array>()),
        ];
        let rows = RecordBatch::try_new(schema(), columns).unwrap();
        // Cut in the middle of an id.
        let cut = stream::iter([Ok(rows.slice(0, 1)), Ok(rows.slice(1, 4)), Ok(rows.slice(5, 2))]);
        let found = find(Box::pin(RecordBatchStreamAdapter::new(schema(), cut))).await.unwrap();
        let places = |places: &[u64]| places.iter().copied().collect::<Places>();
        assert_eq!(found.places, HashMap::from([(1, places(&[5, 0])), (2, places(&[0]))]));
        assert_eq!(found.witnesses, HashMap::from([(1, BTreeSet::from([0])), (2, BTreeSet::from([0]))]));
    }

    #[test]
    fn rows_without_an_id_and_deleted_ones_are_not_looked_at() {
        let rows = batch(6, |name, row| (name != EVENT_ID || row % 2 == 0).then(|| format!("e{row}")));
        let narrow = narrow(&Part { file: 3, first: 100, rows }, &[100, 101, 105].into_iter().collect()).unwrap();
        assert_eq!(narrow.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["e2", "e4"]);
        assert_eq!(narrow.column(3).as_primitive::<UInt64Type>().values().to_vec(), [102, 104]);
        assert_eq!(narrow.column(2).as_primitive::<UInt32Type>().values().to_vec(), [3, 3]);
    }
}
