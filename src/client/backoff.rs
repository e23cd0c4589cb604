//! Pauses between attempts to connect again.

use std::time::Duration;

/// Pauses that double from 0.5 s to 10 s, each shortened by up to a quarter so that the viewers of a server that
/// restarts do not come all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next pause; `chance` is a random byte.
    pub(crate) fn pause(&mut self, chance: u8) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        full - full / 4 * u32::from(chance) / 255
    }

    /// It worked: begin anew.
    pub(crate) const fn reset(&mut self) {
        self.next = FIRST;
    }
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_seconds_and_begin_anew_after_success() {
        let mut backoff = Backoff::new();
        let pauses: Vec<u128> = (0..7).map(|_| backoff.pause(0).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.pause(255).as_millis(), 375);
    }
}
