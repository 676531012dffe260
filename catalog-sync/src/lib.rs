//! Everything that talks to the catalog.

pub mod catalog;
pub mod secret;
