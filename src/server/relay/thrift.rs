//! How much of what a publisher sends is passed on: more than any picture needs, and no more.

use std::time::{Duration, Instant};

/// What a token lets one link bring.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    max_bps: Option<u64>,
    bytes: Option<Purse>,
}

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

impl Allowance {
    /// So many bits a second from now on; what was spent of the same stays spent.
    pub(super) fn set(&mut self, max_bps: Option<u64>, now: Instant) {
        if self.max_bps == max_bps {
            return;
        }
        self.max_bps = max_bps;
        self.bytes = max_bps.map(|bps| {
            let rate = (bps / 8).saturating_add(bps / 32 + BESIDE);
            let most = rate.saturating_mul(HELD_UP).saturating_add(ONE_PICTURE);
            Purse::of(rate, most, now)
        });
    }

    /// So many bytes came; whether that is within it.
    pub(super) fn spend(&mut self, bytes: usize, now: Instant) -> bool {
        let purse = self.bytes.as_mut();
        purse.is_none_or(|purse| purse.spend(count(bytes), now))
    }
}

impl Purse {
    /// Full, which is half a second's worth.
    const fn new(rate: u64, now: Instant) -> Self {
        Self::of(rate, rate / 2, now)
    }

    const fn of(rate: u64, most: u64, now: Instant) -> Self {
        Self {
            has: most,
            most,
            rate,
            at: now,
        }
    }

    fn spend(&mut self, price: u64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).min(LONGEST);
        let passed = u64::try_from(passed.as_micros()).unwrap_or(0);
        let earned = self.rate.saturating_mul(passed) / MICROS;
        if earned > 0 {
            // What is too little for a whole one goes on to be earned.
            let took = earned.saturating_mul(MICROS).div_ceil(self.rate);
            self.at = match passed == took || earned >= self.most {
                true => now,
                false => self.at + Duration::from_micros(took),
            };
            self.has = self.has.saturating_add(earned).min(self.most);
        }
        let affords = self.has >= price;
        if affords {
            self.has -= price;
        }
        affords
    }
}

/// No purse takes longer than this to be full.
const LONGEST: Duration = Duration::from_secs(3600);
const MICROS: u64 = 1_000_000;
/// Bytes a second: sound is sent whatever the rate is, Opus of 128 kbit/s with what is around it.
const BESIDE: u64 = 24_000;
/// Seconds' worth that a way may hold up and bring at once.
const HELD_UP: u64 = 4;
/// Whoever sends at a rate may begin a picture that is above it.
const ONE_PICTURE: u64 = 1 << 20;

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

    #[test]
    fn a_link_brings_what_its_token_says_and_no_more_for_long() {
        let t0 = start();
        let at = |us: u64| t0 + Duration::from_micros(us);
        let mut endless = Allowance::default();
        assert!(endless.spend(usize::MAX, t0));
        let mut allowance = Allowance::default();
        allowance.set(Some(800_000), t0);
        // 100,000 bytes a second in small pieces, for ten minutes; and once all that a way has held up for 3 s.
        for n in 0..120_000 {
            assert!(allowance.spend(500, at(n * 5000)), "{n}");
        }
        let mut now = 603_000_000;
        assert!(allowance.spend(300_000, at(now)));
        // Three times as much, over another link each second.
        let mut came = 0;
        while allowance.spend(1000, at(now)) {
            if came % 300_000 == 0 {
                allowance.set(Some(800_000), at(now));
            }
            came += 1000;
            now += 3333;
        }
        let seconds = came / 300_000;
        println!("sent away after {seconds} s");
        assert!((8..15).contains(&seconds));
        allowance.set(Some(u64::MAX), at(now));
        assert!(allowance.spend(1 << 40, at(now)) && allowance.spend(1 << 40, at(now + 1)));
    }
}
