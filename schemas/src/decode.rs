//! Bytes of a record in, one row of columns or a [`Reject`] out.
//!
//! Three steps, each able to refuse the record, and only the fourth touches the columns, so that a record gives exactly one
//! row or leaves no trace:
//!
//! 1. the bytes: present, not too long, UTF-8 (here);
//! 2. the syntax: one JSON object, nothing after it, no key twice (`record`, on `scan` and `keys`), which finds each field;
//! 3. the values: types, ranges, times, limits (`value`, and `text` for escapes);
//! 4. the columns: Arrow builders (`columns`).
//!
//! The syntax of the whole record is judged before any value, so the code of a reject does not depend on the order of keys.
//! Strings without escapes are borrowed from the record until they are copied into their column; nothing is allocated for an
//! ordinary record. Work and memory are bounded by the size limit of a record. The connector owns one decoder per worker
//! thread, and calls [`ClickDecoder::finish`] at each flush.

mod columns;
mod keys;
mod policy;
mod record;
mod scan;
mod text;
mod value;

use arrow_array::RecordBatch;

pub use self::policy::{DecodePolicy, PolicyError, UnknownFields};
pub use self::record::DEPTH_MAX;
use crate::reject::{Reject, RejectCode};

/// Turns records into rows of one growing batch.
#[derive(Debug)]
pub struct ClickDecoder {
    policy: DecodePolicy,
    checks: value::Checks,
    columns: columns::Columns,
}

impl ClickDecoder {
    /// A decoder without rows. Names in `policy.required` that are no field of an event are missing in every record;
    /// [`DecodePolicy::check`] finds them beforehand.
    #[must_use]
    pub fn new(policy: DecodePolicy) -> Self {
        Self { checks: value::Checks::new(&policy), columns: columns::Columns::new(), policy }
    }

    /// Appends exactly one row, or nothing at all. `ingestion_micros` is the time of taking in, in microseconds since 1970.
    ///
    /// Call [`Self::finish`] long before [`Self::bytes`] reaches 2 GiB, the most that an Arrow string column can hold.
    ///
    /// # Errors
    /// The reason why the record cannot become a row.
    pub fn decode(&mut self, value: Option<&[u8]>, ingestion_micros: i64) -> Result<(), Reject> {
        let text = self.text(value)?;
        let mut raw = record::NO_FIELDS;
        record::read(text, self.policy.unknown_fields, &mut raw)?;
        let mut row = value::Row::new();
        self.checks.fill(&mut row, &raw, &self.policy)?;
        self.columns.append(&row, ingestion_micros);
        Ok(())
    }

    /// How many rows wait for [`Self::finish`].
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.rows()
    }

    /// How many bytes these rows hold in memory, by estimate: the text, and the fixed part of each row.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.columns.bytes()
    }

    /// All rows since the last call, in the order they came, in the schema of [`crate::table::arrow_schema`]. The decoder is
    /// empty afterwards and expects a batch of the same size.
    pub fn finish(&mut self) -> RecordBatch {
        self.columns.finish()
    }

    /// The value as text, if it can be read as such.
    fn text<'a>(&self, value: Option<&'a [u8]>) -> Result<&'a str, Reject> {
        let bytes = value.ok_or_else(|| Reject::new(RejectCode::Tombstone, "the record has no value"))?;
        let limit = self.policy.record_bytes_max;
        if bytes.len() > limit {
            let detail = format!("the value has {} bytes, the limit is {limit}", bytes.len());
            return Err(Reject::new(RejectCode::TooLarge, detail));
        }
        if bytes.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            return Err(Reject::new(RejectCode::Empty, format!("the value holds no text in {} bytes", bytes.len())));
        }
        if bytes.starts_with(b"\xEF\xBB\xBF") {
            return Err(Reject::new(RejectCode::Bom, "the value begins with a UTF-8 byte order mark"));
        }
        // The fast judge says yes or no; only for a no it matters where.
        simdutf8::basic::from_utf8(bytes).or_else(|_| str::from_utf8(bytes)).map_err(|error| {
            let detail = format!("the byte at offset {} is not part of UTF-8 text", error.valid_up_to());
            Reject::new(RejectCode::InvalidUtf8, detail)
        })
    }
}

impl Default for ClickDecoder {
    fn default() -> Self {
        Self::new(DecodePolicy::default())
    }
}

#[cfg(test)]
#[path = "decode/tests.rs"]
mod tests;
