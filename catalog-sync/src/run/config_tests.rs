//! Files that are taken, files that are refused, and what is said about them.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn an_empty_file_is_a_good_setup() {
    let parsed = Maintenance::parse("{}").unwrap();
    assert_eq!(parsed, Maintenance::default());
    assert_eq!(parsed.idents().unwrap(), [TableIdent::from_strs(["analytics", "clickstream"]).unwrap()]);
    let Jobs { compact, rewrite_manifests, expire, sweep, verify } = &parsed.jobs;
    assert!(compact.enabled && rewrite_manifests.enabled, "what deletes nothing is on");
    assert!(!expire.enabled && !sweep.enabled && !verify.enabled);
    assert_eq!(expire.options(false).unwrap(), crate::expire::options::Options::default());
    assert_eq!(sweep.files.options(false).unwrap(), crate::sweep::options::Options::default());
    assert_eq!(compact.options(), Options::default());
    assert_eq!(parsed.metrics.address(), None);
}

#[test]
fn what_is_said_is_taken() {
    let text = r#"{
        "$schema": "maintenance.schema.json",
        "connection": {"iceberg.catalog.uri": "http://c/", "iceberg.catalog.header.X-Tenant": "blue", "commit.timeout.ms": 7},
        "tables": ["a.b", "a.b.c"], "check-interval-ms": 500, "metrics": {"listen": "9464"},
        "jobs": {"compact": {"commit-count": 3, "partial-progress.max-commits": 2, "target-file-size-bytes": 5},
                 "rewrite_manifests": {"enabled": false}, "verify": {"enabled": true, "cron": "@hourly"}}}"#;
    let parsed = Maintenance::parse(text).unwrap();
    assert_eq!((parsed.tables.len(), parsed.check_interval_ms), (2, 500));
    assert_eq!(parsed.metrics.address(), Some(SocketAddr::from(([127, 0, 0, 1], 9464))));
    let compact = &parsed.jobs.compact;
    assert_eq!((compact.commit_count, compact.max_commits, compact.min_interval_ms), (3, 2, 60_000));
    assert_eq!(compact.options().target_file_size_bytes, Some(5));
    assert!(!parsed.jobs.rewrite_manifests.enabled && parsed.jobs.verify.enabled);
    assert_eq!(parsed.connection.0.len(), 3);
}

#[test]
fn what_would_delete_too_much_is_refused_before_anything_runs() {
    let refused = |jobs: &str| Maintenance::parse(&format!(r#"{{"jobs": {{{jobs}}}}}"#)).unwrap_err();
    let young = refused(r#""sweep": {"files": {"older-than-ms": 1000}}"#);
    assert!(young.starts_with("jobs.sweep.files: older-than") && young.contains("only-fenced-writers"), "{young}");
    let tiers = refused(r#""expire": {"tiers": "1d,1h"}"#);
    assert!(tiers.contains("jobs.expire.tiers") && tiers.contains("further back"), "{tiers}");
    let cutoff = refused(r#""expire": {"files": {"cutoffs": ["main=7d", "dev=soon"]}}"#);
    assert!(cutoff.contains("jobs.expire.files.cutoffs[1]"), "{cutoff}");
}

#[test]
fn every_problem_is_told_with_its_place_and_the_key_that_was_meant() {
    let text = r#"{
        "table": ["a.b"], "tables": ["clicks"], "max-concurrent-jobs": 0, "metrics": {"listen": "localhost"},
        "connection": {"iceberg.catalog.url": "http://c/", "topics": "t"},
        "jobs": {"compact": {"commit_count": 1, "min-interval-ms": -1, "enabled": "yes"},
                 "verify": {"cron": "0 0 2 * * *"}, "rewrite-manifests": {}, "optimize": {}}}"#;
    let told = Maintenance::parse(text).unwrap_err();
    for expected in [
        "table: is not a known key; did you mean tables?",
        "tables[0]: \"clicks\" a table is written namespace.table",
        "max-concurrent-jobs: must be a whole number, 1 to 64",
        "metrics.listen: \"localhost\" is no address",
        "connection.iceberg.catalog.url: is not a known key; did you mean iceberg.catalog.uri?",
        "connection.topics: is not a known key; known are ",
        "jobs.compact.commit_count: is not a known key; did you mean commit-count?",
        "jobs.compact.min-interval-ms: must be a whole number, 0 or more",
        "jobs.compact.enabled: must be true or false",
        "jobs.verify.cron: \"0 0 2 * * *\" is no line of a crontab",
        "jobs.rewrite-manifests: is not a known key; did you mean rewrite_manifests?",
        "jobs.optimize: is not a known key; known are compact, ",
    ] {
        assert!(told.lines().any(|line| line.starts_with(expected)), "{expected}\nis not in\n{told}");
    }
    assert_eq!(told.lines().count(), 12, "{told}");
    assert_eq!(Maintenance::parse("[]").unwrap_err(), "the file: must be an object");
    assert_eq!(Maintenance::parse(r#"{"tables": []}"#).unwrap_err(), "tables: names no table");
}

#[test]
fn no_secret_is_repeated() {
    let broken = Maintenance::parse(r#"{"connection": {"iceberg.catalog.token": "hunter2" oops}}"#).unwrap_err();
    assert!(broken.contains("line 1, column") && !broken.contains("hunter2"), "{broken}");
    for text in [
        r#"{"connection": "hunter2"}"#,
        r#"{"connection": {"iceberg.catalog.token": ["hunter2"]}}"#,
        r#"{"connection": {"iceberg.catalog.tokn": "hunter2"}}"#,
    ] {
        let told = Maintenance::parse(text).unwrap_err();
        assert!(!told.contains("hunter2"), "{told}");
    }
    let parsed = Maintenance::parse(r#"{"connection": {"iceberg.catalog.token": "hunter2"}}"#).unwrap();
    let printed = format!("{parsed:?}") + &serde_json::to_string(&parsed).unwrap();
    assert!(printed.contains("iceberg.catalog.token") && !printed.contains("hunter2"), "{printed}");
}

/// Every key with its default, as `a.b.c`.
fn keys(schema: &Value, default: &Value, place: &str, found: &mut Vec<(String, String)>) {
    for (key, member) in schema["properties"].as_object().into_iter().flatten() {
        let below = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        if member.get("properties").is_some() && place != "connection" && key != "connection" {
            keys(member, &default[key], &below, found);
        } else if key != "connection" {
            found.push((below, default[key].to_string()));
        }
    }
}

#[test]
fn every_key_stands_in_the_manual_with_its_default() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../connector/docs/MAINTENANCE.md")).unwrap();
    let (mut found, default) = (Vec::new(), serde_json::to_value(Maintenance::default()).unwrap());
    keys(&json_schema(), &default, "", &mut found);
    assert!(found.len() > 20, "{found:?}");
    for (key, default) in found {
        let row = match default.as_str() {
            "null" => format!("| `{key}` | | "),
            default => format!("| `{key}` | `{}` | ", default.trim_matches('"')),
        };
        assert!(page.contains(&row), "connector/docs/MAINTENANCE.md lacks a row that begins with {row}");
    }
    for (key, ..) in CONNECTION {
        assert!(page.contains(&format!("`{key}`")), "connector/docs/MAINTENANCE.md lacks {key}");
    }
}

#[test]
fn the_examples_in_compose_are_taken_and_their_check_knows_the_jobs() {
    let read =
        |path: &str| std::fs::read_to_string(format!("{}/../compose/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert!(Maintenance::parse(&read("config/maintenance.json")).unwrap().metrics.address().is_some());
    let manifest = read("kubernetes/maintenance.yaml");
    let document = manifest.split_once("maintenance.json: |\n").unwrap().1.split("\n---").next().unwrap();
    assert!(Maintenance::parse(document).unwrap().jobs.verify.enabled);
    let jobs: Vec<String> = super::super::Job::ALL.iter().map(|job| format!("\"{job}\"")).collect();
    assert!(read("check").contains(&format!("JOBS = {{{}}}", jobs.join(", "))), "{jobs:?}");
}
