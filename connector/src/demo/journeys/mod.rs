//! User journeys through a small shop, from a seed: the events that the demo, the load test and the trials send.
//!
//! [`Journeys`] is endless and pure: the clock is an argument, and the same seed, start and options give the same events,
//! byte for byte. Each user visits again and again, with pauses longer than the 30 minutes that end a session, so the visits
//! of a user never overlap and the client's sessions are those that the analyses find. Events come in order of time within a
//! visit; between visits they are a little out of order, as if each browser had its own delay on the way.

mod pages;
mod session;
#[cfg(test)]
mod tests;
mod world;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::click::ClickEvent;

use session::{Timed, Visitor, walk};
use world::{CAMPAIGNS, Campaign, DEVICES, LOCATIONS};

const MICROS_PER_SEC: i64 = 1_000_000;
const SECS_PER_DAY: u64 = 86_400;

/// Events in a visit on average (observed, held by a test); only used to choose how many users and how long their pauses.
const EVENTS_PER_VISIT: u64 = 10;

/// The shortest pause between two visits of a user: more than the 30 minutes that end a session.
const PAUSE_SECS_MIN: u64 = 31 * 60;

/// How the visits are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many users there are, at least one: `user_0001` and on.
    pub users: u32,
    /// How long a user stays away between two visits, on average, in seconds; at least 31 minutes.
    pub pause_secs_mean: u64,
    /// The longest delay of a browser's events on their way, in milliseconds; 0 for a stream in order of time.
    pub delay_ms_max: u32,
}

impl Default for Options {
    /// 20 users who come every two hours and a half, up to 5 s of delay.
    fn default() -> Self {
        Self { users: 20, pause_secs_mean: 9_000, delay_ms_max: 5_000 }
    }
}

impl Options {
    /// About `events` events over about `days` days: 20 users, more only when they could not make so many visits.
    #[must_use]
    pub fn spread(events: u64, days: u32) -> Self {
        let visits = (events / EVENTS_PER_VISIT).max(1);
        let span_secs = u64::from(days.max(1)) * SECS_PER_DAY;
        let crowd = (visits * 2 * PAUSE_SECS_MIN).div_ceil(span_secs);
        let users = u32::try_from(crowd).unwrap_or(u32::MAX).max(Self::default().users);
        Self { users, pause_secs_mean: span_secs * u64::from(users) / visits, ..Self::default() }
    }

    /// About `events_per_sec` events each second, for as long as they are asked for.
    #[must_use]
    pub fn rate(events_per_sec: u32) -> Self {
        let pause_secs_mean = 2 * PAUSE_SECS_MIN;
        let users = u64::from(events_per_sec.max(1)) * pause_secs_mean / EVENTS_PER_VISIT;
        Self { users: u32::try_from(users).unwrap_or(u32::MAX).max(1), pause_secs_mean, ..Self::default() }
    }

    fn pause_micros(&self, rng: &mut StdRng) -> i64 {
        let spread = 2 * self.pause_secs_mean.saturating_sub(PAUSE_SECS_MIN);
        let secs = PAUSE_SECS_MIN + rng.random_range(0..=spread);
        i64::try_from(secs).unwrap_or(i64::MAX / MICROS_PER_SEC) * MICROS_PER_SEC + rng.random_range(0..MICROS_PER_SEC)
    }
}

/// The events, without end.
#[derive(Debug)]
pub struct Journeys {
    rng: StdRng,
    options: Options,
    users: Vec<User>,
    /// When each user's next event arrives, the soonest first; the user's place in `users` decides between equals.
    arrivals: BinaryHeap<Reverse<(i64, usize)>>,
}

/// A user between two events.
#[derive(Debug)]
struct User {
    /// The place in [`LOCATIONS`] where the user lives.
    home: usize,
    /// The two devices of the user, by their places in [`DEVICES`].
    devices: [usize; 2],
    delay_micros: i64,
    /// What is left of the present visit, its first event next.
    visit: VecDeque<Timed>,
}

impl Journeys {
    /// Journeys of which the first visits begin within one pause after `start_micros` (microseconds since 1970, UTC).
    #[must_use]
    pub fn new(seed: u64, start_micros: i64, options: Options) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = options.users.max(1) as usize;
        let mut users = Vec::with_capacity(count);
        let mut arrivals = BinaryHeap::with_capacity(count);
        for place in 0..count {
            let device = |rng: &mut StdRng| rng.random_range(0..DEVICES.len());
            users.push(User {
                home: rng.random_range(0..LOCATIONS.len()),
                devices: [device(&mut rng), device(&mut rng)],
                delay_micros: 0,
                visit: VecDeque::new(),
            });
            let mean_micros = i64::try_from(options.pause_secs_mean).unwrap_or(0).saturating_mul(MICROS_PER_SEC);
            let first = start_micros.saturating_add(rng.random_range(0..=mean_micros.max(1)));
            arrivals.push(Reverse((first, place)));
        }
        Self { rng, options, users, arrivals }
    }

    /// The next event if it has arrived by `now_micros`; else none, and nothing is lost. For a stream along a clock.
    pub fn next_by(&mut self, now_micros: i64) -> Option<ClickEvent> {
        self.next_timed(now_micros).map(|(_, event)| event)
    }

    /// The next event that arrives by `until_micros`, with its time in microseconds since 1970.
    fn next_timed(&mut self, until_micros: i64) -> Option<Timed> {
        loop {
            if self.arrivals.peek()?.0.0 > until_micros {
                return None;
            }
            let Reverse((arrival, place)) = self.arrivals.pop()?;
            let user = self.users.get_mut(place)?;
            let Some(event) = user.visit.pop_front() else {
                // An arrival without an event is the start of a visit.
                let visitor = visitor(&mut self.rng, place, user);
                user.visit = walk(&mut self.rng, visitor, arrival).into();
                let delay_ms = self.rng.random_range(0..=self.options.delay_ms_max);
                user.delay_micros = i64::from(delay_ms) * 1_000;
                self.arrivals.push(Reverse((arrival + user.delay_micros, place)));
                continue;
            };
            let next = match user.visit.front() {
                Some((time, _)) => time + user.delay_micros,
                None => event.0 + self.options.pause_micros(&mut self.rng),
            };
            self.arrivals.push(Reverse((next, place)));
            return Some(event);
        }
    }
}

impl Iterator for Journeys {
    type Item = ClickEvent;

    fn next(&mut self) -> Option<ClickEvent> {
        self.next_by(i64::MAX)
    }
}

/// Microseconds from the start to the latest of the first `events` events, so that a caller can let them end now.
#[must_use]
pub fn span_micros(seed: u64, events: u64, options: Options) -> i64 {
    let mut journeys = Journeys::new(seed, 0, options);
    let times = (0..events).map_while(|_| journeys.next_timed(i64::MAX)).map(|(time, _)| time);
    times.max().unwrap_or(0)
}

/// Four of five visits are made on the first device and from home.
fn visitor(rng: &mut StdRng, place: usize, user: &User) -> Visitor {
    let device = user.devices[usize::from(rng.random_range(0..5) == 0)];
    let location = if rng.random_range(0..5) == 0 { rng.random_range(0..LOCATIONS.len()) } else { user.home };
    Visitor {
        number: u32::try_from(place + 1).unwrap_or(u32::MAX),
        device: &DEVICES[device],
        location: &LOCATIONS[location],
        campaign: campaign(rng.random_range(0..100)),
    }
}

/// The campaign of the visit with this number of a hundred.
fn campaign(mut number: u32) -> &'static Campaign {
    for campaign in &CAMPAIGNS {
        if number < campaign.percent {
            return campaign;
        }
        number -= campaign.percent;
    }
    &CAMPAIGNS[CAMPAIGNS.len() - 1]
}
