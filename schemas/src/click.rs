//! The event contract: what a producer should put into Kafka.
//!
//! [`ClickEvent`] is the strict form, for producers: the event generator serialises it, and its JSON Schema is checked in as
//! `click.schema.json`. The decoder ([`crate::decode`]) is more lenient (numbers as text, more forms of time); whatever is
//! valid by the schema is accepted by it, and a test holds the two together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The event types of a web shop. Each is a partition of its own per day, so the list is closed.
pub const EVENT_TYPES: [&str; 9] = [
    "page_view",
    "click",
    "scroll",
    "form_submit",
    "search",
    "add_to_cart",
    "remove_from_cart",
    "checkout_start",
    "purchase",
];

/// One thing a visitor did on a page: the JSON value of one Kafka record in `clickstream_events`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ClickEvent {
    // 2,048 characters are at most 8 KiB of UTF-8, the decoder's limit for a string.
    /// Unique id of the event, best a UUID made once by the producer and kept on every retry; at most 64 characters.
    #[schemars(length(min = 1, max = 64), example = &"0195a7a4-3b5e-7c1d-9b1e-2f6f5a1c0d42")]
    pub event_id: String,
    /// When it happened: ISO-8601 (without a zone: UTC), or a number of milliseconds since 1970. From 2000 to 2099.
    #[schemars(
        length(max = 40),
        extend("type" = ["string", "number"]),
        regex(pattern = r"^20\d\d-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d{0,9})?)?([Zz]|[+-]\d\d:?\d\d)?)?$"),
        example = &"2026-03-03T12:00:00.123Z",
        example = 1_772_539_200_123_i64
    )]
    pub event_timestamp: String,
    /// Who: the signed-in user, or the id of an anonymous visitor.
    #[schemars(length(max = 256), example = &"user_0001")]
    pub user_id: Option<String>,
    /// The visit, as the client counts visits.
    #[schemars(length(max = 256), example = &"4f8d2c1e-6a77-4f0e-8d5b-0c2f9e4b7a11")]
    pub session_id: Option<String>,
    /// What happened.
    #[schemars(extend("enum" = EVENT_TYPES), example = &"page_view")]
    pub event_type: String,
    /// Path or address of the page.
    #[schemars(length(max = 2048), example = &"/product/laptop-pro-15")]
    pub page_url: Option<String>,
    /// Title of the page.
    #[schemars(length(max = 2048), example = &"Laptop Pro 15")]
    pub page_title: Option<String>,
    /// The page before: on this site, or the one that linked here; empty for none.
    #[schemars(length(max = 2048), example = &"https://google.com")]
    pub referrer_url: Option<String>,
    /// Id of the element acted upon.
    #[schemars(length(max = 2048), example = &"btn-add-cart")]
    pub element_id: Option<String>,
    /// Visible text of the element, or the text searched for.
    #[schemars(length(max = 2048), example = &"Add to Cart")]
    pub element_text: Option<String>,
    /// Kind of device.
    #[schemars(length(max = 256), example = &"mobile")]
    pub device_type: Option<String>,
    /// Browser by name.
    #[schemars(length(max = 256), example = &"Safari Mobile")]
    pub browser: Option<String>,
    /// Operating system by name.
    #[schemars(length(max = 256), example = &"iOS")]
    pub os: Option<String>,
    /// Width of the screen in CSS pixels.
    #[schemars(range(min = 0, max = 2_147_483_647), example = 390)]
    pub screen_width: Option<i32>,
    /// Height of the screen in CSS pixels.
    #[schemars(range(min = 0, max = 2_147_483_647), example = 844)]
    pub screen_height: Option<i32>,
    /// Width of the browser's viewport in CSS pixels.
    #[schemars(range(min = 0, max = 2_147_483_647), example = 390)]
    pub viewport_width: Option<i32>,
    /// Height of the browser's viewport in CSS pixels.
    #[schemars(range(min = 0, max = 2_147_483_647), example = 664)]
    pub viewport_height: Option<i32>,
    /// How far down the page was scrolled, in percent; null when the event is no scroll.
    #[schemars(range(min = 0, max = 100), example = 75)]
    pub scroll_depth: Option<i32>,
    /// Time spent on the page so far, in seconds.
    #[schemars(range(min = 0, max = 2_147_483_647), example = 42)]
    pub time_on_page: Option<i32>,
    /// Campaign: where the visit came from.
    #[schemars(length(max = 256), example = &"google")]
    pub utm_source: Option<String>,
    /// Campaign: by which kind of link.
    #[schemars(length(max = 256), example = &"cpc")]
    pub utm_medium: Option<String>,
    /// Campaign: its name.
    #[schemars(length(max = 256), example = &"winter_sale_2025")]
    pub utm_campaign: Option<String>,
    /// Address of the client, IPv4 or IPv6; personal data.
    #[schemars(length(max = 64), example = &"203.0.113.10")]
    pub ip_address: Option<String>,
    /// Country of the client, two letters.
    #[schemars(length(max = 256), example = &"DE")]
    pub country: Option<String>,
    /// City of the client.
    #[schemars(length(max = 256), example = &"Berlin")]
    pub city: Option<String>,
}

/// The JSON Schema (2020-12) of [`ClickEvent`], with limits and examples.
#[must_use]
pub fn json_schema() -> Value {
    schemars::schema_for!(ClickEvent).to_value()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::decode::{ClickDecoder, DecodePolicy};
    use crate::table::{COLUMNS, EVENT_FIELDS};

    #[test]
    fn the_event_has_the_fields_of_the_table_in_its_order() {
        let text = serde_json::to_string(&ClickEvent::default()).unwrap();
        let mut after = 0;
        for column in &COLUMNS[..EVENT_FIELDS] {
            let found = text[after..].find(&format!("\"{}\":", column.name));
            assert!(found.is_some(), "{} is missing or out of order in {text}", column.name);
            after += found.unwrap();
        }
        assert_eq!(json_schema()["properties"].as_object().unwrap().len(), EVENT_FIELDS);
    }

    #[test]
    fn only_what_the_decoder_requires_by_default_is_required() {
        let required = DecodePolicy::default().required;
        let schema = json_schema();
        let listed = schema["required"].as_array().unwrap();
        assert_eq!(listed.len(), required.len());
        assert!(listed.iter().all(|name| required.contains(name.as_str().unwrap())), "{listed:?}");
    }

    #[test]
    fn the_examples_of_the_schema_are_accepted_by_the_decoder() {
        let schema = json_schema();
        let properties = schema["properties"].as_object().unwrap();
        for last in [false, true] {
            let pick = |examples: &Vec<Value>| if last { examples.last() } else { examples.first() }.cloned().unwrap();
            let event: serde_json::Map<_, _> = properties
                .iter()
                .map(|(name, field)| (name.clone(), pick(field["examples"].as_array().unwrap())))
                .collect();
            let bytes = serde_json::to_vec(&event).unwrap();
            let mut decoder = ClickDecoder::new(DecodePolicy::default());
            assert_eq!(decoder.decode(Some(&bytes), 0), Ok(()));
        }
    }

    #[test]
    fn the_longest_string_of_the_schema_fits_the_decoder() {
        let event = ClickEvent {
            event_id: "\u{10FFFF}".repeat(64),
            event_timestamp: "2026-03-03".into(),
            event_type: "click".into(),
            page_url: Some("\u{10FFFF}".repeat(2048)),
            ..ClickEvent::default()
        };
        let bytes = serde_json::to_vec(&event).unwrap();
        assert_eq!(ClickDecoder::new(DecodePolicy::default()).decode(Some(&bytes), 0), Ok(()));
    }
}
