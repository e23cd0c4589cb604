//! What may be true many times a second is said once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Holds back a line of the log that was written a moment ago, and counts how often.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Past>);

#[derive(Debug, Default)]
struct Past {
    said: Option<Instant>,
    since: u64,
}

impl Seldom {
    /// How often it has happened since it was last said, this time included, if it is to be said now.
    pub fn now(&self) -> Option<u64> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Option<u64> {
        let mut past = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        past.since += 1;
        if past.said.is_some_and(|said| now < said + BETWEEN) {
            return None;
        }
        past.said = Some(now);
        Some(std::mem::take(&mut past.since))
    }
}

const BETWEEN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_all_the_time_is_said_once_a_minute_with_how_often() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.at(start), Some(1));
        for n in 0..500 {
            assert_eq!(seldom.at(start + Duration::from_millis(n)), None);
        }
        assert_eq!(seldom.at(start + BETWEEN), Some(501));
        assert_eq!(seldom.at(start + BETWEEN), None);
    }
}
