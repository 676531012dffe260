//! What a click is: the event contract, the table it becomes, and the way from one to the other.
//!
//! The life of one field, `screen_width` say: a browser sends it as JSON ([`click`] is the contract), [`decode`] finds it
//! in the record's bytes, checks it and appends it to a column, [`table`] says which column (name, field id, type), and
//! [`partition`] puts the row beside the others of its day and event type. A record that cannot become a row becomes a
//! [`reject`] with a stable code; there is no third way, and nothing is ever turned into NULL in silence.
//!
//! This crate is pure: no clock, no input or output, no threads. The ingestion time is an argument. The connector calls
//! [`decode`] for each record and [`partition`] for each row, `catalog-sync` reads [`table`] to create the table, and the
//! event generator writes [`click::ClickEvent`]s.

pub mod click;
pub mod decode;
pub mod partition;
pub mod reject;
pub mod table;
pub mod time;
