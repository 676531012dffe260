//! One visit, from the landing page until the visitor leaves.
//!
//! A visit is a walk over the pages of [`super::world`]: each page gives one `page_view`, then perhaps scrolling, then
//! actions that stay, lead on, or end the visit. What belongs to the visit (device, campaign, place, viewport) is drawn
//! once. `time_on_page` is the seconds since the `page_view` and so is missing there; `scroll_depth` is set by `scroll`
//! only and never falls within a view. A purchase leads to the confirmation page and happens at most once.

use rand::Rng;
use rand::rngs::StdRng;
use schemas::click::ClickEvent;
use schemas::time::format_micros;
use uuid::Builder;

use super::world::{self, Campaign, Device, Element, Location, Page, PageKind};

const MICROS_PER_SEC: i64 = 1_000_000;

/// The page views after which every visitor leaves.
const VIEWS_MAX: u32 = 40;

/// An event with its time in microseconds since 1970.
pub(super) type Timed = (i64, ClickEvent);

/// Who comes, on what, from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor {
    pub(super) number: u32,
    pub(super) device: &'static Device,
    pub(super) location: &'static Location,
    pub(super) campaign: &'static Campaign,
}

/// The events of one visit that begins at `start_micros`, in order of time, which is strict; at least one.
pub(super) fn walk(rng: &mut StdRng, visitor: Visitor, start_micros: i64) -> Vec<Timed> {
    let landing = landing_page(rng, visitor.campaign);
    let mut session = Session::new(rng, visitor, landing, start_micros);
    let bounces = session.chance(22);
    session.view();
    if bounces {
        return session.events;
    }
    while session.views < VIEWS_MAX {
        let Some(next) = session.act() else { break };
        session.go_to(next);
    }
    session.events
}

/// Campaigns link deep into the shop more often than other visits begin there.
fn landing_page(rng: &mut StdRng, campaign: &Campaign) -> &'static Page {
    match (campaign.name.is_some(), rng.random_range(0..100)) {
        (true, 0..20) => pick(rng, &world::ITEMS),
        (true, 20..45) => pick(rng, &world::CATEGORIES),
        (true, 45..60) => &world::PRODUCTS,
        (false, 0..12) => pick(rng, &world::ITEMS),
        _ => &world::HOME,
    }
}

pub(super) fn pick<T>(rng: &mut StdRng, all: &'static [T]) -> &'static T {
    &all[rng.random_range(0..all.len())]
}

/// A visit under way; what can be done on each page is in [`super::pages`].
pub(super) struct Session<'a> {
    pub(super) rng: &'a mut StdRng,
    events: Vec<Timed>,
    /// What all events of the visit share.
    common: ClickEvent,
    pub(super) page: &'static Page,
    referrer: &'static str,
    now_micros: i64,
    viewed_micros: i64,
    scrolled: i32,
    views: u32,
    pub(super) cart: u32,
    pub(super) bought: bool,
}

impl<'a> Session<'a> {
    fn new(rng: &'a mut StdRng, visitor: Visitor, page: &'static Page, start_micros: i64) -> Self {
        let Visitor { number, device, location, campaign } = visitor;
        let (width, height) = device.screen;
        // A phone's browser has the whole width; a desktop's window has any size, and always a frame.
        let wide = if device.kind == "desktop" { rng.random_range(70..=100) } else { 100 };
        let high = rng.random_range(75..=92);
        let text = |text: &str| Some(text.to_owned());
        let common = ClickEvent {
            user_id: Some(format!("user_{number:04}")),
            session_id: Some(Builder::from_random_bytes(rng.random()).into_uuid().to_string()),
            device_type: text(device.kind),
            browser: text(device.browser),
            os: text(device.os),
            screen_width: Some(width),
            screen_height: Some(height),
            viewport_width: Some(width * wide / 100),
            viewport_height: Some(height * high / 100),
            utm_source: campaign.source.and_then(text),
            utm_medium: campaign.medium.and_then(text),
            utm_campaign: campaign.name.and_then(text),
            ip_address: text(location.ip),
            country: text(location.country),
            city: text(location.city),
            ..ClickEvent::default()
        };
        Self {
            rng,
            events: Vec::new(),
            common,
            page,
            referrer: campaign.referrer,
            now_micros: start_micros,
            viewed_micros: start_micros,
            scrolled: 0,
            views: 0,
            cart: 0,
            bought: false,
        }
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Lets a part of the page's typical time pass: `percent` of it, give or take a half. Never less than a microsecond,
    /// and never near the half hour that ends a session.
    pub(super) fn wait(&mut self, percent: i64) {
        let mean_micros = self.page.typical_secs * MICROS_PER_SEC * percent / 100;
        self.now_micros += self.rng.random_range(mean_micros / 2..=mean_micros * 3 / 2).max(1);
    }

    pub(super) fn emit(&mut self, event_type: &str, element: Option<Element>) {
        let viewing = event_type == "page_view";
        let millis = u64::try_from(self.now_micros / 1000).unwrap_or(0);
        let seconds = (self.now_micros - self.viewed_micros) / MICROS_PER_SEC;
        let event = ClickEvent {
            event_id: Builder::from_unix_timestamp_millis(millis, &self.rng.random()).into_uuid().to_string(),
            event_timestamp: format_micros(self.now_micros),
            event_type: event_type.to_owned(),
            page_url: Some(self.page.url.to_owned()),
            page_title: Some(self.page.title.to_owned()),
            referrer_url: Some(self.referrer.to_owned()),
            element_id: element.map(|(id, _)| id.to_owned()),
            element_text: element.map(|(_, text)| text.to_owned()),
            scroll_depth: (event_type == "scroll").then_some(self.scrolled),
            time_on_page: if viewing { None } else { i32::try_from(seconds).ok() },
            ..self.common.clone()
        };
        self.events.push((self.now_micros, event));
    }

    /// The page appears; some visitors read down it.
    fn view(&mut self) {
        self.views += 1;
        self.viewed_micros = self.now_micros;
        self.scrolled = 0;
        self.emit("page_view", None);
        let reads = match self.page.kind {
            PageKind::Product | PageKind::Category => 60,
            PageKind::Catalogue | PageKind::Search | PageKind::Home => 40,
            _ => 10,
        };
        while self.scrolled < 100 && self.chance(reads) {
            self.wait(25);
            self.scrolled = (self.scrolled + self.rng.random_range(10..=45)).min(100);
            self.emit("scroll", None);
        }
    }

    fn go_to(&mut self, page: &'static Page) {
        // The next page takes between 0.2 and 1.5 seconds to load.
        self.now_micros += self.rng.random_range(200_000..1_500_000);
        self.referrer = self.page.url;
        self.page = page;
        self.view();
    }
}
