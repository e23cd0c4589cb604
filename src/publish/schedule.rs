//! When a publisher dials what. A state machine without clock and IO.
//!
//! He keeps two links where two ways exist, so that the server, who receives and therefore decides, can move from one to
//! the other. Which of them carries the picture is not his matter.

use std::time::{Duration, Instant};

use crate::client::Backoff;
use crate::links::place;
use crate::transport::Carrier;

/// What is there, and what is to be dialled.
#[derive(Debug)]
pub(super) struct Schedule {
    /// No other carrier is allowed than whatever won.
    only: bool,
    ways: [State; 2],
    /// When all is tried, while nothing is there.
    race_at: Instant,
    racing: bool,
    backoff: Backoff,
    /// Tries of UDP that came to nothing, one after the other.
    probes: usize,
    /// The pause before TCP is dialled again.
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up { since: Instant },
    Dialling,
    Rest { until: Instant },
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Try all that is allowed; the first that answers.
    Race,
    /// Dial this one.
    Dial(Carrier),
    /// Nothing until then.
    Wait(Option<Instant>),
}

impl Schedule {
    pub(super) const fn new(only: bool, now: Instant) -> Self {
        Self {
            only,
            ways: [State::Rest { until: now }; 2],
            race_at: now,
            racing: false,
            backoff: Backoff::new(),
            probes: 0,
            pause: FIRST_PAUSE,
        }
    }

    /// The server has said welcome on a link of this carrier.
    pub(super) fn up(&mut self, carrier: Carrier, now: Instant) {
        self.ways[place(carrier)] = State::Up { since: now };
        if std::mem::take(&mut self.racing) {
            self.probes = usize::from(carrier == Carrier::Tcp);
            self.pause = FIRST_PAUSE;
            let (other, after) = match carrier {
                Carrier::Udp => (Carrier::Tcp, STANDBY_AFTER),
                Carrier::Tcp => (Carrier::Udp, PROBES[0]),
            };
            if self.ways[place(other)] != State::Dialling {
                self.ways[place(other)] = State::Rest { until: now + after };
            }
        }
    }

    /// A link of this carrier has ended.
    pub(super) fn lost(&mut self, carrier: Carrier, chance: u8, now: Instant) {
        let lasted = match self.ways[place(carrier)] {
            State::Up { since } => now.saturating_duration_since(since),
            State::Dialling | State::Rest { .. } => Duration::ZERO,
        };
        if lasted >= LASTED {
            self.probes = 0;
            self.pause = FIRST_PAUSE;
            self.backoff.reset();
        }
        self.put_off(carrier, now);
        self.none_left(chance, now);
    }

    /// A link of this carrier could not be had.
    pub(super) fn failed(&mut self, carrier: Carrier, chance: u8, now: Instant) {
        self.put_off(carrier, now);
        self.none_left(chance, now);
    }

    /// None could be had at all.
    pub(super) fn race_lost(&mut self, chance: u8, now: Instant) {
        self.racing = false;
        self.race_at = now + self.backoff.pause(chance);
    }

    /// This machine has another address: what is not there is dialled at once.
    pub(super) fn network(&mut self, now: Instant) {
        self.backoff.reset();
        (self.race_at, self.probes, self.pause) = (now, 0, FIRST_PAUSE);
        for state in &mut self.ways {
            if let State::Rest { until } = state {
                *until = now;
            }
        }
    }

    /// When all is tried again, while nothing is there.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let alone = !self.racing && !self.is_up();
        alone.then(|| self.race_at.saturating_duration_since(now))
    }

    /// Whether anything is there.
    pub(super) fn is_up(&self) -> bool {
        let up = |state: &State| matches!(state, State::Up { .. });
        self.ways.iter().any(up)
    }

    /// What to do now.
    pub(super) fn poll(&mut self, now: Instant) -> Output {
        if self.racing {
            return Output::Wait(None);
        }
        if !self.is_up() {
            if self.ways.contains(&State::Dialling) {
                return Output::Wait(None);
            }
            if now < self.race_at {
                return Output::Wait(Some(self.race_at));
            }
            self.racing = true;
            return Output::Race;
        }
        if self.only {
            return Output::Wait(None);
        }
        let mut next = None;
        for carrier in Carrier::ALL {
            let state = &mut self.ways[place(carrier)];
            let State::Rest { until } = *state else {
                continue;
            };
            if now >= until {
                *state = State::Dialling;
                return Output::Dial(carrier);
            }
            next = next.into_iter().chain([until]).min();
        }
        Output::Wait(next)
    }

    fn put_off(&mut self, carrier: Carrier, now: Instant) {
        let after = match carrier {
            Carrier::Udp => {
                let after = PROBES.get(self.probes).or(PROBES.last()).copied();
                self.probes += 1;
                after.unwrap_or(LASTED)
            }
            Carrier::Tcp => {
                let after = self.pause;
                self.pause = (after * 2).min(LONGEST_PAUSE);
                after
            }
        };
        self.ways[place(carrier)] = State::Rest { until: now + after };
    }

    fn none_left(&mut self, chance: u8, now: Instant) {
        if !self.is_up() && !self.ways.contains(&State::Dialling) {
            self.race_at = now + self.backoff.pause(chance);
        }
    }
}

/// A short time is not worth a second connection.
const STANDBY_AFTER: Duration = Duration::from_secs(1);
/// Between tries of UDP.
const PROBES: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// Between tries of TCP, while UDP is there.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A link that has lasted so long was a good one.
const LASTED: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What is dialled while nothing but UDP's tries fail: when, in milliseconds.
    fn probes(schedule: &mut Schedule, t0: Instant, count: usize) -> Vec<u128> {
        let (mut now, mut at) = (t0, Vec::new());
        while at.len() < count {
            match schedule.poll(now) {
                Output::Wait(Some(until)) => now = until,
                Output::Dial(Carrier::Udp) => {
                    at.push((now - t0).as_millis());
                    schedule.failed(Carrier::Udp, 0, now);
                }
                other @ (Output::Race | Output::Dial(Carrier::Tcp) | Output::Wait(None)) => {
                    panic!("{other:?}")
                }
            }
        }
        at
    }

    #[test]
    fn all_is_tried_first_and_the_other_way_stands_by_a_second_later() {
        let t0 = start();
        let mut schedule = Schedule::new(false, t0);
        assert_eq!(schedule.poll(t0), Output::Race);
        assert_eq!(schedule.poll(t0), Output::Wait(None));
        schedule.up(Carrier::Udp, t0);
        assert_eq!(schedule.poll(t0), Output::Wait(Some(t0 + ms(1000))));
        assert_eq!(schedule.poll(t0 + ms(1000)), Output::Dial(Carrier::Tcp));
        schedule.up(Carrier::Tcp, t0 + ms(1010));
        assert_eq!(schedule.poll(t0 + ms(9000)), Output::Wait(None));
    }

    #[test]
    fn over_tcp_udp_is_tried_again_at_5_15_and_30_s_and_then_each_minute() {
        let t0 = start();
        let mut schedule = Schedule::new(false, t0);
        schedule.poll(t0);
        schedule.up(Carrier::Tcp, t0);
        let at = probes(&mut schedule, t0, 6);
        assert_eq!(at, [5000, 15_000, 30_000, 90_000, 150_000, 210_000]);
    }

    #[test]
    fn where_one_way_alone_is_allowed_there_is_no_other() {
        let t0 = start();
        let mut schedule = Schedule::new(true, t0);
        schedule.poll(t0);
        schedule.up(Carrier::Tcp, t0);
        assert_eq!(schedule.poll(t0 + ms(100_000)), Output::Wait(None));
        schedule.lost(Carrier::Tcp, 0, t0 + ms(100_000));
        let again = t0 + ms(100_500);
        assert_eq!(schedule.poll(t0 + ms(100_000)), Output::Wait(Some(again)));
        assert_eq!(schedule.poll(again), Output::Race);
    }

    #[test]
    fn when_all_is_lost_all_is_tried_for_ever_with_growing_pauses() {
        let t0 = start();
        let mut schedule = Schedule::new(false, t0);
        let (mut now, mut pauses) = (t0, Vec::new());
        while pauses.len() < 7 {
            match schedule.poll(now) {
                Output::Race => schedule.race_lost(0, now),
                Output::Wait(Some(until)) => {
                    pauses.push((until - now).as_millis());
                    now = until;
                }
                other @ (Output::Dial(_) | Output::Wait(None)) => panic!("{other:?}"),
            }
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    }

    #[test]
    fn one_that_is_lost_beside_another_is_dialled_again() {
        let t0 = start();
        let mut schedule = Schedule::new(false, t0);
        schedule.poll(t0);
        schedule.up(Carrier::Udp, t0);
        schedule.poll(t0 + ms(1000));
        schedule.up(Carrier::Tcp, t0 + ms(1000));
        schedule.lost(Carrier::Tcp, 0, t0 + ms(2000));
        assert_eq!(schedule.poll(t0 + ms(2500)), Output::Dial(Carrier::Tcp));
        schedule.failed(Carrier::Tcp, 0, t0 + ms(2500));
        let again = t0 + ms(3500);
        assert_eq!(schedule.poll(t0 + ms(2500)), Output::Wait(Some(again)));
        assert_eq!(schedule.pause(t0 + ms(2500)), None);
    }
}
