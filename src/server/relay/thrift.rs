//! How much of what a publisher sends is passed on: more than any picture needs, and no more.

use std::time::{Duration, Instant};

/// Purses that fill with time.
#[derive(Debug)]
pub(super) struct Thrift {
    cells: Purse,
    changes: Purse,
    sounds: Purse,
}

#[derive(Debug)]
struct Purse {
    has: u64,
    most: u64,
    /// A second.
    rate: u64,
    at: Instant,
}

impl Thrift {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            cells: Purse::new(CELLS, now),
            changes: Purse::new(CELLS, now),
            sounds: Purse::new(SOUNDS, now),
        }
    }

    /// Whether a frame of so many cells is looked at, and passed on.
    pub(super) fn affords(&mut self, cells: usize, now: Instant) -> bool {
        self.cells.spend(count(cells).max(LEAST), now)
    }

    /// Whether a picture of so many cells is begun. Of its own purse: one that sends as many frames as are passed on may
    /// have to send coarser ones.
    pub(super) fn affords_change(&mut self, cells: usize, now: Instant) -> bool {
        self.changes.spend(count(cells).max(LEAST), now)
    }

    /// Whether a packet of sound of so many bytes is passed on.
    pub(super) fn affords_sound(&mut self, bytes: usize, now: Instant) -> bool {
        self.sounds.spend(count(bytes).max(LEAST_SOUND), now)
    }
}

impl Purse {
    /// Full, which is half a second's worth.
    const fn new(rate: u64, now: Instant) -> Self {
        let most = rate / 2;
        Self {
            has: most,
            most,
            rate,
            at: now,
        }
    }

    fn spend(&mut self, price: u64, now: Instant) -> bool {
        let passed = now
            .saturating_duration_since(self.at)
            .min(Duration::from_secs(1));
        let earned = self.rate * u64::try_from(passed.as_micros()).unwrap_or(0) / 1_000_000;
        if earned > 0 {
            self.at = now;
            self.has = (self.has + earned).min(self.most);
        }
        let affords = self.has >= price;
        if affords {
            self.has -= price;
        }
        affords
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A second: pictures of 4K, 240 times.
const CELLS: u64 = 800_000;
/// A frame costs at least so many, so that there are 400 a second at most.
const LEAST: u64 = 2000;
/// Bytes a second: twice what uncoded sound has.
const SOUNDS: u64 = 400_000;
/// A packet costs at least so many, so that there are 500 a second at most: five times as many as of 10 ms.
const LEAST_SOUND: u64 = 800;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn what_any_source_gives_is_passed_on_and_a_flood_is_not() {
        let t0 = start();
        let mut thrift = Thrift::new(t0);
        let at = |us: u64| t0 + Duration::from_micros(us);
        // 4K at 240 a second, which changes its step each second; uncoded sound in packets of 10 ms.
        for n in 0..2400 {
            assert!(thrift.affords(3240, at(n * 4167)), "{n}");
            assert!(n % 240 != 0 || thrift.affords_change(3240, at(n * 4167)));
            assert!(n % 2 == 1 || thrift.affords_sound(1920, at(n * 4167)));
        }
        let flood = (0..100_000).filter(|n| thrift.affords(1, at(10_000_000 + n * 10)));
        assert!(flood.count() < 700);
        let flood = (0..100_000).filter(|n| thrift.affords_sound(5, at(10_000_000 + n * 10)));
        assert!(flood.count() < 1000);
        // Of whatever size: half a second's worth that was saved, and one second.
        let flood = (0..100_000).filter(|n| thrift.affords_sound(8000, at(20_000_000 + n * 10)));
        assert!(flood.count() * 8000 <= 600_000);
        let flood = (0..100_000).filter(|n| thrift.affords_change(60_000, at(20_000_000 + n * 10)));
        assert!(flood.count() <= 20);
    }
}
