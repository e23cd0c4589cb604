//! Which datagrams came, which did not, and when to say so.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wire::limits::MAX_HOLES;
use crate::wire::{Arrivals, Span};

/// A datagram that so many others overtook is lost (RFC 9002, section 6.1.1).
const OVERTAKEN: u32 = 3;

/// So is one that is so much later than one behind it.
const LATE: Duration = Duration::from_millis(5);

/// How often a hole is told: each telling may be lost itself.
const TOLD: u32 = 8;

/// Holes remembered.
const MOST: usize = 512;

/// What came of a link's datagrams.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// Behind the last byte that came.
    end: u64,
    /// In order.
    holes: VecDeque<Hole>,
}

#[derive(Debug)]
struct Hole {
    span: Span,
    since: Instant,
    /// Datagrams that came since.
    overtaken: u32,
    told: u32,
}

impl Hole {
    fn is_lost(&self, now: Instant) -> bool {
        self.overtaken >= OVERTAKEN || now.saturating_duration_since(self.since) >= LATE
    }
}

impl Tracker {
    /// These bytes came; whether they are new.
    pub(super) fn came(&mut self, span: Span, now: Instant) -> bool {
        if span.start >= self.end {
            for hole in self.holes.iter_mut().rev() {
                if hole.overtaken >= OVERTAKEN {
                    break;
                }
                hole.overtaken += 1;
            }
            if span.start > self.end {
                if self.holes.len() == MOST {
                    self.holes.pop_front();
                }
                self.holes.push_back(Hole {
                    span: self.end..span.start,
                    since: now,
                    overtaken: 1,
                    told: 0,
                });
            }
            self.end = span.end;
            return true;
        }
        let at = self
            .holes
            .partition_point(|hole| hole.span.end <= span.start);
        let Some(hole) = self.holes.get_mut(at) else {
            return false;
        };
        let (whole, since) = (hole.span.clone(), hole.since);
        if span.start < whole.start || span.end > whole.end {
            return false;
        }
        let (overtaken, told) = (hole.overtaken, hole.told);
        let rest = |span: Span| Hole {
            span,
            since,
            overtaken,
            told,
        };
        self.holes.remove(at);
        if span.end < whole.end {
            self.holes.insert(at, rest(span.end..whole.end));
        }
        if span.start > whole.start {
            self.holes.insert(at, rest(whole.start..span.start));
        }
        true
    }

    /// Of all bytes below this it is known whether they came.
    pub(super) fn until(&self, now: Instant) -> u64 {
        let waiting = self.holes.iter().find(|hole| !hole.is_lost(now));
        waiting.map_or(self.end, |hole| hole.span.start)
    }

    /// When a hole will count as lost, if nothing comes before.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let waiting = self.holes.iter().find(|hole| !hole.is_lost(now))?;
        Some(waiting.since + LATE)
    }

    /// Whether there is a loss that was not told yet.
    pub(super) fn has_news(&self, now: Instant) -> bool {
        let untold = self.holes.iter().rev().take_while(|hole| hole.told == 0);
        untold.into_iter().any(|hole| hole.is_lost(now))
    }

    /// What to tell now.
    pub(super) fn tell(&mut self, held: Duration, now: Instant) -> Arrivals {
        let until = self.until(now);
        let mut holes: Vec<Span> = Vec::new();
        for hole in self.holes.iter_mut().rev() {
            if hole.span.start >= until || hole.told >= TOLD {
                continue;
            }
            hole.told += 1;
            if holes.len() < MAX_HOLES {
                holes.push(hole.span.clone());
            } else if let Some(oldest) = holes.last_mut() {
                // Better told as lost than taken for come.
                oldest.start = hole.span.start;
            }
        }
        holes.reverse();
        Arrivals { until, held, holes }
    }

    /// Whether all of these came.
    pub(super) fn has(&self, spans: &[Span]) -> bool {
        spans.iter().all(|span| {
            let at = self
                .holes
                .partition_point(|hole| hole.span.end <= span.start);
            let hole = self.holes.get(at);
            span.end <= self.end && hole.is_none_or(|hole| hole.span.start >= span.end)
        })
    }
}

#[cfg(test)]
#[expect(
    clippy::single_range_in_vec_init,
    reason = "one span is a list of spans"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn datagram(number: u64) -> Span {
        number * 100..number * 100 + 100
    }

    #[test]
    fn a_datagram_that_three_overtook_is_lost_and_told() {
        let t0 = start();
        let mut tracker = Tracker::default();
        for number in [0, 1, 3, 4] {
            assert!(tracker.came(datagram(number), t0));
        }
        assert!(!tracker.has_news(t0));
        assert_eq!(tracker.until(t0), 200);
        tracker.came(datagram(5), t0);
        assert!(tracker.has_news(t0));
        let told = tracker.tell(ms(1), t0);
        assert_eq!((told.until, told.holes), (600, vec![200..300]));
        assert!(!tracker.has_news(t0));
    }

    #[test]
    fn a_datagram_that_does_not_come_for_5_ms_is_lost() {
        let t0 = start();
        let mut tracker = Tracker::default();
        tracker.came(datagram(1), t0);
        assert_eq!(tracker.due(t0), Some(t0 + ms(5)));
        assert!(tracker.has_news(t0 + ms(5)));
        assert_eq!(tracker.tell(ms(0), t0 + ms(5)).holes, [0..100]);
    }

    #[test]
    fn a_datagram_that_comes_late_is_no_loss_and_one_that_comes_twice_is_nothing() {
        let t0 = start();
        let mut tracker = Tracker::default();
        tracker.came(datagram(0), t0);
        tracker.came(datagram(3), t0);
        assert!(tracker.came(datagram(2), t0));
        assert!(!tracker.came(datagram(2), t0));
        assert!(!tracker.came(datagram(3), t0));
        assert!(tracker.has(&[0..100, 200..400]));
        assert!(!tracker.has(&[100..200]) && !tracker.has(&[300..500]));
        assert!(tracker.came(datagram(1), t0));
        assert!(tracker.has(&[0..400]));
    }

    #[test]
    fn a_hole_is_told_eight_times_and_too_many_become_one() {
        let t0 = start();
        let mut tracker = Tracker::default();
        for number in 0..200 {
            tracker.came(datagram(number * 2 + 1), t0);
        }
        let later = t0 + ms(9);
        for _ in 0..8 {
            let told = tracker.tell(ms(0), later);
            assert_eq!(told.holes.len(), MAX_HOLES);
            assert_eq!(told.holes[0].start, 0);
            assert_eq!(told.holes.last(), Some(&(39_800..39_900)));
        }
        assert_eq!(tracker.tell(ms(0), later).holes, []);
    }

    proptest! {
        /// In any order, with any losses: what is told is what is.
        #[test]
        fn what_is_told_is_what_is(order in proptest::collection::vec(0_u64..60, 1..120)) {
            let t0 = start();
            let mut tracker = Tracker::default();
            let mut came = [false; 60];
            for number in order {
                let new = tracker.came(datagram(number), t0);
                prop_assert_eq!(new, !came[usize::try_from(number).unwrap()]);
                came[usize::try_from(number).unwrap()] = true;
            }
            let told = tracker.tell(ms(0), t0 + ms(9));
            for (number, came) in (0_u64..).zip(came) {
                let span = datagram(number);
                prop_assert_eq!(tracker.has(std::slice::from_ref(&span)), came);
                let lost = told.holes.iter().any(|hole| hole.start <= span.start && span.end <= hole.end);
                prop_assert_eq!(lost, !came && span.end <= told.until);
            }
        }
    }
}
