//! libFuzzer on [`fuzz::config`]; started by `tests/fuzz/run config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::config::check(data));
