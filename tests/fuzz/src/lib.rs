//! What must hold for any bytes at all, one module for each place where foreign bytes come in.
//!
//! | module | bytes are |
//! |---|---|
//! | [`decode`] | the value of a Kafka record, under every kind of policy |
//! | [`config`] | a connector's registration, one `key=value` a line |
//! | [`position`] | the position in a table's property, or the ranges in a snapshot's summary |
//!
//! Each has one function, `check`, which panics when a promise is broken. The programs in `bin` give it to libFuzzer
//! (`tests/fuzz/run`), the test in `tests` runs it over the corpus. [`memory`] counts what is allocated meanwhile.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

pub mod config;
pub mod decode;
pub mod memory;
pub mod position;
#[path = "../../../schemas/tests/reference/mod.rs"]
mod reference;
