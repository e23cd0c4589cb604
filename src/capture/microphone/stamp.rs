//! When a block of sound was heard: a steady clock out of unsteady hand-overs.

use std::time::{Duration, Instant};

/// Stamps the blocks of one stream.
///
/// The device hands over in lumps and late, never early, so the earliest measurements are right: the stamps follow
/// an earlier one fast and a later one slowly.
#[derive(Debug, Default)]
pub(super) struct Stamper {
    next: Option<Instant>,
}

impl Stamper {
    /// The time of the first sample of a block of `length` whose first sample is `behind` old at `now`.
    pub(super) fn stamp(&mut self, now: Instant, behind: Duration, length: Duration) -> Instant {
        let measured = now.checked_sub(behind).unwrap_or(now);
        let at = match self.next {
            Some(next) if measured < next && next - measured <= HOLE => {
                next - ((next - measured) / FAST).min(length / 2)
            }
            Some(next) if measured >= next && measured - next <= HOLE => {
                next + (measured - next) / SLOW
            }
            Some(_) | None => measured,
        };
        self.next = Some(at + length);
        at
    }

    /// Samples are missing: what comes next stands by itself.
    pub(super) const fn restart(&mut self) {
        self.next = None;
    }
}

/// A difference that is no jitter: something is missing.
const HOLE: Duration = Duration::from_millis(100);

/// Which part of a difference is made up for at once, if it was heard earlier than thought.
const FAST: u32 = 4;

/// And if later: a clock that is off by 100 ppm needs 1 us in 10 ms.
const SLOW: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Duration = Duration::from_millis(10);

    /// Blocks heard in step, handed over in lumps of `lump` blocks, looked for every 4 ms.
    fn stamps(lump: u32, blocks: u32) -> Vec<(Duration, Duration)> {
        let start = crate::capture::watch::now();
        let mut stamper = Stamper::default();
        let mut out = Vec::new();
        let mut taken = 0;
        for look in 0.. {
            let now = start + Duration::from_millis(4) * look;
            let there =
                u32::try_from((now - start).as_millis() / (10 * u128::from(lump))).unwrap() * lump;
            while taken < there {
                let at = stamper.stamp(now, BLOCK * (there - taken), BLOCK);
                out.push((at - start, BLOCK * taken));
                taken += 1;
            }
            if taken >= blocks {
                return out;
            }
        }
        out
    }

    #[test]
    fn lumps_come_out_evenly() {
        for lump in [1, 2, 5] {
            let stamps = stamps(lump, 500);
            for pair in stamps[100..].windows(2) {
                let step = pair[1].0.abs_diff(pair[0].0);
                assert!(step.abs_diff(BLOCK) < Duration::from_millis(1), "{step:?}");
            }
            for (got, heard) in &stamps[100..] {
                assert!(
                    got.abs_diff(*heard) < Duration::from_millis(3),
                    "{got:?} {heard:?}"
                );
            }
        }
    }

    #[test]
    fn a_hole_is_seen_at_once() {
        let start = crate::capture::watch::now();
        let mut stamper = Stamper::default();
        assert_eq!(stamper.stamp(start + BLOCK, BLOCK, BLOCK), start);
        let later = start + Duration::from_secs(1);
        assert_eq!(stamper.stamp(later + BLOCK, BLOCK, BLOCK), later);
    }
}
