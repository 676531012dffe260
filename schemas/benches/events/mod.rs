//! Events as a web shop sends them, from a seed: 25 fields in the order of the table, about 690 bytes of JSON.
//!
//! Shuffled over three days and all nine types, so that 27 table partitions are live at once. Read by the benchmark of this
//! crate and by the comparison of decoders in `tests/decoders`.

use schemas::click::{ClickEvent, EVENT_TYPES};
use schemas::time;

const PAGES: [(&str, &str); 6] = [
    ("/", "Home | Northwind"),
    ("/category/electronics?sort=price&page=2", "Electronics, page 2 | Northwind"),
    ("/product/laptop-pro-15", "Laptop Pro 15 \u{2013} 32 GB, 1 TB | Northwind"),
    ("/product/café-grinder-12", "Café Grinder 12 | Northwind"),
    ("/cart", "Your cart | Northwind"),
    ("/checkout/payment", "Payment | Northwind"),
];
const ELEMENTS: [(&str, &str); 4] = [
    ("btn-add-cart", "Add to Cart"),
    ("nav-categories", "All categories"),
    ("search-box", "27\" monitor \\ stand"),
    ("btn-checkout", "To checkout"),
];
const DEVICES: [(&str, &str, &str, i32, i32); 3] = [
    ("mobile", "Safari Mobile", "iOS 19.2", 390, 844),
    ("desktop", "Chrome 149", "Windows 11", 1920, 1080),
    ("tablet", "Firefox 151", "Android 17", 1280, 800),
];
const CAMPAIGNS: [(&str, &str, &str); 3] = [
    ("google", "cpc", "winter_sale_2026"),
    ("newsletter", "email", "february_picks"),
    ("instagram", "social", "creator_launch"),
];
const PLACES: [(&str, &str); 4] = [("DE", "Berlin"), ("US", "San Francisco"), ("BR", "São Paulo"), ("JP", "Osaka")];

/// The first moment of the three days, in microseconds.
const START_MICROS: i64 = 1_772_323_200_000_000; // 2026-03-01T00:00:00Z

/// Knuth's generator: the high bits are good enough to draw from short lists.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    fn uuid(&mut self) -> String {
        let mut part = || self.below(1 << 31);
        let (a, b, c, d) = (part(), part(), part(), part());
        format!("{a:08x}-{:04x}-7{:03x}-9{:03x}-{:08x}{:04x}", b & 0xffff, b >> 20, c & 0xfff, d, c >> 15)
    }
}

/// So many events as JSON, as a producer writes them; the same ones for the same seed.
#[allow(clippy::unwrap_used)]
pub(crate) fn records(count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut draw = Draw(seed);
    (0..count).map(|_| serde_json::to_vec(&event(&mut draw)).unwrap()).collect()
}

fn event(draw: &mut Draw) -> ClickEvent {
    let event_type = draw.of(&EVENT_TYPES);
    let micros = START_MICROS + draw.below(3 * 86_400) as i64 * 1_000_000 + draw.below(1_000_000) as i64;
    let (page_url, page_title) = draw.of(&PAGES);
    let (before, _) = draw.of(&PAGES);
    let (element_id, element_text) = draw.of(&ELEMENTS);
    let (device_type, browser, os, width, height) = draw.of(&DEVICES);
    let (source, medium, campaign) = draw.of(&CAMPAIGNS);
    let (country, city) = draw.of(&PLACES);
    let acts = !matches!(event_type, "page_view" | "scroll");
    let comes_from_a_campaign = draw.below(4) != 0;
    let text = |text: &str| Some(text.to_owned());
    let when = |there: bool, value: &str| there.then(|| value.to_owned());
    ClickEvent {
        event_id: draw.uuid(),
        event_timestamp: time::format_micros(micros),
        user_id: Some(format!("user_{:05}", draw.below(20_000))),
        session_id: Some(draw.uuid()),
        event_type: event_type.to_owned(),
        page_url: text(page_url),
        page_title: text(page_title),
        referrer_url: Some(format!("https://shop.example{before}")),
        element_id: when(acts, element_id),
        element_text: when(acts, element_text),
        device_type: text(device_type),
        browser: text(browser),
        os: text(os),
        screen_width: Some(width),
        screen_height: Some(height),
        viewport_width: Some(width - draw.below(40) as i32),
        viewport_height: Some(height - draw.below(200) as i32),
        scroll_depth: (event_type == "scroll").then(|| draw.below(101) as i32),
        time_on_page: Some(draw.below(600) as i32),
        utm_source: when(comes_from_a_campaign, source),
        utm_medium: when(comes_from_a_campaign, medium),
        utm_campaign: when(comes_from_a_campaign, campaign),
        ip_address: Some(format!("203.0.{}.{}", draw.below(256), draw.below(256))),
        country: text(country),
        city: text(city),
    }
}
