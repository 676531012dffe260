//! The analyses that come with the program, by name.
//!
//! The texts are the files of `catalog-sync/analytics/`; they read a table named [`TABLE`] and run unchanged in Trino with
//! the schema of the table set (`USE lakehouse.analytics`).

/// The table that the analyses read.
pub const TABLE: &str = "clickstream";

/// One question with its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Analysis {
    /// Name on the command line: the file's name without `.sql`.
    pub name: &'static str,
    /// Heading of the printed result.
    pub title: &'static str,
    /// The query.
    pub sql: &'static str,
}

/// All of them, in the order in which they are shown.
pub const ANALYSES: [Analysis; 3] = [
    Analysis { name: "engagement", title: "Engagement", sql: include_str!("../../analytics/engagement.sql") },
    Analysis { name: "top_pages", title: "Top pages", sql: include_str!("../../analytics/top_pages.sql") },
    Analysis {
        name: "sessions",
        title: "Sessions (30 minutes of inactivity)",
        sql: include_str!("../../analytics/sessions.sql"),
    },
];

/// The analysis of that name, if there is one.
#[must_use]
pub fn named(name: &str) -> Option<&'static Analysis> {
    ANALYSES.iter().find(|analysis| analysis.name == name)
}
