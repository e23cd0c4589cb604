//! A publisher's times on the server's clock.

use std::time::{Duration, Instant};

use crate::media::MediaTime;

/// Moves times of capture from one media clock to another. Whatever the publisher says of its clock, the times of each
/// track never go back, are never of the future, and not of long ago.
#[derive(Debug)]
pub(super) struct Captures {
    /// Ours minus the publisher's, in microseconds; `None` before anything is known.
    offset: Option<i64>,
    /// Whether it is measured, or only made so that what came first is of now.
    measured: bool,
    /// When it was looked at last.
    at: Instant,
    picture: MediaTime,
    sound: MediaTime,
}

/// Of what the time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Picture,
    Sound,
}

impl Captures {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            offset: None,
            measured: false,
            at: now,
            picture: MediaTime::ZERO,
            sound: MediaTime::ZERO,
        }
    }

    /// Another publisher, or the same anew: what is known of the clock is void. Times go on where they were.
    pub(super) const fn forget(&mut self) {
        (self.offset, self.measured) = (None, false);
    }

    /// What time the publisher has, as well as it is known, while ours is `ours`. Small corrections are made slowly, so
    /// that nobody hears them.
    pub(super) fn learn(&mut self, theirs: Option<MediaTime>, ours: MediaTime, now: Instant) {
        let Some(theirs) = theirs else {
            return;
        };
        let target = ours.micros_after(theirs);
        let passed = now.saturating_duration_since(self.at);
        self.at = now;
        let Some(offset) = self.offset.filter(|_| self.measured) else {
            (self.offset, self.measured) = (Some(target), true);
            return;
        };
        let error = target.saturating_sub(offset);
        let step = if error.unsigned_abs() > micros(JUMP) {
            error
        } else {
            let most = i64::try_from(micros(passed) / SLEW).unwrap_or(i64::MAX);
            error.clamp(-most, most)
        };
        self.offset = Some(offset.saturating_add(step));
    }

    /// `theirs` on our clock, which now says `ours`.
    pub(super) fn ours(&mut self, of: Of, theirs: MediaTime, ours: MediaTime) -> MediaTime {
        let offset = *self.offset.get_or_insert_with(|| ours.micros_after(theirs));
        let oldest = MediaTime::from_micros(ours.as_micros().saturating_sub(micros(OLDEST)));
        let last = match of {
            Of::Picture => &mut self.picture,
            Of::Sound => &mut self.sound,
        };
        let time = theirs.offset(offset).min(ours).max(oldest).max(*last);
        *last = time;
        time
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A clock that is wrong by more is set at once.
const JUMP: Duration = Duration::from_millis(50);
/// Otherwise it is corrected by one in so many.
const SLEW: u64 = 200;
/// What is older than this is taken to be so old.
const OLDEST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    const fn ms(ms: u64) -> MediaTime {
        MediaTime::from_micros(ms * 1000)
    }

    #[test]
    fn times_are_moved_by_how_far_the_clocks_are_apart() {
        let t0 = start();
        let mut captures = Captures::new(t0);
        captures.learn(Some(ms(500)), ms(90_500), t0);
        let picture = captures.ours(Of::Picture, ms(480), ms(90_500));
        let sound = captures.ours(Of::Sound, ms(470), ms(90_500));
        assert_eq!((picture, sound), (ms(90_480), ms(90_470)));
    }

    #[test]
    fn what_comes_before_the_clock_is_known_is_of_now() {
        let t0 = start();
        let mut captures = Captures::new(t0);
        assert_eq!(captures.ours(Of::Picture, ms(7), ms(5000)), ms(5000));
        assert_eq!(captures.ours(Of::Picture, ms(47), ms(5050)), ms(5040));
        // The first measurement counts at once, but nothing goes back.
        captures.learn(Some(ms(90)), ms(5060), t0);
        assert_eq!(captures.ours(Of::Picture, ms(60), ms(5060)), ms(5040));
        assert_eq!(captures.ours(Of::Picture, ms(87), ms(5090)), ms(5057));
    }

    #[test]
    fn a_small_error_is_corrected_slowly_and_a_large_one_at_once() {
        let t0 = start();
        let mut captures = Captures::new(t0);
        captures.learn(Some(ms(0)), ms(1000), t0);
        captures.learn(Some(ms(1000)), ms(2010), t0 + Duration::from_secs(1));
        assert_eq!(captures.ours(Of::Sound, ms(900), ms(2010)), ms(1905));
        captures.learn(Some(ms(0)), ms(3000), t0 + Duration::from_secs(2));
        assert_eq!(captures.ours(Of::Sound, ms(0), ms(3000)), ms(3000));
    }

    #[test]
    fn clocks_from_the_future_or_the_past_or_mad_ones_do_no_harm() {
        let t0 = start();
        let mut captures = Captures::new(t0);
        let mut last = MediaTime::ZERO;
        for n in 0..1000_u64 {
            let ours = ms(20_000 + n * 20);
            let wild = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mad = [u64::MAX, 0, wild, wild >> 20][usize::try_from(n % 4).unwrap()];
            captures.learn(
                Some(MediaTime::from_micros(mad)),
                ours,
                t0 + Duration::from_millis(n * 20),
            );
            let theirs = MediaTime::from_micros(wild.rotate_left(17));
            let time = captures.ours(Of::Picture, theirs, ours);
            assert!(time <= ours && time >= last && ours.since(time) <= OLDEST);
            last = time;
        }
    }
}
