//! Frames under way: where each ends among the bytes sent, and how long it took until the viewer had it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames remembered; a still picture's are small, so that many may be under way.
const MAX_UNDER_WAY: usize = 1024;

/// A frame that the viewer has whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Complete {
    /// When its first byte was asked for.
    pub(super) began: Instant,
    /// From then until the viewer had it, beyond what the line takes at least. The source's own delay is not in it:
    /// that is the same at every step.
    pub(super) age: Duration,
}

/// Frames that are under way.
#[derive(Debug, Default)]
pub(super) struct Frames {
    under_way: VecDeque<(u64, Instant)>,
}

impl Frames {
    /// A frame, begun then, ends with byte `end` of all that was sent.
    pub(super) fn sent(&mut self, began: Instant, end: u64) {
        if self.under_way.len() == MAX_UNDER_WAY {
            self.under_way.pop_front();
        }
        self.under_way.push_back((end, began));
    }

    /// The next frame that is complete now that `acked` bytes are acknowledged, of which it is known `on_time` after that
    /// at the soonest.
    pub(super) fn complete(
        &mut self,
        acked: u64,
        on_time: Duration,
        now: Instant,
    ) -> Option<Complete> {
        let (end, began) = *self.under_way.front()?;
        if end > acked {
            return None;
        }
        self.under_way.pop_front();
        let age = now.saturating_duration_since(began).saturating_sub(on_time);
        Some(Complete { began, age })
    }
}
