//! libFuzzer on [`fuzz::decode`]; started by `tests/fuzz/run decode`.

#![no_main]

#[global_allocator]
static COUNTING: fuzz::memory::Counting = fuzz::memory::Counting;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::decode::check(data));
