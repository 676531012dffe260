//! A position advances by ranges, not by an offset.

use protocol::{Offset, Position};

fn by_offset(position: &Position, next: Offset) {
    let _ = position.advance(next);
}

fn main() {}
