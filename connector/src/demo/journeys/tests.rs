//! The journeys are the same from the same seed, and no event contradicts another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schemas::click::EVENT_TYPES;
use schemas::decode::{ClickDecoder, DecodePolicy};
use schemas::time::parse_iso8601;

use super::*;

const START: i64 = 1_770_000_000_000_000;
const EVENTS: usize = 20_000;

fn events() -> Vec<ClickEvent> {
    Journeys::new(7, START, Options::spread(EVENTS as u64, 3)).take(EVENTS).collect()
}

fn micros(event: &ClickEvent) -> i64 {
    parse_iso8601(&event.event_timestamp).unwrap()
}

/// Events by session, in the order in which they came.
fn sessions(events: &[ClickEvent]) -> Vec<Vec<&ClickEvent>> {
    let mut by_id: BTreeMap<&str, Vec<&ClickEvent>> = BTreeMap::new();
    for event in events {
        by_id.entry(event.session_id.as_deref().unwrap()).or_default().push(event);
    }
    by_id.into_values().collect()
}

#[test]
fn the_same_seed_gives_the_same_events_and_another_seed_others() {
    let take = |seed| Journeys::new(seed, START, Options::default()).take(2_000).collect::<Vec<_>>();
    assert_eq!(take(1), take(1));
    assert_ne!(take(1), take(2));
}

#[test]
fn event_ids_are_distinct_and_the_decoder_takes_every_event() {
    let events = events();
    let ids: BTreeSet<&str> = events.iter().map(|event| event.event_id.as_str()).collect();
    assert_eq!(ids.len(), EVENTS);
    let mut decoder = ClickDecoder::new(DecodePolicy::default());
    for event in &events {
        assert_eq!(decoder.decode(Some(&serde_json::to_vec(event).unwrap()), 0), Ok(()));
    }
    assert_eq!(decoder.rows(), EVENTS);
}

#[test]
fn what_belongs_to_a_visit_stays_the_same_and_time_moves_on() {
    let events = events();
    for session in sessions(&events) {
        let first = session[0];
        for pair in session.windows(2) {
            assert!(micros(pair[0]) < micros(pair[1]), "{pair:?}");
            assert!(micros(pair[1]) - micros(pair[0]) < 30 * 60 * 1_000_000);
        }
        for event in &session {
            let fixed = |event: &ClickEvent| {
                let who = (event.user_id.clone(), event.device_type.clone(), event.browser.clone(), event.os.clone());
                let campaign = (event.utm_source.clone(), event.utm_medium.clone(), event.utm_campaign.clone());
                let place = (event.ip_address.clone(), event.country.clone(), event.city.clone());
                (who, campaign, place, event.viewport_width, event.viewport_height)
            };
            assert_eq!(fixed(event), fixed(first));
            assert!(event.viewport_width <= event.screen_width && event.viewport_height <= event.screen_height);
        }
    }
}

#[test]
fn every_page_is_viewed_first_and_its_referrer_is_the_page_before() {
    let events = events();
    for session in sessions(&events) {
        let (mut before, mut page) = (None, None);
        for event in session {
            if event.event_type == "page_view" {
                before = page.take();
                page.clone_from(&event.page_url);
            }
            assert_eq!(event.page_url, page, "an event on a page that was not viewed");
            match &before {
                Some(_) => assert_eq!(event.referrer_url, before),
                None => assert!(!event.referrer_url.as_deref().unwrap().starts_with('/'), "{event:?}"),
            }
        }
    }
}

#[test]
fn fields_fit_the_type_of_the_event() {
    for event in events() {
        let kind = event.event_type.as_str();
        assert_eq!(event.scroll_depth.is_some(), kind == "scroll", "{event:?}");
        assert!(event.scroll_depth.is_none_or(|depth| (1..=100).contains(&depth)));
        assert_eq!(event.element_id.is_none(), matches!(kind, "page_view" | "scroll"), "{event:?}");
        assert_eq!(event.element_text.is_some(), event.element_id.is_some());
        assert_eq!(event.time_on_page.is_none(), kind == "page_view", "{event:?}");
        let url = event.page_url.as_deref().unwrap();
        let fits = match kind {
            "add_to_cart" => url.starts_with("/product/"),
            "remove_from_cart" | "checkout_start" => url == "/cart",
            "purchase" => url == "/checkout/payment",
            "form_submit" => matches!(url, "/checkout" | "/account"),
            "search" => url == "/" || url == "/search" || url.starts_with("/products"),
            _ => true,
        };
        assert!(fits, "{kind} on {url}");
    }
}

#[test]
fn a_cart_is_filled_before_it_is_paid_and_a_visit_pays_once() {
    let events = events();
    for session in sessions(&events) {
        let (mut cart, mut started, mut bought) = (0_i32, false, 0);
        for (at, event) in session.iter().enumerate() {
            let next_url = session.get(at + 1).and_then(|next| next.page_url.as_deref());
            match event.event_type.as_str() {
                "add_to_cart" => cart += 1,
                "remove_from_cart" => cart -= 1,
                "checkout_start" => {
                    assert!(cart > 0, "checkout of an empty cart");
                    started = true;
                }
                "purchase" => {
                    assert!(started && cart > 0);
                    bought += 1;
                    cart = 0;
                    assert!(next_url.is_none_or(|url| url == "/order/confirmation"));
                }
                "search" => assert!(next_url.is_none_or(|url| url == "/search")),
                _ => {}
            }
            assert!(cart >= 0 && bought <= 1);
        }
    }
}

#[test]
fn each_step_of_the_funnel_has_fewer_visits_than_the_one_before() {
    let events = events();
    let sessions = sessions(&events);
    let with = |kind: &str, page: &str| {
        let holds =
            |event: &&ClickEvent| event.event_type == kind && event.page_url.as_deref().unwrap().starts_with(page);
        sessions.iter().filter(|session| session.iter().any(&holds)).count()
    };
    let steps = [
        sessions.len(),
        with("page_view", "/product/"),
        with("add_to_cart", "/product/"),
        with("checkout_start", "/cart"),
        with("form_submit", "/checkout"),
        with("purchase", "/checkout/payment"),
    ];
    assert!(steps.is_sorted_by(|a, b| a > b), "{steps:?}");
    let conversion = 100 * steps[5] / steps[0];
    assert!((3..=15).contains(&conversion), "{conversion} % of visits buy: {steps:?}");
}

#[test]
fn every_type_of_event_occurs_in_a_plausible_share() {
    let events = events();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for event in &events {
        *counts.entry(event.event_type.as_str()).or_default() += 1;
    }
    let share = |kind: &str| counts.get(kind).copied().unwrap_or(0) * 1000 / EVENTS;
    assert!(EVENT_TYPES.iter().all(|kind| share(kind) > 1), "{counts:?}");
    assert!((300..500).contains(&share("page_view")), "{counts:?}");
    assert!((150..400).contains(&share("scroll")) && (100..300).contains(&share("click")), "{counts:?}");
    let per_visit = EVENTS as u64 / sessions(&events).len() as u64;
    assert!(per_visit.abs_diff(EVENTS_PER_VISIT) <= 1, "{per_visit} events in a visit");
}

#[test]
fn the_events_spread_over_the_days_asked_for_and_over_all_users() {
    let options = Options::spread(EVENTS as u64, 3);
    let days = span_micros(7, EVENTS as u64, options) as f64 / 86_400e6;
    assert!((2.0..4.5).contains(&days), "{days} days");
    let events = events();
    let users: BTreeSet<_> = events.iter().map(|event| event.user_id.clone()).collect();
    assert_eq!(users.len(), options.users as usize);
    let late = events.windows(2).filter(|pair| micros(&pair[1]) < micros(&pair[0])).count();
    assert!(late > EVENTS / 200, "only {late} events out of order");
    let latest = events.iter().map(micros).max().unwrap();
    assert_eq!(latest - START, span_micros(7, EVENTS as u64, options));
}

#[test]
fn a_rate_is_kept_from_the_start() {
    let mut seen = 0;
    let mut journeys = Journeys::new(3, 0, Options::rate(20));
    let minutes = 240;
    while let Some(event) = journeys.next_by(minutes * 60 * MICROS_PER_SEC) {
        assert!(micros(&event) <= minutes * 60 * MICROS_PER_SEC, "an event from the future");
        seen += 1;
    }
    let per_sec = seen as f64 / (minutes as f64 * 60.0);
    assert!((12.0..28.0).contains(&per_sec), "{per_sec} events/s");
}
