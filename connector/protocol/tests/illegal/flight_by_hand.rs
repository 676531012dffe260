//! At most one batch of a task is on its way, and only a verdict ends its flight.

fn forget(task: &mut protocol::task::Task) {
    task.flight = None;
}

fn main() {}
