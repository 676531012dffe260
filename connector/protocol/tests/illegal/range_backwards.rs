//! A range runs forward: `OffsetRange::new` refuses any other.

use protocol::{Offset, OffsetRange};

fn by_hand(start: Offset, end: Offset) -> OffsetRange {
    OffsetRange { start: end, end: start }
}

fn main() {}
