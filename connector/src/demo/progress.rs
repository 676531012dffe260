//! What the demo says while it works, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Off a terminal a line is written each time another part of this many is done.
const LINES: u64 = 5;

/// One long piece of work that is being shown.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    lines: u64,
}

impl Progress {
    /// Begins to show the way of `total` records into the table.
    pub(super) fn start(total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total);
            let template = "  {bar:40.cyan/blue} {human_pos} of {human_len} records in the table, {msg}, {elapsed}";
            // The template is a constant; were it wrong, the bar's own style would do.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, total, lines: 0 }
    }

    /// Shows that the broker has `produced` records, of which `waiting` are not in the table yet.
    pub(super) fn at(&mut self, produced: u64, waiting: u64) {
        let done = produced.saturating_sub(waiting);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(format!("{} produced", HumanCount(produced)));
            return;
        }
        let lines = done.saturating_mul(LINES) / self.total.max(1);
        if lines > self.lines {
            self.lines = lines;
            say(&format!("  {} of {} records in the table", HumanCount(done), HumanCount(self.total)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A status that replaces the one before on a terminal, and is a line each time elsewhere.
#[derive(Debug)]
pub(super) struct StatusLine(Option<ProgressBar>);

impl StatusLine {
    pub(super) fn start() -> Self {
        Self(stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        }))
    }

    pub(super) fn set(&self, text: String) {
        match &self.0 {
            Some(bar) => bar.set_message(text),
            None => say(&text),
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// One line. Nobody listening is no reason to stop.
pub(super) fn say(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}
