//! How unevenly a track arrives: each packet's delay over the fastest one of the last seconds.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::media::MediaTime;

/// Delays of one track over its fastest packet, within a sliding window, usually of 5 s.
///
/// A packet's *lag* is its arrival (microseconds since `origin` on our clock) minus its capture (microseconds since
/// the server's epoch). The two clocks need not agree: only differences of lags mean anything, and tracks of one
/// server that share an `origin` can be compared.
#[derive(Debug)]
pub struct Estimate {
    origin: Instant,
    window: Duration,
    /// Arrival and lag, oldest first.
    samples: VecDeque<(Instant, i64)>,
    /// Sorted anew for each percentile; kept so that nothing is allocated.
    scratch: Vec<i64>,
    fastest: Option<i64>,
    spread: Duration,
}

impl Estimate {
    /// Nothing has come yet. `origin` is any moment on our clock, the same for all tracks that are to be compared.
    pub fn new(origin: Instant) -> Self {
        Self::over(WINDOW, origin)
    }

    /// As [`Self::new`], over a window of another length, of which not more counts than memory allows.
    pub fn over(window: Duration, origin: Instant) -> Self {
        Self {
            origin,
            window,
            samples: VecDeque::with_capacity(FIRST_SAMPLES),
            scratch: Vec::with_capacity(FIRST_SAMPLES),
            fastest: None,
            spread: Duration::ZERO,
        }
    }

    /// Something captured at `capture` has arrived; gives its delay over the fastest.
    pub fn add(&mut self, capture: MediaTime, now: Instant) -> Duration {
        let lag = self.lag(capture, now);
        while self.samples.len() >= MAX_SAMPLES
            || self
                .samples
                .front()
                .is_some_and(|(at, _)| now.saturating_duration_since(*at) > self.window)
        {
            self.samples.pop_front();
        }
        self.samples.push_back((now, lag));
        self.scratch.clear();
        self.scratch
            .extend(self.samples.iter().map(|(_, lag)| *lag));
        // the smallest index that leaves at most 5 % above it
        let rank = (self.scratch.len() * 95).div_ceil(100).saturating_sub(1);
        let (_, p95, _) = self.scratch.select_nth_unstable(rank);
        let p95 = *p95;
        let fastest = self
            .samples
            .iter()
            .map(|(_, lag)| *lag)
            .min()
            .unwrap_or(lag);
        self.fastest = Some(fastest);
        self.spread = micros(p95.saturating_sub(fastest));
        micros(lag.saturating_sub(fastest))
    }

    /// Forgets everything, for instance because the server's epoch is another one now.
    pub fn reset(&mut self) {
        self.samples.clear();
        self.fastest = None;
        self.spread = Duration::ZERO;
    }

    /// 95th percentile of the delay over the fastest packet.
    pub const fn spread(&self) -> Duration {
        self.spread
    }

    /// The least lag in the window, in microseconds; `None` before the first packet.
    pub const fn fastest(&self) -> Option<i64> {
        self.fastest
    }

    /// The lag, in microseconds, that `capture` has at `now`.
    pub fn lag(&self, capture: MediaTime, now: Instant) -> i64 {
        let arrival = now.saturating_duration_since(self.origin).as_micros();
        let arrival = i64::try_from(arrival).unwrap_or(i64::MAX);
        arrival.saturating_sub(i64::try_from(capture.as_micros()).unwrap_or(i64::MAX))
    }

    /// What is due at `now` when everything is played `delay` after it could have arrived at best.
    pub fn playout(&self, now: Instant, delay: Duration) -> Option<MediaTime> {
        let fastest = self.fastest?;
        let age = fastest.saturating_add(i64::try_from(delay.as_micros()).unwrap_or(i64::MAX));
        // `lag` of capture 0 is the arrival itself
        let due = self.lag(MediaTime::ZERO, now).saturating_sub(age);
        Some(MediaTime::from_micros(u64::try_from(due).unwrap_or(0)))
    }
}

/// A difference of lags as a duration; never negative.
fn micros(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

/// How far back packets count.
const WINDOW: Duration = Duration::from_secs(5);

/// 5 s of packets of 10 ms, for which there is room from the start.
const FIRST_SAMPLES: usize = 512;

/// Half a minute of 60 pictures a second; a faster track is measured over less time.
const MAX_SAMPLES: usize = 2048;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    const PACKET: Duration = Duration::from_millis(20);

    fn capture(n: u32) -> MediaTime {
        MediaTime::ZERO + PACKET * n
    }

    #[test]
    fn an_even_track_has_no_spread() {
        let start = Instant::now();
        let mut estimate = Estimate::new(start);
        for n in 0..500 {
            estimate.add(capture(n), start + PACKET * n + Duration::from_millis(70));
        }
        assert_eq!(estimate.spread(), Duration::ZERO);
        assert_eq!(estimate.fastest(), Some(70_000));
    }

    #[test]
    fn the_spread_is_the_95th_percentile_over_the_fastest() {
        let start = Instant::now();
        let mut estimate = Estimate::new(start);
        for n in 0..200 {
            let late = Duration::from_millis(u64::from(n % 20));
            estimate.add(capture(n), start + PACKET * n + late);
        }
        assert_eq!(estimate.spread(), Duration::from_millis(18));
    }

    #[test]
    fn five_seconds_later_a_burst_is_forgotten() {
        let start = Instant::now();
        let mut estimate = Estimate::new(start);
        for n in 0..100 {
            estimate.add(capture(n), start + PACKET * 100);
        }
        assert!(estimate.spread() > Duration::from_secs(1));
        for n in 100..400 {
            estimate.add(capture(n), start + PACKET * n);
        }
        assert_eq!(estimate.spread(), Duration::ZERO);
    }

    #[test]
    fn memory_stays_bounded_and_absurd_times_do_no_harm() {
        let start = Instant::now();
        let mut estimate = Estimate::new(start);
        for n in 0..10_000_u64 {
            let capture = MediaTime::from_micros(if n % 3 == 0 { u64::MAX } else { n });
            estimate.add(capture, start);
        }
        assert!(estimate.samples.len() <= MAX_SAMPLES);
        assert!(estimate.playout(start, Duration::MAX).is_some());
    }

    #[test]
    fn the_playout_point_runs_with_the_clock() {
        let start = Instant::now();
        let mut estimate = Estimate::new(start);
        assert_eq!(estimate.playout(start, Duration::ZERO), None);
        estimate.add(capture(10), start + Duration::from_secs(1));
        let at =
            |ms| estimate.playout(start + Duration::from_millis(ms), Duration::from_millis(50));
        assert_eq!(at(1050), Some(capture(10)));
        assert_eq!(at(1070), Some(capture(11)));
    }
}
