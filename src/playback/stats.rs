//! What a viewer measures: the `summary` and the `stats` of each second.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::histogram::Histogram;
use crate::jitter::Counts;

/// Figures over some time: of a second as `stats`, of the whole as `summary`. `None` becomes `null`: not measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How long this is about.
    pub duration_ms: u64,
    /// What carried it last.
    pub transport: Option<String>,
    /// From the start until the first picture was shown.
    pub first_frame_ms: Option<f64>,
    /// Pictures handed to the display (headless: that would have been).
    pub frames_shown: u64,
    /// Of these, shown although cells were missing or broken.
    pub frames_partial: u64,
    /// Of these, the same picture again: nothing in it had changed.
    pub frames_repeated: u64,
    /// The longest time without a new picture, since the first.
    pub video_gap_max_ms: f64,
    /// From capture to display, on the server's clock.
    pub latency_ms: Latencies,
    /// Packets of sound that came, each once.
    pub audio_packets: u64,
    /// Packets of sound that should have been heard and were not.
    pub audio_lost: u64,
    /// The longest time without captured sound, since the first.
    pub audio_gap_max_ms: f64,
    /// How far picture and sound were apart when a picture was shown.
    pub av_skew_ms: Skew,
    /// Bytes that came, as the link carried them.
    pub bytes_received: u64,
    /// The same as a rate.
    pub bitrate_bps: u64,
    /// Round trip as measured last.
    pub rtt_ms: Option<f64>,
    /// How far the newest round trip is above the least of late: what waits on the way, in the line's queues and in boxes.
    pub held_ms: Option<f64>,
    /// Changes of the transport.
    pub switches: u64,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latencies {
    /// Half are not above.
    pub p50: Option<f64>,
    /// 95 of 100 are not above.
    pub p95: Option<f64>,
    /// 99 of 100 are not above.
    pub p99: Option<f64>,
    /// None is above.
    pub max: Option<f64>,
}

/// Percentiles in milliseconds, sign left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Skew {
    /// Half are not above.
    pub p50: Option<f64>,
    /// 95 of 100 are not above.
    pub p95: Option<f64>,
}

/// What only the connection knows; totals since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What carries the session now.
    pub transport: Option<String>,
    /// Bytes that came.
    pub bytes_received: u64,
    /// Newest round trip.
    pub rtt: Option<Duration>,
    /// How far the newest round trip is above the least of late.
    pub held: Option<Duration>,
    /// Changes of the transport.
    pub switches: u64,
}

/// A picture that was shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) at: Instant,
    /// From its capture, if the server's clock is known.
    pub(super) latency: Option<Duration>,
    /// Off the sound, if there is any.
    pub(super) skew: Option<Duration>,
    pub(super) partial: bool,
    pub(super) repeated: bool,
}

/// Counts for the whole and for the current second.
#[derive(Debug)]
pub(super) struct Tally {
    started: Instant,
    first_frame: Option<Duration>,
    last_frame: Option<Instant>,
    /// How long there was no captured sound, if there ever was any.
    silent: Option<Duration>,
    total: Window,
    second: Window,
}

/// One stretch of time.
#[derive(Debug)]
struct Window {
    since: Instant,
    frames_shown: u64,
    frames_partial: u64,
    frames_repeated: u64,
    video_gap: Duration,
    audio_gap: Duration,
    latency: Histogram,
    skew: Histogram,
    /// Totals when this began.
    audio: Counts,
    bytes: u64,
    switches: u64,
}

impl Tally {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            first_frame: None,
            last_frame: None,
            silent: None,
            total: Window::new(started),
            second: Window::new(started),
        }
    }

    /// A picture was shown; true if it was the first.
    pub(super) fn shown(&mut self, shown: Shown) -> bool {
        let is_first = self.first_frame.is_none();
        if is_first {
            self.first_frame = Some(shown.at.saturating_duration_since(self.started));
        }
        let gap = self.last_frame.map_or(Duration::ZERO, |last| {
            shown.at.saturating_duration_since(last)
        });
        self.last_frame = Some(shown.at);
        for window in [&mut self.total, &mut self.second] {
            window.frames_shown += 1;
            window.frames_partial += u64::from(shown.partial);
            window.frames_repeated += u64::from(shown.repeated);
            window.video_gap = window.video_gap.max(gap);
            if let Some(latency) = shown.latency {
                window.latency.add(latency);
            }
            if let Some(skew) = shown.skew {
                window.skew.add(skew);
            }
        }
        is_first
    }

    /// Captured sound was handed to the sink.
    pub(super) fn sounded(&mut self) {
        self.silent = Some(Duration::ZERO);
    }

    /// For so long the sink got nothing, or something made up.
    pub(super) fn silent(&mut self, time: Duration) {
        let Some(silent) = &mut self.silent else {
            return;
        };
        *silent += time;
        for window in [&mut self.total, &mut self.second] {
            window.audio_gap = window.audio_gap.max(*silent);
        }
    }

    pub(super) fn first_frame(&self) -> Option<Duration> {
        self.first_frame
    }

    /// Over all since the start.
    pub(super) fn summary(&self, audio: Counts, traffic: &Traffic, now: Instant) -> Summary {
        self.figures(&self.total, audio, traffic, now)
    }

    /// Over what has passed since this was called last.
    pub(super) fn stats(&mut self, audio: Counts, traffic: &Traffic, now: Instant) -> Summary {
        let figures = self.figures(&self.second, audio, traffic, now);
        self.second.begin(audio, traffic, now);
        figures
    }

    fn figures(&self, window: &Window, audio: Counts, traffic: &Traffic, now: Instant) -> Summary {
        let duration = now.saturating_duration_since(window.since);
        // what has not ended yet counts as well
        let open = |last: Option<Instant>| {
            last.map(|last| now.saturating_duration_since(last.max(window.since)))
                .unwrap_or_default()
        };
        let bytes = traffic.bytes_received.saturating_sub(window.bytes);
        let percentile = |histogram: &Histogram, percent| histogram.percentile(percent).map(millis);
        Summary {
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            transport: traffic.transport.clone(),
            first_frame_ms: self.first_frame.map(millis),
            frames_shown: window.frames_shown,
            frames_partial: window.frames_partial,
            frames_repeated: window.frames_repeated,
            video_gap_max_ms: millis(window.video_gap.max(open(self.last_frame))),
            latency_ms: Latencies {
                p50: percentile(&window.latency, 50),
                p95: percentile(&window.latency, 95),
                p99: percentile(&window.latency, 99),
                max: window.latency.max().map(millis),
            },
            audio_packets: packets(audio).saturating_sub(packets(window.audio)),
            audio_lost: unheard(audio).saturating_sub(unheard(window.audio)),
            audio_gap_max_ms: millis(window.audio_gap),
            av_skew_ms: Skew {
                p50: percentile(&window.skew, 50),
                p95: percentile(&window.skew, 95),
            },
            bytes_received: bytes,
            bitrate_bps: rate(bytes, duration),
            rtt_ms: traffic.rtt.map(millis),
            held_ms: traffic.held.map(millis),
            switches: traffic.switches.saturating_sub(window.switches),
        }
    }
}

impl Window {
    fn new(since: Instant) -> Self {
        Self {
            since,
            frames_shown: 0,
            frames_partial: 0,
            frames_repeated: 0,
            video_gap: Duration::ZERO,
            audio_gap: Duration::ZERO,
            latency: Histogram::new(),
            skew: Histogram::new(),
            audio: Counts::default(),
            bytes: 0,
            switches: 0,
        }
    }

    fn begin(&mut self, audio: Counts, traffic: &Traffic, now: Instant) {
        self.since = now;
        self.frames_shown = 0;
        self.frames_partial = 0;
        self.frames_repeated = 0;
        self.video_gap = Duration::ZERO;
        self.audio_gap = Duration::ZERO;
        self.latency.clear();
        self.skew.clear();
        self.audio = audio;
        self.bytes = traffic.bytes_received;
        self.switches = traffic.switches;
    }
}

const fn packets(counts: Counts) -> u64 {
    counts.received.saturating_sub(counts.duplicate)
}

const fn unheard(counts: Counts) -> u64 {
    counts.lost.saturating_add(counts.skipped)
}

fn rate(bytes: u64, over: Duration) -> u64 {
    let us = over.as_micros().max(1);
    u64::try_from(u128::from(bytes) * 8_000_000 / us).unwrap_or(u64::MAX)
}

/// Milliseconds with one decimal.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn shown(at: Instant, latency: u32) -> Shown {
        Shown {
            at,
            latency: Some(MS * latency),
            skew: Some(MS * 3),
            partial: false,
            repeated: false,
        }
    }

    #[test]
    fn a_second_and_the_whole_are_counted_apart() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        for n in 1..=30 {
            assert_eq!(tally.shown(shown(start + MS * 33 * n, n)), n == 1);
        }
        let traffic = Traffic {
            transport: Some("tls".into()),
            bytes_received: 125_000,
            rtt: Some(MS * 7),
            held: Some(MS * 3),
            switches: 0,
        };
        let audio = Counts {
            received: 50,
            lost: 2,
            skipped: 1,
            ..Counts::default()
        };
        let first = tally.stats(audio, &traffic, start + MS * 1000);
        assert_eq!((first.frames_shown, first.duration_ms), (30, 1000));
        assert_eq!((first.audio_packets, first.audio_lost), (50, 3));
        assert_eq!((first.bitrate_bps, first.rtt_ms), (1_000_000, Some(7.0)));
        assert_eq!(first.held_ms, Some(3.0));
        assert_eq!(first.first_frame_ms, Some(33.0));
        tally.shown(shown(start + MS * 1200, 5));
        let second = tally.stats(audio, &traffic, start + MS * 2000);
        assert_eq!((second.frames_shown, second.audio_packets), (1, 0));
        assert_eq!(
            (second.bytes_received, second.latency_ms.max),
            (0, Some(5.0))
        );
        let all = tally.summary(audio, &traffic, start + MS * 2000);
        assert_eq!((all.frames_shown, all.video_gap_max_ms), (31, 800.0));
        assert_eq!(all.latency_ms.max, Some(30.0));
    }

    #[test]
    fn absurd_counts_do_no_harm() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let audio = Counts {
            lost: u64::MAX,
            skipped: 3,
            ..Counts::default()
        };
        let second = tally.stats(audio, &Traffic::default(), start);
        assert_eq!(second.audio_lost, u64::MAX);
        let next = tally.stats(audio, &Traffic::default(), start);
        assert_eq!(next.audio_lost, 0);
    }

    #[test]
    fn a_gap_in_the_sound_is_measured_from_the_first_sound_on() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        tally.silent(MS * 900);
        tally.sounded();
        tally.silent(MS * 20);
        tally.sounded();
        tally.silent(MS * 60);
        tally.silent(MS * 40);
        let all = tally.summary(Counts::default(), &Traffic::default(), start + MS * 170);
        assert_eq!(all.audio_gap_max_ms, 100.0);
    }

    #[test]
    fn the_fields_are_those_that_are_documented() {
        let tally = Tally::new(Instant::now());
        let all = tally.summary(Counts::default(), &Traffic::default(), Instant::now());
        let json = serde_json::to_value(&all).expect("plain data");
        let mut names: Vec<_> = json
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        names.sort();
        let mut expected = [
            "duration_ms",
            "transport",
            "first_frame_ms",
            "frames_shown",
            "frames_partial",
            "frames_repeated",
            "video_gap_max_ms",
            "latency_ms",
            "audio_packets",
            "audio_lost",
            "audio_gap_max_ms",
            "av_skew_ms",
            "bytes_received",
            "bitrate_bps",
            "rtt_ms",
            "held_ms",
            "switches",
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert!(json["latency_ms"]["p99"].is_null() && json["av_skew_ms"]["p95"].is_null());
    }
}
