//! Everything that fuzzing has found so far, and the golden records, through the same checks: no fuzzer needed.

#![allow(clippy::panic, clippy::expect_used)]

use std::fs;
use std::path::Path;

#[global_allocator]
static COUNTING: fuzz::memory::Counting = fuzz::memory::Counting;

/// Files of one target at most, and their bytes: the corpus is read by people and carried by everyone.
const FILES_MAX: usize = 200;
const BYTES_MAX: usize = 300 * 1024;

fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let read = |entry: std::io::Result<fs::DirEntry>| fs::read(entry.expect("list the corpus").path()).expect("read");
    fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).map(read).collect()
}

fn corpus(target: &str, check: fn(&[u8])) {
    let files = files(&format!("corpus/{target}"));
    let bytes: usize = files.iter().map(Vec::len).sum();
    assert!(!files.is_empty() && files.len() < FILES_MAX && bytes < BYTES_MAX, "{} files, {bytes} bytes", files.len());
    for file in files {
        check(&file);
    }
}

#[test]
fn decode() {
    corpus("decode", fuzz::decode::check);
    for file in ["accept", "reject"].into_iter().flat_map(|folder| files(&format!("../../schemas/golden/{folder}"))) {
        fuzz::decode::check(&file);
    }
}

/// What a fuzzer does not reach, since it likes small inputs: the largest records that the default policy reads.
#[test]
fn decode_of_large_records() {
    const LARGE: usize = 1024 * 1024;
    let fill = |before: &str, part: &dyn Fn(usize) -> String, after: &str| {
        let mut text = before.to_owned();
        for number in 0.. {
            let next = part(number);
            if text.len() + next.len() + after.len() > LARGE {
                break;
            }
            text += &next;
        }
        text + after
    };
    const EVENT: &str = r#"{"event_id":"e","event_timestamp":"2026-03-03","event_type":"click""#;
    for text in [
        fill(EVENT, &|_| r#","":0"#.to_owned(), "}"),
        fill(EVENT, &|number| format!(r#","{number:x}":0"#), "}"),
        fill(EVENT, &|number| format!(r#","\n{number:x}":0"#), "}"),
        fill(&format!(r#"{EVENT},"city":""#), &|_| r"\u0041".to_owned(), r#""}"#),
        fill(&format!(r#"{EVENT},"city":"#), &|_| "1".to_owned(), "}"),
        fill(&format!(r#"{EVENT},"x":"#), &|_| "[".to_owned(), "}"),
        fill(&format!(r#"{EVENT},"x":[0"#), &|_| ",{}".to_owned(), "]}"),
        fill("", &|_| "[".to_owned(), ""),
        fill("", &|_| r#"{"":"#.to_owned(), ""),
        fill(EVENT, &|_| " ".to_owned(), "}"),
    ] {
        fuzz::decode::check(text.as_bytes());
    }
}

#[test]
fn config() {
    corpus("config", fuzz::config::check);
}

#[test]
fn position() {
    corpus("position", fuzz::position::check);
}
