//! Rows that wait to be encoded: the batches in which they came, uncut, and the lane of each row.
//!
//! A lane is a partition key of the table ([`Lanes`] numbers them). Cutting each batch into its lanes as it comes would cost
//! 26 columns with their buffers for each piece, some 14 KiB, however few rows are in it: with thousands of lanes far more
//! than the rows. Here a row costs its own bytes and four more, whatever the number of lanes, and it is copied once, when its
//! lane is gathered. Used by [`Encoder`](super::encode::Encoder) only.

use std::collections::HashMap;
use std::mem;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave_record_batch;
use schemas::partition::{PartitionKey, day_of};

/// Place of a row: batch, row in it.
pub(super) type Place = (usize, usize);

/// The partition keys of a batch, numbered as they turn up.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    numbers: HashMap<String, HashMap<i32, u32>>,
    keys: Vec<PartitionKey>,
}

impl Lanes {
    /// The lane of each row.
    fn of_rows(&mut self, batch: &RecordBatch) -> Result<Vec<u32>, ArrowError> {
        let times = whole_column(batch, "event_timestamp")?.as_primitive_opt::<TimestampMicrosecondType>();
        let types = whole_column(batch, "event_type")?.as_string_opt::<i32>();
        let (Some(times), Some(types)) = (times, types) else {
            return Err(ArrowError::SchemaError(
                "event_timestamp or event_type does not have the type of the table".into(),
            ));
        };
        Ok(times
            .values()
            .iter()
            .enumerate()
            .map(|(row, micros)| self.number(day_of(*micros), types.value(row)))
            .collect())
    }

    fn number(&mut self, day: i32, event_type: &str) -> u32 {
        if let Some(number) = self.numbers.get(event_type).and_then(|days| days.get(&day)) {
            return *number;
        }
        // A batch has at most 2^31 rows, and a lane has one at least.
        let number = self.keys.len() as u32;
        self.keys.push(PartitionKey { day, event_type: event_type.to_owned() });
        self.numbers.entry(event_type.to_owned()).or_default().insert(day, number);
        number
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The partition key of a lane.
    pub(super) fn key(&self, lane: usize) -> &PartitionKey {
        &self.keys[lane]
    }
}

/// A column without NULLs: a row without a time or a type has no partition. The decoder never makes one.
fn whole_column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, ArrowError> {
    let column = batch.column_by_name(name).filter(|column| column.null_count() == 0);
    let column = column.ok_or_else(|| ArrowError::SchemaError(format!("{name} is absent, or NULL in some rows")))?;
    Ok(column.as_ref())
}

/// Rows in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Stage {
    batches: Vec<RecordBatch>,
    lanes: Vec<Vec<u32>>,
    rows: usize,
    bytes: u64,
}

impl Stage {
    /// Takes the rows of a batch, whatever their lanes.
    ///
    /// # Errors
    /// The batch lacks the columns that tell the lane.
    pub(super) fn push(&mut self, lanes: &mut Lanes, batch: RecordBatch) -> Result<(), ArrowError> {
        let numbers = lanes.of_rows(&batch)?;
        self.put(batch, numbers);
        Ok(())
    }

    fn put(&mut self, batch: RecordBatch, numbers: Vec<u32>) {
        self.rows += batch.num_rows();
        self.bytes += (batch.get_array_memory_size() + numbers.capacity() * size_of::<u32>()) as u64;
        self.batches.push(batch);
        self.lanes.push(numbers);
    }

    /// Memory held, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All rows by lane; the stage is empty then.
    pub(super) fn sort(&mut self, lanes: usize) -> Sorted {
        let stage = mem::take(self);
        let mut ends = vec![0; lanes];
        for lane in stage.lanes.iter().flatten() {
            ends[*lane as usize] += 1;
        }
        // Where each lane begins; counted on to where it ends while the rows are put in their places.
        let mut sum = 0;
        for end in &mut ends {
            sum += mem::replace(end, sum);
        }
        let mut order = vec![(0, 0); stage.rows];
        for (batch, numbers) in stage.lanes.iter().enumerate() {
            for (row, lane) in numbers.iter().enumerate() {
                let at = &mut ends[*lane as usize];
                order[*at] = (batch, row);
                *at += 1;
            }
        }
        Sorted { batches: stage.batches, order, ends }
    }

    /// Takes these lanes of what was sorted, as one batch of their rows only.
    ///
    /// # Errors
    /// More text than a column can hold.
    pub(super) fn keep(&mut self, sorted: &Sorted, lanes: &[usize]) -> Result<(), ArrowError> {
        let mut places = Vec::new();
        let mut numbers = Vec::new();
        for &lane in lanes {
            places.extend_from_slice(sorted.lane(lane));
            numbers.resize(places.len(), lane as u32);
        }
        if !places.is_empty() {
            let batch = sorted.gather(&places)?;
            self.put(batch, numbers);
        }
        Ok(())
    }
}

/// Rows by lane, in order of arrival within each.
#[derive(Debug)]
pub(super) struct Sorted {
    batches: Vec<RecordBatch>,
    order: Vec<Place>,
    /// Where each lane ends in `order`.
    ends: Vec<usize>,
}

impl Sorted {
    /// The rows of a lane.
    pub(super) fn lane(&self, lane: usize) -> &[Place] {
        let start = if lane == 0 { 0 } else { self.ends[lane - 1] };
        &self.order[start..self.ends[lane]]
    }

    /// All rows.
    pub(super) fn rows(&self) -> usize {
        self.order.len()
    }

    /// These rows as one batch; at least one. Rows that lie side by side are not copied.
    ///
    /// # Errors
    /// More text than a column can hold.
    pub(super) fn gather(&self, places: &[Place]) -> Result<RecordBatch, ArrowError> {
        let side_by_side = |pair: &[Place]| pair[0].0 == pair[1].0 && pair[0].1 + 1 == pair[1].1;
        if let Some(&(batch, row)) = places.first()
            && places.windows(2).all(side_by_side)
        {
            return Ok(self.batches[batch].slice(row, places.len()));
        }
        interleave_record_batch(&self.batches.iter().collect::<Vec<_>>(), places)
    }
}
