//! What the end-to-end tests stand on: the programs under test as processes, and the servers around them.
//!
//! | module | is |
//! |---|---|
//! | [`stack`] | where the servers are |
//! | [`kafka`], [`catalog`], [`nessie`], [`trino`], [`pyiceberg`] | a client of each: what the tests write and read with, never the project's own code |
//! | [`first_writer`] | a user of PyIceberg who writes the first rows of tables, for as long as the test wants |
//! | [`events`] | what is produced, and the account of it that everything read back is held against |
//! | [`steady`] | a producer that goes on while something else happens |
//! | [`embedded`] | a `catalog-sync serve` process |
//! | [`worker`] | a `connector run` process: started, killed, spoken to over REST |
//! | [`program`] | the other programs, run to their end |
//! | [`accidents`], [`servers`] | what befalls Kafka, and servers killed, stopped and started |
//! | [`halted`] | a connector that has halted, an operator's word, and the account of it |
//! | [`trial`] | one test's topics, table and checks |
//! | [`foreign`] | somebody else who appends to a table |
//! | [`scene`] | a trial with a proxy on each of the worker's wires |
//! | [`proxy`] | faults on the wire between a worker and the servers |
//! | [`wait`] | waiting on a condition with a deadline, and progress lines |
//!
//! A test fails by returning an error; nothing here panics, and nothing waits for a length of time where it can wait for
//! a condition.

pub mod accidents;
pub mod catalog;
pub mod embedded;
pub mod events;
pub mod first_writer;
pub mod foreign;
pub mod halted;
pub mod kafka;
pub mod nessie;
pub mod program;
pub mod proxy;
pub mod pyiceberg;
pub mod scene;
pub mod servers;
pub mod stack;
pub mod steady;
pub mod trial;
pub mod trino;
pub mod wait;
pub mod worker;
