//! libFuzzer on [`fuzz::position`]; started by `tests/fuzz/run position`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::position::check(data));
