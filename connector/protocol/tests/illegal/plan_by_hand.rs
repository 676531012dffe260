//! Leave to commit is given by `decide` and by `overrule` alone.

use protocol::{CommitPlan, Position};

fn by_hand(position: Position) -> CommitPlan {
    CommitPlan { uuid: String::new(), base: None, sequence_number: 1, position }
}

fn main() {}
