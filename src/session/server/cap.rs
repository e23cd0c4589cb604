//! The most that a viewer is sent, where somebody has set it.

use std::time::{Duration, Instant};

/// What may be sent at once after a pause, as time at the rate.
const BURST: Duration = Duration::from_millis(40);

/// A token bucket in bytes; it may go into debt for one chunk.
#[derive(Debug, Default)]
pub(super) struct Cap {
    bucket: Option<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Bytes a second.
    rate: f64,
    tokens: f64,
    at: Instant,
}

impl Cap {
    /// At most `bps` bits a second, on average; `None` is without limit.
    pub(super) fn new(bps: Option<u64>, now: Instant) -> Self {
        let bucket = bps.map(|bps| {
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let rate = (bps / 8).max(1) as f64;
            Bucket {
                rate,
                tokens: rate * BURST.as_secs_f64(),
                at: now,
            }
        });
        Self { bucket }
    }

    /// When there is room; `now` if there is.
    pub(super) fn room_at(&mut self, now: Instant) -> Instant {
        let Some(bucket) = &mut self.bucket else {
            return now;
        };
        let gained = bucket.rate * now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.at = bucket.at.max(now);
        bucket.tokens = (bucket.tokens + gained).min(bucket.rate * BURST.as_secs_f64());
        if bucket.tokens > 0.0 {
            return now;
        }
        // A little later than exactly then, since tokens must be more than none.
        let wait = (-bucket.tokens / bucket.rate).min(3600.0) + 0.001;
        now + Duration::from_secs_f64(wait)
    }

    /// `bytes` were sent.
    pub(super) fn spend(&mut self, bytes: usize) {
        if let Some(bucket) = &mut self.bucket {
            #[expect(clippy::cast_precision_loss, reason = "one chunk")]
            let bytes = bytes as f64;
            bucket.tokens -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_over_a_second_and_a_pause_saves_up_little() {
        #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
        let start = Instant::now();
        let mut cap = Cap::new(Some(800_000), start);
        let mut now = start + Duration::from_secs(60);
        let end = now + Duration::from_secs(10);
        let mut sent = 0;
        while now < end {
            let at = cap.room_at(now);
            if at == now {
                cap.spend(1000);
                sent += 1000;
            } else {
                now = at;
            }
        }
        assert!((990_000..1_020_000).contains(&sent), "{sent}");
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
        let now = Instant::now();
        let mut cap = Cap::default();
        cap.spend(usize::MAX);
        assert_eq!(cap.room_at(now), now);
    }
}
