//! The numbers and times that a published stream's pictures have here: those of one picture are the same at each of its
//! levels, over whatever links they come, and whichever of them comes first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::captures::{Captures, Of};
use crate::hub::Filler;
use crate::media::{MediaTime, Size};

/// Shared by the links of one publisher; locked for a look, never while anything is coded or sent.
#[derive(Clone, Debug)]
pub(super) struct Times(Arc<Mutex<Inside>>);

#[derive(Debug)]
struct Inside {
    filler: Filler,
    captures: Captures,
    /// By number, here as there.
    known: VecDeque<Known>,
    /// Of the best picture that was complete last.
    size: Option<Size>,
    /// Its number.
    newest: u64,
}

/// A picture, whatever levels of it came.
#[derive(Clone, Copy, Debug)]
struct Known {
    theirs: u64,
    number: u64,
    capture: MediaTime,
    /// When the best one of it was complete.
    passed: Option<Instant>,
}

/// What the time is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) now: Instant,
    pub(super) ours: MediaTime,
    /// The publisher's, as far as it is known.
    pub(super) theirs: Option<MediaTime>,
}

impl Times {
    pub(super) fn new(filler: Filler, now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Inside {
            filler,
            captures: Captures::new(now),
            known: VecDeque::new(),
            size: None,
            newest: 0,
        })))
    }

    /// What comes from now on has nothing to do with what came.
    pub(super) fn anew(&self) {
        let mut inside = self.lock();
        inside.known.clear();
        inside.captures.forget();
        inside.size = None;
    }

    /// Number and time of a picture of the best level, which is always newer than the one before: what a publisher sends
    /// again, of another rung, is another picture here.
    pub(super) fn best(&self, frame: u64, capture: MediaTime, clocks: Clocks) -> (u64, MediaTime) {
        let mut inside = self.lock();
        inside
            .captures
            .learn(clocks.theirs, clocks.ours, clocks.now);
        if let Some(found) = inside.find(frame, capture, clocks.ours)
            && found.0 > inside.newest
        {
            return found;
        }
        // What is known leads back; it begins anew from here.
        inside.known.clear();
        inside.begin(frame, 1, capture, clocks.ours)
    }

    /// The same of a level below, where there is one for it; and how large the best one is.
    pub(super) fn below(
        &self,
        frame: u64,
        capture: MediaTime,
        clocks: Clocks,
    ) -> Option<((u64, MediaTime), Size)> {
        let mut inside = self.lock();
        let size = inside.size?;
        let found = inside.find(frame, capture, clocks.ours)?;
        Some((found, size))
    }

    /// The best picture of this number is complete.
    pub(super) fn passed(&self, number: u64, size: Size, now: Instant) {
        let mut inside = self.lock();
        (inside.newest, inside.size) = (number, Some(size));
        let at = inside.known.partition_point(|known| known.number < number);
        if let Some(known) = inside.known.get_mut(at)
            && known.number == number
        {
            known.passed = Some(now);
        }
    }

    /// Whether somebody who has nothing newer than `number` should have it: the best picture of one is here for long.
    pub(super) fn is_behind(&self, number: u64, now: Instant) -> bool {
        let inside = self.lock();
        let at = inside.known.partition_point(|known| known.number <= number);
        let passed = inside.known.range(at..).find_map(|known| known.passed);
        passed.is_some_and(|at| now.saturating_duration_since(at) >= BEHIND)
    }

    /// The time of a packet of sound.
    pub(super) fn sound(&self, capture: MediaTime, clocks: Clocks) -> MediaTime {
        let mut inside = self.lock();
        inside
            .captures
            .learn(clocks.theirs, clocks.ours, clocks.now);
        inside.captures.ours(Of::Sound, capture, clocks.ours)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// What this picture has, or gets now; `None` for one between others that leave no place, or before all.
    fn find(
        &mut self,
        frame: u64,
        capture: MediaTime,
        ours: MediaTime,
    ) -> Option<(u64, MediaTime)> {
        let Some(last) = self.known.back().copied() else {
            return Some(self.begin(frame, 1, capture, ours));
        };
        if frame > last.theirs {
            // A source of which some pictures are left out is as fast here as it is there.
            let apart = (frame - last.theirs).min(MOST_APART);
            return Some(self.begin(frame, apart, capture, ours));
        }
        let at = self.known.partition_point(|known| known.theirs < frame);
        let next = *self.known.get(at)?;
        if next.theirs == frame {
            return Some((next.number, next.capture));
        }
        let before = *self.known.get(at.checked_sub(1)?)?;
        let number = next.number.checked_sub(next.theirs - frame)?;
        (number > before.number).then(|| {
            let known = Known {
                theirs: frame,
                number,
                capture: next.capture,
                passed: None,
            };
            self.known.insert(at, known);
            self.bound();
            (number, next.capture)
        })
    }

    /// The newest picture, so many behind the last.
    fn begin(
        &mut self,
        frame: u64,
        apart: u64,
        capture: MediaTime,
        ours: MediaTime,
    ) -> (u64, MediaTime) {
        let number = self.filler.later_frame(apart);
        let capture = self.captures.ours(Of::Picture, capture, ours);
        self.known.push_back(Known {
            theirs: frame,
            number,
            capture,
            passed: None,
        });
        self.bound();
        (number, capture)
    }

    fn bound(&mut self) {
        if self.known.len() > MOST_KNOWN {
            self.known.pop_front();
        }
    }
}

/// Four seconds' worth of a fast source.
const MOST_KNOWN: usize = 256;
/// Of a publisher that counts by more this is all that is believed.
const MOST_APART: u64 = 64;
/// A level that lacks what the best picture has had for so long is not live.
const BEHIND: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Stream;
    use crate::media::Tracks;
    use crate::timeline::Limits;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn times(now: Instant) -> Times {
        let tracks = Tracks {
            video: true,
            audio: true,
        };
        Times::new(Stream::new("cam", tracks, Limits::default()).open(), now)
    }

    fn at(now: Instant, ms: u64) -> (MediaTime, Clocks) {
        let ours = MediaTime::from_micros(ms * 1000);
        let clocks = Clocks {
            now: now + Duration::from_millis(ms),
            ours,
            theirs: Some(ours),
        };
        (ours, clocks)
    }

    fn size() -> Size {
        Size::new(1280, 720).unwrap()
    }

    /// Pictures 10, 12, 13, of which the level's come first, between, or last.
    #[test]
    fn a_picture_has_one_number_and_one_time_at_every_level_whichever_comes_first() {
        let t0 = start();
        let times = times(t0);
        let (capture, clocks) = at(t0, 1000);
        assert!(times.below(10, capture, clocks).is_none(), "of what?");
        let best = times.best(10, capture, clocks);
        times.passed(best.0, size(), clocks.now);
        assert_eq!(times.below(10, capture, clocks), Some((best, size())));
        let (capture, clocks) = at(t0, 1120);
        let (below, _) = times.below(13, capture, clocks).unwrap();
        assert_eq!(below.0, best.0 + 3, "as far apart as they are there");
        let (earlier, clocks) = at(t0, 1130);
        let late = times.best(12, earlier, clocks);
        assert_eq!(late.0, best.0 + 2);
        times.passed(late.0, size(), clocks.now);
        assert_eq!(times.best(13, capture, clocks), below);
        assert!(times.below(9, capture, clocks).is_none(), "before all");
    }

    #[test]
    fn a_picture_that_comes_again_of_another_rung_is_a_newer_one() {
        let t0 = start();
        let times = times(t0);
        let (capture, clocks) = at(t0, 1000);
        let first = times.best(5, capture, clocks);
        times.passed(first.0, size(), clocks.now);
        let again = times.best(5, capture, clocks);
        times.passed(again.0, size(), clocks.now);
        assert!(again.0 > first.0);
        let back = times.best(3, capture, clocks);
        assert!(back.0 > again.0 && back.1 >= again.1);
        assert_eq!(
            times.best(1_000_000, capture, clocks).0,
            back.0 + MOST_APART
        );
    }

    #[test]
    fn a_level_is_behind_once_a_newer_best_picture_was_there_for_long() {
        let t0 = start();
        let times = times(t0);
        let (capture, clocks) = at(t0, 1000);
        let first = times.best(1, capture, clocks).0;
        times.passed(first, size(), clocks.now);
        let later = |ms: u64| at(t0, 1000 + ms).1.now;
        assert!(!times.is_behind(first, later(100_000)), "a still picture");
        let (capture, clocks) = at(t0, 1040);
        let second = times.best(2, capture, clocks).0;
        assert!(!times.is_behind(first, later(100_000)), "not complete");
        times.passed(second, size(), clocks.now);
        assert!(!times.is_behind(first, later(40)));
        assert!(times.is_behind(first, later(40) + BEHIND));
        assert!(!times.is_behind(second, later(100_000)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let t0 = start();
        let times = times(t0);
        let mut last = 0;
        for n in 0..10_000_u64 {
            let (capture, clocks) = at(t0, 1000 + n);
            let wild = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if n % 2 == 0 {
                let number = times.best(wild >> (n % 60), capture, clocks).0;
                assert!(number > last);
                times.passed(number, size(), clocks.now);
                last = number;
            } else {
                times.below(wild >> (n % 61), capture, clocks);
            }
            assert!(times.lock().known.len() <= MOST_KNOWN);
        }
    }
}
