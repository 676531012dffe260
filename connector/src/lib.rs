//! The worker.

pub mod config;
pub mod runtime;
