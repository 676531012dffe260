//! Which decoder, and why: `cd tests/decoders && cargo run --release [-- --names]`.
//!
//! Each decoder turns JSON records into the same 25 Arrow columns. First the golden records of `schemas`, one by one: what
//! does each make of them, against what the contract says (the reference of the decoder's own tests)? Then the events of
//! its benchmark, 4,096 to a batch, by turns, so that a busy machine is busy for all; the best and the middle of the rounds
//! count. `--names` lists the golden records that a decoder treats in another way than the contract.
#![allow(clippy::unwrap_used)]

#[path = "../../../schemas/benches/events/mod.rs"]
mod events;
mod others;
#[path = "../../../schemas/tests/reference/mod.rs"]
mod reference;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use arrow_array::RecordBatch;
use schemas::decode::{ClickDecoder, DecodePolicy};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: usize = 4_096;
const ROUNDS: usize = 60;

/// Records in, one batch out; `None` if any of them is refused.
pub(crate) trait Decoder {
    fn name(&self) -> &'static str;
    fn decode(&mut self, records: &[Vec<u8>]) -> Option<RecordBatch>;
}

/// The project's own.
struct Ours(ClickDecoder);

impl Decoder for Ours {
    fn name(&self) -> &'static str {
        "schemas"
    }

    fn decode(&mut self, records: &[Vec<u8>]) -> Option<RecordBatch> {
        let accepted = records.iter().all(|record| self.0.decode(Some(record), 0).is_ok());
        let batch = self.0.finish();
        accepted.then_some(batch)
    }
}

/// All golden records by name, but those that are refused by a policy other than the default.
fn golden() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/golden");
    let mut records = Vec::new();
    for folder in [folder.join("accept"), folder.join("reject")] {
        for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let by_policy = ["too_large", "unknown_field--"].iter().any(|code| name.starts_with(code));
            if !name.ends_with(".row") && !by_policy {
                records.push((name, fs::read(file).unwrap()));
            }
        }
    }
    records.sort();
    records
}

/// How a decoder differs from the contract, by the names of the golden records.
#[derive(Default)]
struct Differences {
    right: usize,
    refused: Vec<String>,
    other_row: Vec<String>,
    accepted: Vec<String>,
}

fn differences(decoder: &mut dyn Decoder, golden: &[(String, Vec<u8>)]) -> Differences {
    let mut all = Differences::default();
    for (name, record) in golden {
        let wanted = reference::judge(record, &DecodePolicy::default());
        let found = decoder.decode(std::slice::from_ref(record)).filter(|batch| batch.num_rows() == 1);
        match (wanted, found) {
            (Err(_), None) => all.right += 1,
            (Ok(_), None) => all.refused.push(name.clone()),
            (Err(_), Some(_)) => all.accepted.push(name.clone()),
            (Ok(row), Some(batch)) if reference::row(&batch, 0) == row => all.right += 1,
            (Ok(_), Some(_)) => all.other_row.push(name.clone()),
        }
    }
    all
}

/// Nanoseconds an event, of each decoder in each round.
fn times(decoders: &mut [Box<dyn Decoder>], records: &[Vec<u8>]) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); decoders.len()];
    for round in 0..ROUNDS {
        for (decoder, times) in decoders.iter_mut().zip(&mut times) {
            let start = Instant::now();
            black_box(decoder.decode(black_box(records)));
            // The first rounds fill caches and pools.
            if round >= 5 {
                times.push(start.elapsed().as_nanos() as f64 / records.len() as f64);
            }
        }
    }
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    times
}

fn main() {
    let names = std::env::args().any(|argument| argument == "--names");
    let golden = golden();
    let records = events::records(EVENTS, 7);
    let bytes: usize = records.iter().map(Vec::len).sum();
    let mut decoders: Vec<Box<dyn Decoder>> = vec![Box::new(Ours(ClickDecoder::default()))];
    decoders.extend(others::all());
    let wanted = decoders[0].decode(&records).unwrap();
    for decoder in &mut decoders {
        let batch = decoder.decode(&records).unwrap();
        assert_eq!(
            batch.columns()[..25],
            wanted.columns()[..25],
            "{} reads an ordinary event in another way",
            decoder.name()
        );
    }
    let found: Vec<_> = decoders.iter_mut().map(|decoder| differences(decoder.as_mut(), &golden)).collect();
    let times = times(&mut decoders, &records);

    println!("{} golden records; then {EVENTS} events of {} bytes, {ROUNDS} rounds\n", golden.len(), bytes / EVENTS);
    println!(
        "| | as the contract says | refused wrongly | another row | accepted wrongly | ns an event, best | middle |"
    );
    println!("|---|---|---|---|---|---|---|");
    for ((decoder, found), times) in decoders.iter().zip(&found).zip(&times) {
        println!(
            "| {} | {} | {} | {} | {} | {:.0} | {:.0} |",
            decoder.name(),
            found.right,
            found.refused.len(),
            found.other_row.len(),
            found.accepted.len(),
            times[0],
            times[times.len() / 2]
        );
    }
    for (decoder, found) in decoders.iter().zip(&found).filter(|_| names) {
        println!("\n{}", decoder.name());
        for (what, names) in
            [("refused", &found.refused), ("another row", &found.other_row), ("accepted", &found.accepted)]
        {
            println!("  {what}: {}", names.join(", "));
        }
    }
}
