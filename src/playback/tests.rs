//! Playback without devices, most of it in virtual time.

use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::{
    codec::{AudioEncoder, Encoder, Quality, decode_jpeg},
    media::{AudioCodec, AudioPacket, CHANNELS, Frame, Picture, RungId, Size},
    present::Null,
    session::client::Event,
};

const MS: Duration = Duration::from_millis(1);
const PACKET: Duration = Duration::from_millis(20);
const FRAME: Duration = Duration::from_millis(33);

/// Keeps everything that it is given, with the moment at which it would be heard.
struct Tape {
    null: Null,
    heard: Arc<Mutex<Vec<(Instant, f32)>>>,
}

impl AudioSink for Tape {
    fn rate(&self) -> u32 {
        self.null.rate()
    }

    fn write(&mut self, samples: &[f32], now: Instant) -> usize {
        let start = now + self.null.delay(now);
        let frames = self.null.write(samples, now);
        let mut heard = lock(&self.heard);
        for n in 0..frames {
            let at = start + Duration::from_nanos(n as u64 * 1_000_000_000 / 48_000);
            heard.push((at, samples[n * CHANNELS]));
        }
        frames
    }

    fn buffered(&self, now: Instant) -> Duration {
        self.null.buffered(now)
    }

    fn reserve(&self) -> Duration {
        self.null.reserve()
    }

    fn delay(&self, now: Instant) -> Duration {
        self.null.delay(now)
    }

    fn rest(&mut self) {
        self.null.rest();
    }

    fn underruns(&self) -> u64 {
        self.null.underruns()
    }

    fn poll(&mut self, now: Instant) -> Option<SinkNotice> {
        self.null.poll(now)
    }
}

/// A server, a line and both of playback's threads, in virtual time.
struct Bench {
    shared: Arc<Shared>,
    player: Player,
    painter: Painter,
    encoder: Encoder,
    audio: AudioEncoder,
    heard: Arc<Mutex<Vec<(Instant, f32)>>>,
    news: Receiver<News>,
    start: Instant,
    now: Instant,
    wake: Instant,
    packets: u32,
    frames: u32,
    /// On the line: (arrival, what).
    line: Vec<(Instant, Event)>,
    line_free: Instant,
    playback: Playback,
}

impl Bench {
    fn new(latency: Latency) -> Self {
        let start = now();
        let (tell, news) = channel();
        let shared = Arc::new(Shared::new(
            latency,
            true,
            start,
            Box::new(move |news| tell.send(news).expect("the bench listens")),
        ));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tape = Tape {
            null: Null::new(),
            heard: Arc::clone(&heard),
        };
        Self {
            player: Player::new(Arc::clone(&shared), Box::new(tape)).expect("48 kHz"),
            painter: Painter::new(Arc::clone(&shared), None),
            encoder: encoder(1),
            audio: AudioEncoder::new(AudioCodec::Pcm, 0).expect("PCM"),
            heard,
            news,
            start,
            now: start,
            wake: start,
            packets: 0,
            frames: 0,
            line: Vec::new(),
            line_free: start,
            playback: Playback {
                shared: Arc::clone(&shared),
                threads: Vec::new(),
            },
            shared,
        }
    }

    /// Captured `since` after the epoch; the epoch is the bench's start.
    fn capture(since: Duration) -> MediaTime {
        MediaTime::from_duration(since)
    }

    /// Runs for `time` in steps of 1 ms; `sound(n)` and `picture(n)` say how long the n-th takes.
    fn run(
        &mut self,
        time: Duration,
        sound: impl Fn(u32) -> Option<Duration>,
        picture: impl Fn(u32) -> Option<Duration>,
    ) {
        let end = self.now + time;
        while self.now < end {
            // a packet is there when its last sample is
            while self.start + PACKET * (self.packets + 1) <= self.now {
                if let Some(delay) = sound(self.packets) {
                    let packet = self.packet();
                    let at = self.send(delay);
                    self.line.push((at, Event::Audio(packet)));
                }
                self.packets += 1;
            }
            while self.start + FRAME * self.frames <= self.now {
                if let Some(delay) = picture(self.frames) {
                    let at = self.send(delay);
                    for event in self.frame() {
                        self.line.push((at, event));
                    }
                }
                self.frames += 1;
            }
            self.arrive();
            self.playback
                .set_clock(Some(Self::capture(self.now - self.start)), self.now);
            if self.now >= self.wake {
                self.wake = self.now
                    + match self.player.step(self.now) {
                        sound::Next::Sleep(time) => time,
                        sound::Next::Rest(_) => MS,
                    };
            }
            let job = self.painter.take(&mut self.shared.pictures(), self.now);
            if let Ok(job) = job {
                self.painter.paint(job, self.now);
                self.painter.settle(self.now);
            }
            self.now += MS;
        }
    }

    /// When something that takes `delay` arrives: not before what was sent earlier.
    fn send(&mut self, delay: Duration) -> Instant {
        self.line_free = self.line_free.max(self.now + delay);
        self.line_free
    }

    fn arrive(&mut self) {
        let now = self.now;
        let (come, rest): (Vec<_>, Vec<_>) = self.line.drain(..).partition(|(at, _)| *at <= now);
        self.line = rest;
        for (_, event) in come {
            assert!(self.playback.handle(event, now).is_none());
        }
    }

    /// Silent until 5 s, then loud: a mark that can be found again.
    fn packet(&mut self) -> AudioPacket {
        let loud = if self.packets >= 250 { 0.5 } else { 0.1 };
        let samples: Vec<f32> = (0..960)
            .flat_map(|n| [if n / 24 % 2 == 0 { loud } else { -loud }; CHANNELS])
            .collect();
        self.audio
            .encode(
                &samples,
                u64::from(self.packets),
                Self::capture(PACKET * self.packets),
            )
            .expect("a whole packet")
    }

    fn frame(&mut self) -> Vec<Event> {
        let first = self.frames == 0;
        let capture = Self::capture(FRAME * self.frames);
        let frame = picture(&mut self.encoder, self.frames, capture);
        events(&frame, first)
    }

    fn summary(&self) -> Summary {
        self.playback.summary(&Traffic::default(), self.now)
    }
}

fn encoder(rung: RungId) -> Encoder {
    let size = Size::new(64, 48).expect("in bounds");
    Encoder::new(rung, size, Quality::new(75).expect("in bounds")).expect("a usual size")
}

fn picture(encoder: &mut Encoder, number: u32, capture: MediaTime) -> Frame {
    let size = Size::new(64, 48).expect("in bounds");
    let shade = u8::try_from(number * 40 % 250).expect("below 250");
    let picture = Picture::filled(size, [shade, 128, 128]);
    encoder
        .encode(&picture, u64::from(number) + 1, capture)
        .expect("the encoder's size")
}

/// What the session says when this frame comes, cells that it holds already included.
fn events(frame: &Frame, with_rung: bool) -> Vec<Event> {
    let mut events = Vec::new();
    if with_rung {
        events.push(Event::Rung(Arc::clone(&frame.rung)));
    }
    let (rung, number, capture) = (frame.rung.id, frame.number, frame.capture);
    let cells = (0..)
        .zip(&frame.cells)
        .map(|(index, cell)| (index, cell.bytes.clone()))
        .collect();
    events.push(Event::Cells {
        rung,
        frame: number,
        capture,
        cells,
    });
    events.push(Event::FrameEnd {
        rung,
        frame: number,
        capture,
    });
    events
}

const fn steady(ms: u32) -> impl Fn(u32) -> Option<Duration> {
    move |_| Some(Duration::from_millis(ms as u64))
}

#[test]
fn pictures_are_shown_with_their_sound() {
    let mut bench = Bench::new(Latency::Low);
    bench.run(Duration::from_secs(20), steady(30), steady(15));
    let summary = bench.summary();
    assert!(summary.frames_shown > 590, "{summary:?}");
    assert!(
        summary.av_skew_ms.p95.is_some_and(|ms| ms <= 20.0),
        "{summary:?}"
    );
    assert_eq!((summary.audio_lost, summary.frames_partial), (0, 0));
    assert!(summary.audio_gap_max_ms == 0.0, "{summary:?}");
    // 20 ms to fill a packet, 30 on the line, 20 to 30 in the buffer, 10 to 30 in the sink
    assert!(
        summary.latency_ms.p50.is_some_and(|ms| ms < 115.0),
        "{summary:?}"
    );
}

#[test]
fn what_the_sound_clock_says_is_what_is_heard() {
    let mut bench = Bench::new(Latency::Low);
    bench.run(Duration::from_millis(5_500), steady(30), |_| None);
    let tape = lock(&bench.heard);
    let (at, _) = tape
        .iter()
        .find(|(_, sample)| sample.abs() > 0.3)
        .expect("the mark was heard");
    let clock = lock(&bench.shared.sound_clock)
        .heard(bench.now)
        .expect("it runs");
    let mark = clock.offset(-i64::try_from((bench.now - *at).as_micros()).expect("small"));
    let off = mark.micros_after(Bench::capture(Duration::from_secs(5)));
    assert!(off.abs() < 3_000, "{off} us");
}

#[test]
fn sound_waits_for_slow_pictures_within_its_bounds() {
    let mut bench = Bench::new(Latency::Low);
    bench.run(Duration::from_secs(10), steady(10), steady(150));
    bench.playback.stats(&Traffic::default(), bench.now);
    bench.run(Duration::from_secs(10), steady(10), steady(150));
    let stats = bench.playback.stats(&Traffic::default(), bench.now);
    assert!(
        stats.av_skew_ms.p95.is_some_and(|ms| ms <= 20.0),
        "{stats:?}"
    );
    assert_eq!(stats.audio_lost, 0);
}

#[test]
fn with_instant_latency_pictures_wait_for_nothing() {
    let mut bench = Bench::new(Latency::Instant);
    bench.run(Duration::from_secs(5), steady(5), steady(5));
    let summary = bench.summary();
    assert!(
        summary.latency_ms.p99.is_some_and(|ms| ms <= 7.0),
        "{summary:?}"
    );
}

#[test]
fn smooth_latency_hides_an_uneven_line() {
    let mut bench = Bench::new(Latency::Smooth);
    let uneven = |n: u32| Some(MS * (20 + n * 7919 % 150));
    bench.run(Duration::from_secs(20), uneven, uneven);
    bench.playback.stats(&Traffic::default(), bench.now);
    bench.run(Duration::from_secs(10), uneven, uneven);
    let stats = bench.playback.stats(&Traffic::default(), bench.now);
    assert!(stats.frames_shown > 295, "{stats:?}");
    assert!(stats.video_gap_max_ms < 60.0, "{stats:?}");
    assert!(stats.audio_gap_max_ms <= 20.0, "{stats:?}");
}

#[test]
fn pictures_without_sound_are_paced_by_their_own_delay() {
    let mut bench = Bench::new(Latency::Fixed(MS * 300));
    let uneven = |n: u32| Some(MS * (10 + n % 50));
    bench.run(Duration::from_secs(1), |_| None, uneven);
    bench.playback.stats(&Traffic::default(), bench.now);
    bench.run(Duration::from_secs(5), |_| None, uneven);
    let stats = bench.playback.stats(&Traffic::default(), bench.now);
    assert!(
        stats
            .latency_ms
            .p50
            .is_some_and(|ms| (300.0..320.0).contains(&ms)),
        "{stats:?}"
    );
    assert!(stats.video_gap_max_ms < 50.0, "{stats:?}");
}

#[test]
fn sound_that_stops_does_not_stop_the_picture() {
    let mut bench = Bench::new(Latency::Low);
    bench.run(
        Duration::from_secs(10),
        |n| (n < 200).then_some(MS * 20),
        steady(10),
    );
    let summary = bench.summary();
    assert!(summary.frames_shown > 290, "{summary:?}");
    assert!(summary.video_gap_max_ms < 150.0, "{summary:?}");
    assert!(summary.audio_gap_max_ms > 1_900.0, "{summary:?}");
}

#[test]
fn muting_fades_and_nothing_is_heard_any_more() {
    let mut bench = Bench::new(Latency::Low);
    bench.run(Duration::from_secs(2), steady(20), |_| None);
    bench.playback.set_muted(true);
    bench.run(MS * 200, steady(20), |_| None);
    lock(&bench.heard).clear();
    bench.run(Duration::from_secs(2), steady(20), |_| None);
    let loudest = lock(&bench.heard)
        .iter()
        .fold(0.0_f32, |a, (_, sample)| a.max(sample.abs()));
    assert!(loudest < 1e-4, "{loudest}");
}

#[test]
fn another_subscription_keeps_the_old_picture_until_its_own_is_whole() {
    let mut bench = Bench::new(Latency::Instant);
    bench.run(MS * 100, |_| None, steady(0));
    assert!(matches!(bench.news.try_recv(), Ok(News::Picture { .. })));
    bench.shared.reset();
    // the same rung's name, from another run of the server
    let mut other = encoder(1);
    let frame = picture(&mut other, 900, MediaTime::from_micros(5));
    let mut half = events(&frame, true);
    if let Some(Event::Cells { cells, .. }) = half.get_mut(1) {
        cells.truncate(1);
    }
    let before = bench.summary().frames_shown;
    for event in half {
        bench.playback.handle(event, bench.now);
    }
    bench.run(MS * 5, |_| None, |_| None);
    assert_eq!(bench.summary().frames_shown, before);
    for event in events(&frame, false) {
        bench.playback.handle(event, bench.now);
    }
    bench.run(MS * 5, |_| None, |_| None);
    assert_eq!(bench.summary().frames_shown, before + 1);
    assert!(matches!(bench.news.try_recv(), Ok(News::Picture { .. })));
}

#[test]
fn the_threads_play_and_end_and_the_picture_can_be_kept() {
    let (tell, news) = channel();
    let playback = Playback::start(Options {
        latency: Latency::Low,
        sink: Some(Box::new(Null::new())),
        screen: None,
        started: now(),
        news: Box::new(move |news| {
            let _ = tell.send(news);
        }),
    })
    .expect("threads");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("shot.jpg");
    assert_eq!(playback.picture(), None);
    let mut encoder = encoder(1);
    for event in events(&picture(&mut encoder, 3, MediaTime::ZERO), true) {
        assert!(playback.handle(event, now()).is_none());
    }
    let first = news
        .recv_timeout(Duration::from_secs(5))
        .expect("a picture");
    assert!(matches!(first, News::Picture { .. }));
    let jpeg = playback.picture().expect("there is a picture");
    write_snapshot(&path, &jpeg).expect("a directory of our own");
    let kept = decode_jpeg(&std::fs::read(&path).expect("written")).expect("a JPEG");
    assert_eq!(kept.size(), Size::new(64, 48).expect("in bounds"));
    assert_eq!(playback.summary(&Traffic::default(), now()).frames_shown, 1);
    drop(playback);
}
