//! The result as Markdown, to be pasted, and as JSON, to be kept: who, on what, when, and each system held against the first.

use std::fmt::Write;

use anyhow::Result;
use chrono::{NaiveDate, Utc};
use serde::Serialize;

use crate::compare::{Run, Wanted, variable};
use crate::fill::Filled;
use crate::measure::Machine;

/// Everything that a reader needs to do it again.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    date: NaiveDate,
    machine: Machine,
    /// Of the servers, by name.
    servers: Vec<(&'static str, String)>,
    events: u64,
    bytes_per_event: u64,
    table_partitions: usize,
    seed: u64,
    commit_ms: u64,
    systems: Vec<Line>,
}

/// One system.
#[derive(Debug, Serialize)]
struct Line {
    system: String,
    wall_seconds: f64,
    events_per_second: f64,
    warm_events_per_second: Option<f64>,
    cpu_seconds_per_million: f64,
    memory_peak_bytes: u64,
    files: u64,
    bytes: u64,
    commits: u64,
    /// As many as were produced, or there would be no report.
    rows: u64,
    counted_by: &'static str,
}

impl Report {
    pub(crate) fn of(wanted: &Wanted, filled: &Filled, runs: &[Run]) -> Result<Self> {
        let server = |name, key| variable(key).map(|version| (name, version));
        Ok(Self {
            date: Utc::now().date_naive(),
            machine: Machine::this()?,
            servers: vec![
                server("Kafka", "KAFKA_VERSION")?,
                server("MinIO", "MINIO_VERSION")?,
                server("Nessie", "NESSIE_VERSION")?,
            ],
            events: filled.events,
            bytes_per_event: filled.bytes / filled.events,
            table_partitions: filled.table_partitions,
            seed: wanted.seed,
            commit_ms: wanted.commit_ms,
            systems: runs.iter().map(|run| Line::of(run, filled.events)).collect(),
        })
    }
}

impl Line {
    fn of(run: &Run, events: u64) -> Self {
        let wall = run.wall.as_secs_f64();
        Self {
            system: run.title.clone(),
            wall_seconds: wall,
            events_per_second: events as f64 / wall,
            warm_events_per_second: run.warm,
            cpu_seconds_per_million: run.usage.cpu.as_secs_f64() * 1e6 / events as f64,
            memory_peak_bytes: run.usage.memory_peak,
            files: run.contents.files,
            bytes: run.contents.bytes,
            commits: run.contents.commits,
            rows: events,
            counted_by: run.contents.counted_by,
        }
    }

    /// The numbers of the table, in the order of its columns.
    fn numbers(&self) -> [f64; 8] {
        let whole = |number: u64| number as f64;
        [
            self.wall_seconds,
            self.events_per_second,
            // No figure, where a single commit had it all.
            self.warm_events_per_second.unwrap_or(f64::NAN),
            self.cpu_seconds_per_million,
            whole(self.memory_peak_bytes) / 1e6,
            whole(self.files),
            whole(self.bytes) / 1e6,
            whole(self.commits),
        ]
    }
}

const COLUMNS: [&str; 8] =
    ["wall, s", "events/s", "warm events/s", "CPU-s per million", "peak memory, MB", "files", "MB in files", "commits"];
/// Digits after the point, by column.
const DIGITS: [usize; 8] = [1, 0, 0, 2, 0, 0, 1, 0];

/// One table, and what it was measured on.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = format!("| | {} |\n|---|{}\n", COLUMNS.join(" | "), "---:|".repeat(COLUMNS.len()));
    let mut row = |name: &str, numbers: [String; 8]| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "| {name} | {} |", numbers.join(" | "));
    };
    for line in &report.systems {
        let numbers = line.numbers();
        row(&line.system, std::array::from_fn(|at| figure(numbers[at], DIGITS[at])));
    }
    let first = report.systems.first().map(Line::numbers).unwrap_or_default();
    for line in report.systems.iter().skip(1) {
        let numbers = line.numbers();
        let ratios = std::array::from_fn(|at| ratio(numbers[at], first[at]));
        row(&format!("{} : {}", line.system, report.systems[0].system), ratios);
    }
    let Machine { processor, cores, memory_gib } = &report.machine;
    let servers: Vec<String> = report.servers.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let counted: Vec<&str> = report.systems.iter().map(|line| line.counted_by).collect();
    let _ = write!(
        text,
        "\n{} events of {} bytes on average (seed {}), into {} partitions of the table; a commit each {} s. Every table \
         holds every event once, counted by {}.\n{}, {cores} cores, {memory_gib} GiB, servers on the same cores: {}. {}.",
        figure(report.events as f64, 0),
        report.bytes_per_event,
        report.seed,
        report.table_partitions,
        report.commit_ms as f64 / 1e3,
        counted.first().unwrap_or(&"nobody"),
        processor,
        servers.join(", "),
        report.date
    );
    text
}

pub(crate) fn ratio(number: f64, to: f64) -> String {
    let ratio = number / to;
    if ratio.is_finite() { format!("× {ratio:.2}") } else { "–".to_owned() }
}

/// A number with commas between its thousands.
pub(crate) fn figure(number: f64, digits: usize) -> String {
    if !number.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{number:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or(grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(system: &str, scale: u64) -> Line {
        Line {
            system: system.to_owned(),
            wall_seconds: 12.5 * scale as f64,
            events_per_second: 160_000.0 / scale as f64,
            warm_events_per_second: (scale > 1).then_some(40_000.0),
            cpu_seconds_per_million: 4.0 * scale as f64,
            memory_peak_bytes: 400_000_000 * scale,
            files: 27 * scale,
            bytes: 150_000_000,
            commits: 2,
            rows: 2_000_000,
            counted_by: "PyIceberg",
        }
    }

    fn report() -> Report {
        Report {
            date: NaiveDate::default(),
            machine: Machine { processor: "Some processor".to_owned(), cores: 2, memory_gib: 24 },
            servers: vec![("Kafka", "4.3.1".to_owned())],
            events: 2_000_000,
            bytes_per_event: 700,
            table_partitions: 27,
            seed: 1,
            commit_ms: 10_000,
            systems: vec![line("one", 1), line("other", 10)],
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_system_and_a_ratio_to_the_first_for_each_other() {
        let text = markdown(&report());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "| one | 12.5 | 160,000 | – | 4.00 | 400 | 27 | 150.0 | 2 |");
        assert_eq!(lines[3], "| other | 125.0 | 16,000 | 40,000 | 40.00 | 4,000 | 270 | 150.0 | 2 |");
        assert_eq!(lines[4], "| other : one | × 10.00 | × 0.10 | – | × 10.00 | × 10.00 | × 10.00 | × 1.00 | × 1.00 |");
        assert_eq!(lines.len(), 8);
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([figure(999.0, 0), figure(1_000.0, 0), figure(1_234_567.89, 1)], ["999", "1,000", "1,234,567.9"]);
    }
}
