//! A document held against its own JSON Schema: every key that is unknown and every value that is no value, with its place.
//!
//! Reads the part of JSON Schema that [`super::config`] uses: `type`, `properties`, `patternProperties` (prefixes),
//! `items`, `minimum`, `maximum`, and the formats `cron`, `table`, `listen`, `tiers` and
//! `cutoff`. Serde alone would stop at the first problem,
//! without its place, and would repeat values. Pure.

use serde_json::{Map, Value};

use super::config::listen_address;
use super::cron::Cron;
use crate::catalog::parse_table;
use crate::expire::tiers::Tiers;
use crate::reach::cutoff::Cutoffs;
use crate::suggest::nearest;

/// What is wrong, `place: what`; nothing if all is right. Only values of the formats are repeated, no other.
pub(super) fn problems(document: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    value(document, schema, "", &mut found);
    found
}

fn value(it: &Value, schema: &Value, place: &str, found: &mut Vec<String>) {
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(kind)) => vec![kind],
        _ => Vec::new(),
    };
    if !types.iter().any(|kind| is(it, kind)) {
        let named: Vec<String> = types.iter().filter(|kind| **kind != "null").map(|kind| name(kind, schema)).collect();
        let place = if place.is_empty() { "the file" } else { place };
        found.push(format!("{place}: must be {}", named.join(" or ")));
        return;
    }
    match it {
        Value::Object(members) => object(members, schema, place, found),
        Value::Array(items) => {
            let of = schema.get("items").unwrap_or(&Value::Null);
            items.iter().enumerate().for_each(|(at, item)| value(item, of, &format!("{place}[{at}]"), found));
        }
        Value::Number(number) => {
            let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
            let number = number.as_u64().unwrap_or(0);
            let (min, max) = (bound("minimum").unwrap_or(0), bound("maximum").unwrap_or(u64::MAX));
            if number < min || number > max {
                found.push(format!("{place}: must be {}", name("integer", schema)));
            }
        }
        Value::String(text) => {
            if let Some(Err(why)) = schema.get("format").and_then(Value::as_str).map(|format| of_format(text, format)) {
                found.push(format!("{place}: {text:?} {why}"));
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn object(members: &Map<String, Value>, schema: &Value, place: &str, found: &mut Vec<String>) {
    let none = Map::new();
    let map = |key: &str| schema.get(key).and_then(Value::as_object).unwrap_or(&none);
    let (known, families) = (map("properties"), map("patternProperties"));
    for (key, member) in members {
        let below = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        let of_family = || {
            let is_of = |pattern: &String| {
                pattern.strip_prefix('^').is_some_and(|prefix| key.starts_with(&prefix.replace('\\', "")))
            };
            families.iter().find_map(|(pattern, schema)| is_of(pattern).then_some(schema))
        };
        match known.get(key).or_else(of_family) {
            Some(schema) => value(member, schema, &below, found),
            None => found.push(match nearest(key, known.keys().map(String::as_str)) {
                Some(near) => format!("{below}: is not a known key; did you mean {near}?"),
                None => format!("{below}: is not a known key; known are {}", list(known)),
            }),
        }
    }
}

fn list(known: &Map<String, Value>) -> String {
    known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn is(it: &Value, kind: &str) -> bool {
    match kind {
        "object" => it.is_object(),
        "array" => it.is_array(),
        "string" => it.is_string(),
        "boolean" => it.is_boolean(),
        "integer" => it.is_u64(),
        _ => it.is_null(),
    }
}

fn name(kind: &str, schema: &Value) -> String {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    match (kind, bound("minimum").unwrap_or(0), bound("maximum").filter(|max| *max < u64::from(u32::MAX))) {
        ("object", ..) => "an object".to_owned(),
        ("array", ..) => "a list".to_owned(),
        ("string", ..) => "a text".to_owned(),
        ("boolean", ..) => "true or false".to_owned(),
        (_, min, Some(max)) => format!("a whole number, {min} to {max}"),
        (_, min, None) => format!("a whole number, {min} or more"),
    }
}

fn of_format(text: &str, format: &str) -> Result<(), String> {
    match format {
        "cron" => Cron::parse(text).map(|_| ()).map_err(|why| format!("is no line of a crontab: {why}")),
        "table" => parse_table(text).map(|_| ()),
        "listen" => listen_address(text).map(|_| ()).ok_or_else(|| "is no address, such as 127.0.0.1:9464".to_owned()),
        "tiers" => text.parse::<Tiers>().map(|_| ()),
        "cutoff" => Cutoffs::parse([text]).map(|_| ()),
        _ => Ok(()),
    }
}
