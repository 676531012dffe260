//! Rows and rejects are counted against a range: `BatchRange::new` refuses more records than offsets.

use protocol::{BatchRange, Counts, OffsetRange};

fn by_hand(range: OffsetRange) -> BatchRange {
    BatchRange { range, first: true, counts: Counts::default() }
}

fn main() {}
