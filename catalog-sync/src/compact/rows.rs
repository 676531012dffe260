//! Rows as a number that does not depend on their order: what went in must be what comes out.
//!
//! Each row is put into a form of bytes in which equal rows are equal and others are not (Arrow's row format), hashed, and
//! the hashes are added. A lost, doubled or changed row changes the sum; that two changes cancel each other out is as likely
//! as a hash of 64 bits twice. Pure. Called by [`super::write`].

use std::hash::Hasher;

use arrow_array::RecordBatch;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, SchemaRef};

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
    converter: RowConverter,
    sum: RowSum,
}

impl RowSummer {
    /// Nothing yet.
    ///
    /// # Errors
    /// A type that cannot be put into rows.
    pub(super) fn new(schema: &SchemaRef) -> Result<Self, ArrowError> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Self { converter: RowConverter::new(fields)?, sum: RowSum::default() })
    }

    /// Adds the rows of a batch of this schema.
    ///
    /// # Errors
    /// It has another one.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for row in &self.converter.convert_columns(batch.columns())? {
            // Of the standard library, whose keys are the same in both sums.
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(row.as_ref());
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
        let mut summer = RowSummer::new(&batches[0].schema()).unwrap();
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
