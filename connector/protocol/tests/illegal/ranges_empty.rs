//! A batch without a range is no batch: `Ranges::new` gives none.

use std::collections::BTreeMap;

use protocol::Ranges;

fn by_hand() -> Ranges {
    Ranges { topics: BTreeMap::new() }
}

fn main() {}
