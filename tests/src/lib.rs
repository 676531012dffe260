//! What the end-to-end tests stand on: the programs under test as processes, and the servers around them.
//!
//! | module | is |
//! |---|---|
//! | [`stack`] | where the servers are |
//! | [`kafka`], [`catalog`], [`trino`], [`pyiceberg`] | a client of each: what the tests write and read with, never the project's own code |
//! | [`events`] | what is produced, and the account of it that everything read back is held against |
//! | [`worker`] | a `connector run` process: started, killed, spoken to over REST |
//! | [`program`] | the other programs, run to their end |
//! | [`trial`] | one test's topics, table and checks |
//! | [`wait`] | waiting on a condition with a deadline, and progress lines |
//!
//! A test fails by returning an error; nothing here panics, and nothing waits for a length of time where it can wait for
//! a condition.

pub mod catalog;
pub mod events;
pub mod kafka;
pub mod program;
pub mod pyiceberg;
pub mod stack;
pub mod trial;
pub mod trino;
pub mod wait;
pub mod worker;
