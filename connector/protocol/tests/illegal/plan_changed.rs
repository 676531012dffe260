//! A plan is committed as it was decided.

use protocol::CommitPlan;

fn elsewhere(plan: &mut CommitPlan) {
    plan.base = None;
}

fn main() {}
