//! How late the latest packet of the last half minute was.

use std::time::{Duration, Instant};

/// The longest delay of the last 20 to 40 s.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    since: Option<Instant>,
    now: Duration,
    before: Duration,
}

impl Peak {
    pub(super) fn add(&mut self, delay: Duration, now: Instant) {
        self.recent(now);
        self.now = self.now.max(delay);
    }

    pub(super) fn recent(&mut self, now: Instant) -> Duration {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= PEAK_WINDOW {
            self.since = Some(now);
            self.before = std::mem::take(&mut self.now);
        }
        self.now.max(self.before)
    }
}

/// Half of what is remembered, at most.
const PEAK_WINDOW: Duration = Duration::from_secs(20);
