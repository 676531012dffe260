//! Rows as a number that does not depend on their order: what went in must be what comes out.
//!
//! Each row is hashed, value by value, in such a way that different rows say different things to the hash (a text says its
//! length first, a missing value that it is missing); the hashes are added. A lost, doubled or changed row changes the sum;
//! that two changes cancel each other out is as likely as a hash of 64 bits twice. It guards against mistakes, not against
//! somebody who makes up rows. Pure. Called by [`super::write`].

use std::hash::{BuildHasher, Hasher};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, SchemaRef};
use foldhash::quality::FixedState;

/// The same keys for both sums.
const HASH: FixedState = FixedState::with_seed(0);

/// Rows and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RowSum {
    pub(super) rows: u64,
    hashes: u128,
}

impl RowSum {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, hashes: self.hashes.wrapping_add(other.hashes) }
    }
}

/// Adds rows of one schema.
pub(super) struct RowSummer {
    schema: SchemaRef,
    sum: RowSum,
}

/// A column, by its type.
enum Column<'a> {
    Text(&'a StringArray),
    Int(&'a Int32Array),
    Instant(&'a TimestampMicrosecondArray),
}

impl<'a> Column<'a> {
    fn of(column: &'a ArrayRef) -> Result<Self, ArrowError> {
        let text = column.as_string_opt().map(Self::Text);
        let int = || column.as_primitive_opt::<Int32Type>().map(Self::Int);
        let instant = || column.as_primitive_opt::<TimestampMicrosecondType>().map(Self::Instant);
        let unknown = || ArrowError::NotYetImplemented(format!("rows with a column of {}", column.data_type()));
        text.or_else(int).or_else(instant).ok_or_else(unknown)
    }

    #[inline]
    fn tell(&self, row: usize, hasher: &mut impl Hasher) {
        match self {
            Self::Text(texts) if texts.is_valid(row) => {
                let text = texts.value(row).as_bytes();
                hasher.write_u64(text.len() as u64 + 1);
                hasher.write(text);
            }
            Self::Int(ints) if ints.is_valid(row) => {
                hasher.write_u64((1 << 32) | u64::from(ints.value(row).cast_unsigned()));
            }
            Self::Instant(instants) if instants.is_valid(row) => {
                hasher.write_u64(1);
                hasher.write_i64(instants.value(row));
            }
            _ => hasher.write_u64(0),
        }
    }
}

impl RowSummer {
    /// Nothing yet.
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self { schema: SchemaRef::clone(schema), sum: RowSum::default() }
    }

    /// Adds the rows of a batch of this schema.
    ///
    /// # Errors
    /// It has another one, or a type that no event has.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let types =
            |schema: &SchemaRef| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        if types(&self.schema) != types(&batch.schema()) {
            return Err(ArrowError::SchemaError(format!("rows of {} among those of {}", batch.schema(), self.schema)));
        }
        let columns = batch.columns().iter().map(Column::of).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let mut hasher = HASH.build_hasher();
            columns.iter().for_each(|column| column.tell(row, &mut hasher));
            self.sum.hashes = self.sum.hashes.wrapping_add(hasher.finish().into());
        }
        self.sum.rows += batch.num_rows() as u64;
        Ok(())
    }

    pub(super) fn sum(&self) -> RowSum {
        self.sum
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array, StringArray};

    use super::*;

    type Row = (Option<&'static str>, Option<&'static str>, i32);

    fn sum(batches: &[&[Row]]) -> RowSum {
        let batch = |rows: &[Row]| {
            let columns: [(&str, ArrayRef); 3] = [
                ("a", Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>())),
                ("b", Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>())),
                ("c", Arc::new(rows.iter().map(|row| row.2).collect::<Int32Array>())),
            ];
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
        };
        let batches: Vec<RecordBatch> = batches.iter().map(|rows| batch(rows)).collect();
        let mut summer = RowSummer::new(&batches[0].schema());
        batches.iter().for_each(|batch| summer.add(batch).unwrap());
        summer.sum()
    }

    #[test]
    fn neither_the_order_of_rows_nor_the_cut_into_batches_counts() {
        let (one, two, three) = ((Some("x"), None, 1), (None, Some("y"), 2), (Some("x"), None, 1));
        let all = sum(&[&[one, two, three]]);
        assert_eq!(all, sum(&[&[three, one], &[two]]));
        assert_eq!(all.rows, 3);
    }

    #[test]
    fn rows_of_another_schema_are_not_added() {
        let batch = |name: &str, column: ArrayRef| RecordBatch::try_from_iter([(name, column)]).unwrap();
        let texts = batch("a", Arc::new(StringArray::from(vec!["x"])));
        let ints = batch("a", Arc::new(Int32Array::from(vec![1])));
        let doubles = batch("a", Arc::new(arrow_array::Float64Array::from(vec![0.5])));
        let mut summer = RowSummer::new(&texts.schema());
        assert!(summer.add(&ints).is_err());
        assert_eq!(summer.sum(), RowSum::default());
        assert!(RowSummer::new(&doubles.schema()).add(&doubles).is_err());
    }

    #[test]
    fn every_change_counts() {
        let all = sum(&[&[(Some("x"), None, 1), (Some("y"), Some("z"), 2)]]);
        let changed: [&[_]; 6] = [
            &[(Some("x"), None, 1)],
            &[(None, Some("x"), 1), (Some("y"), Some("z"), 2)],
            &[(Some("x"), Some(""), 1), (Some("y"), Some("z"), 2)],
            &[(Some("x"), None, 2), (Some("y"), Some("z"), 1)],
            &[(Some("x"), None, 1), (Some("yz"), Some(""), 2)],
            &[(Some("x"), None, 1), (Some("x"), None, 1)],
        ];
        for rows in changed {
            assert_ne!(sum(&[rows]), all, "{rows:?}");
        }
    }
}
