//! The server's clock as a client knows it, from pings.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::media::MediaTime;

/// How long a sample counts.
const WINDOW: Duration = Duration::from_secs(10);

/// Samples kept; pings come once a second.
const SAMPLES: usize = 16;

/// Pings without an answer that are remembered.
const IN_FLIGHT: usize = 16;

/// Pauses behind the first pings; the last one repeats.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_secs(1),
];

/// Sends pings and learns from pongs: the sample with the least round trip of the last 10 s says how far the clocks
/// are apart, since of all it was delayed least.
#[derive(Debug)]
pub(super) struct Clock {
    /// Local times are microseconds since then.
    base: Instant,
    due: Instant,
    sent: u64,
    in_flight: VecDeque<(u64, Instant)>,
    /// Pings up to this one, and without it, were answered or are past that.
    answered: u64,
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    rtt: Duration,
    /// Server minus local, in microseconds.
    offset: i64,
}

impl Clock {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            base: now,
            due: now,
            sent: 0,
            in_flight: VecDeque::new(),
            answered: 0,
            samples: VecDeque::new(),
        }
    }

    /// The first ping is due now; none was sent yet.
    pub(super) const fn restart(&mut self, now: Instant) {
        self.base = now;
        self.due = now;
    }

    /// When the next ping is due.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// The next ping is due at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.due = self.due.min(now);
    }

    /// The id of a ping that is written now.
    pub(super) fn ping(&mut self, now: Instant) -> u64 {
        let id = self.sent;
        let nth = usize::try_from(id).unwrap_or(usize::MAX);
        let pause = PAUSES.get(nth).or(PAUSES.last());
        self.due = now + pause.copied().unwrap_or(WINDOW);
        self.sent += 1;
        if self.in_flight.len() == IN_FLIGHT {
            self.in_flight.pop_front();
        }
        self.in_flight.push_back((id, now));
        id
    }

    /// A pong came; one that answers no ping of ours is ignored.
    pub(super) fn pong(&mut self, id: u64, received_us: u64, sent_us: u64, now: Instant) {
        let Some(at) = self.in_flight.iter().position(|(sent, _)| *sent == id) else {
            return;
        };
        let Some((_, sent)) = self.in_flight.remove(at) else {
            return;
        };
        self.answered = self.answered.max(id + 1);
        let held = sent_us.saturating_sub(received_us);
        let away = now.saturating_duration_since(sent);
        let rtt = away.saturating_sub(Duration::from_micros(held));
        let out = i128::from(received_us) - self.local(sent);
        let back = i128::from(sent_us) - self.local(now);
        let offset = i64::try_from((out + back) / 2).unwrap_or(i64::MAX);
        self.forget(now);
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            at: now,
            rtt,
            offset,
        });
    }

    /// The server's time at `now`; `None` before the first pong.
    pub(super) fn server_time(&self, now: Instant) -> Option<MediaTime> {
        let offset = self.best()?.offset;
        let local = MediaTime::from_duration(now.saturating_duration_since(self.base));
        Some(local.offset(offset))
    }

    /// Since when the oldest ping waits behind which none was answered.
    pub(super) fn waiting(&self) -> Option<Instant> {
        let mut behind = self.in_flight.iter().filter(|(id, _)| *id >= self.answered);
        behind.next().map(|(_, sent)| *sent)
    }

    /// The least round trip of late; `None` before the first pong.
    pub(super) fn rtt(&self) -> Option<Duration> {
        Some(self.best()?.rtt)
    }

    /// How far the newest round trip is above the least of late; `None` before the first pong.
    pub(super) fn held(&self) -> Option<Duration> {
        let newest = self.samples.back()?;
        Some(newest.rtt.saturating_sub(self.best()?.rtt))
    }

    fn best(&self) -> Option<&Sample> {
        self.samples.iter().min_by_key(|sample| sample.rtt)
    }

    /// Drops samples that are too old, but never the last one: an old offset is better than none.
    fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.samples.front()
            && now.saturating_duration_since(oldest.at) > WINDOW
        {
            self.samples.pop_front();
        }
    }

    fn local(&self, at: Instant) -> i128 {
        let us = at.saturating_duration_since(self.base).as_micros();
        i128::try_from(us).unwrap_or(i128::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_sample_with_the_least_round_trip_decides() {
        let t0 = start();
        let mut clock = Clock::new(t0);
        // The server's clock is 1 s ahead; 10 ms each way, 5 ms held.
        let id = clock.ping(t0);
        clock.pong(id, 1_010_000, 1_015_000, t0 + ms(25));
        assert_eq!(clock.rtt(), Some(ms(20)));
        let at = |time: u64| Some(MediaTime::from_micros(time));
        assert_eq!(clock.server_time(t0 + ms(25)), at(1_025_000));
        // 10 ms out, 90 ms back: worse, so without effect.
        let id = clock.ping(t0 + ms(100));
        clock.pong(id, 1_110_000, 1_110_000, t0 + ms(200));
        assert_eq!(clock.server_time(t0 + ms(200)), at(1_200_000));
    }

    #[test]
    fn a_sample_older_than_ten_seconds_gives_way() {
        let t0 = start();
        let mut clock = Clock::new(t0);
        let id = clock.ping(t0);
        clock.pong(id, 0, 0, t0 + ms(2));
        let later = t0 + ms(11_000);
        let id = clock.ping(later);
        clock.pong(id, 11_020_000, 11_020_000, later + ms(40));
        assert_eq!(clock.rtt(), Some(ms(40)));
    }

    #[test]
    fn pings_come_at_once_and_then_after_100_and_300_ms_and_each_second() {
        let t0 = start();
        let mut clock = Clock::new(t0);
        let mut due = Vec::new();
        for _ in 0..5 {
            due.push(clock.due() - t0);
            clock.ping(clock.due());
        }
        assert_eq!(due, [ms(0), ms(100), ms(300), ms(1300), ms(2300)]);
    }

    #[test]
    fn absurd_times_in_a_pong_do_no_harm() {
        let t0 = start();
        let mut clock = Clock::new(t0);
        for (received, sent) in [(u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            let id = clock.ping(t0);
            clock.pong(id, received, sent, t0 + ms(1));
            assert!(clock.server_time(t0 + ms(2)).is_some());
        }
        clock.pong(4711, 0, 0, t0);
    }
}
