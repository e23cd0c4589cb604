//! Where a stream's own time lies on the machine's clock.

use std::time::{Duration, Instant};

/// One stream's pictures and sound on the machine's clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    anchor: Anchor,
    count: Count,
    picture: Option<Instant>,
}

impl Clock {
    /// When the picture was captured that is due `pts` after the stream's start and came at `now`: never later than
    /// that, and after the one before, even where the anchor just moved.
    pub(super) fn picture(&mut self, pts: Duration, now: Instant) -> Instant {
        let placed = self.anchor.place(pts, now);
        let after = self.picture.map_or(placed, |last| last + LEAST);
        let captured = placed.max(after).min(now);
        self.picture = Some(captured);
        captured
    }

    /// When sound of that length was captured: its last sample, too, was before it came.
    pub(super) fn sound(&mut self, pts: Duration, length: Duration, now: Instant) -> Instant {
        let end = self.anchor.place(pts + length, now);
        let begins = end.checked_sub(length).unwrap_or(end);
        self.count.place(begins, length)
    }
}

/// Between two pictures.
const LEAST: Duration = Duration::from_micros(1);

/// Turns times of a stream into moments, given when its parts arrive: the earliest arrival wins, since everything else
/// only adds delay. The anchor is let up slowly all the time, so that a stream which is late for good (ffmpeg paces each
/// round of a loop anew, a little later than the one before) is soon on time again; one that falls far behind at once
/// (the machine slept, the file stalled) is anchored anew.
#[derive(Debug, Default)]
pub(super) struct Anchor(Option<Held>);

#[derive(Clone, Copy, Debug)]
struct Held {
    /// The stream's start.
    at: Instant,
    /// When something came last.
    seen: Instant,
}

/// More than this behind is no jitter.
const FAR: Duration = Duration::from_millis(300);

/// The anchor is let up by one part in this: 10 ms a second, far less than jitter between two pictures.
const LET_UP: u32 = 100;

impl Anchor {
    /// When what is due `pts` after the stream's start was captured, having arrived at `now`; never later than that.
    pub(super) fn place(&mut self, pts: Duration, now: Instant) -> Instant {
        // A machine whose clock is younger than the stream's time: only order can be kept.
        let Some(latest) = now.checked_sub(pts) else {
            return now;
        };
        let let_up = |held: Held| held.at + now.saturating_duration_since(held.seen) / LET_UP;
        let at = match self.0.map(let_up) {
            Some(at) if latest.saturating_duration_since(at) <= FAR => at.min(latest),
            _ => latest,
        };
        self.0 = Some(Held { at, seen: now });
        at + pts
    }
}

/// Follows sound by counting its samples, since the times that a container gives are rounded.
#[derive(Debug, Default)]
struct Count(Option<Instant>);

/// More than this off is no rounding.
const OFF: Duration = Duration::from_millis(5);

impl Count {
    /// When the block that was placed at `due` and lasts for `length` begins.
    fn place(&mut self, due: Instant, length: Duration) -> Instant {
        let begins = match self.0 {
            Some(next) if next.max(due) - next.min(due) <= OFF => next,
            _ => due,
        };
        self.0 = Some(begins + length);
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn base() -> Instant {
        Instant::now() + Duration::from_secs(1000)
    }

    /// Within what the anchor is let up by meanwhile.
    fn assert_near(is: Instant, wanted: Instant) {
        let off = is.max(wanted) - is.min(wanted);
        assert!(off <= MS, "{off:?}");
    }

    #[test]
    fn jitter_hardly_moves_the_anchor() {
        let (mut anchor, base) = (Anchor::default(), base());
        assert_eq!(anchor.place(Duration::ZERO, base), base);
        assert_near(anchor.place(40 * MS, base + 90 * MS), base + 40 * MS);
        assert_eq!(anchor.place(80 * MS, base + 80 * MS), base + 80 * MS);
    }

    #[test]
    fn nothing_is_captured_in_the_future() {
        let (mut anchor, base) = (Anchor::default(), base());
        anchor.place(Duration::ZERO, base);
        assert_eq!(anchor.place(100 * MS, base + 60 * MS), base + 60 * MS);
        assert_near(anchor.place(140 * MS, base + 120 * MS), base + 100 * MS);
    }

    #[test]
    fn a_stall_anchors_anew() {
        let (mut anchor, base) = (Anchor::default(), base());
        anchor.place(Duration::ZERO, base);
        assert_eq!(anchor.place(40 * MS, base + 500 * MS), base + 500 * MS);
        assert_near(anchor.place(80 * MS, base + 545 * MS), base + 540 * MS);
    }

    #[test]
    fn rounds_that_each_begin_later_do_not_add_up() {
        let (mut anchor, base) = (Anchor::default(), base());
        let mut worst = Duration::ZERO;
        for picture in 0..125 * 50_u32 {
            let (round, within) = (picture / 125, picture % 125);
            let early = if within == 0 { 20 } else { 0 };
            let pts = 40 * MS * picture;
            let now = base + pts + MS * (20 + 20 * round - early);
            worst = worst.max(now - anchor.place(pts, now));
        }
        assert!(worst < 60 * MS, "{worst:?}");
    }

    #[test]
    fn rounded_times_become_a_steady_count() {
        let (mut count, base) = (Count::default(), base());
        let block = Duration::from_micros(21_333);
        assert_eq!(count.place(base, block), base);
        assert_eq!(count.place(base + 21 * MS, block), base + block);
        assert_eq!(count.place(base + 43 * MS, block), base + 2 * block);
        assert_eq!(count.place(base + 90 * MS, block), base + 90 * MS);
    }
}
