use bytes::Bytes;

use super::*;
use crate::media::AudioCodec;

const MS: Duration = Duration::from_millis(1);

fn packet(seq: u64) -> AudioPacket {
    AudioPacket {
        codec: AudioCodec::Pcm,
        seq,
        capture: MediaTime::from_micros(seq.saturating_mul(20_000)),
        duration: PACKET,
        bytes: Bytes::new(),
    }
}

/// A line and a speaker in virtual time, in steps of a millisecond.
struct Bench {
    audio: Audio,
    start: Instant,
    now: Instant,
    next: u64,
    /// When packets come: (arrival, packet), unordered.
    line: Vec<(Instant, AudioPacket)>,
    /// Sound pulled but not yet played, in seconds.
    speaker: f64,
    heard: Vec<Pull>,
    /// Seconds of speaker time per second.
    clock: f64,
}

impl Bench {
    fn new(bounds: Bounds) -> Self {
        let start = Instant::now();
        Self {
            audio: Audio::new(bounds, start),
            start,
            now: start,
            next: 0,
            line: Vec::new(),
            speaker: 0.0,
            heard: Vec::new(),
            clock: 1.0,
        }
    }

    /// Runs for `time`; each packet is sent when captured and takes `delay(seq)`, or is lost.
    fn run(&mut self, time: Duration, delay: impl Fn(u64) -> Option<Duration>) {
        let end = self.now + time;
        while self.now < end {
            while self.start + PACKET * u32::try_from(self.next).unwrap() <= self.now {
                if let Some(delay) = delay(self.next) {
                    self.line.push((self.now + delay, packet(self.next)));
                }
                self.next += 1;
            }
            let now = self.now;
            let (come, rest): (Vec<_>, Vec<_>) =
                self.line.drain(..).partition(|(at, _)| *at <= now);
            self.line = rest;
            for (_, packet) in come {
                self.audio.push(packet, self.now);
            }
            self.speaker -= 0.001 * self.clock;
            while self.speaker <= 0.0 {
                let rate = self.audio.rate();
                let pull = self.audio.pull(self.now);
                self.speaker += match pull {
                    Pull::Packet(_) => 0.020 / rate,
                    Pull::Conceal => 0.020,
                    Pull::Silence => 0.005,
                };
                self.heard.push(pull);
            }
            self.now += MS;
        }
    }

    fn count(&self, wanted: &Pull) -> usize {
        self.heard.iter().filter(|pull| *pull == wanted).count()
    }

    fn seqs(&self) -> Vec<u64> {
        self.heard
            .iter()
            .filter_map(|pull| match pull {
                Pull::Packet(packet) => Some(packet.seq),
                Pull::Conceal | Pull::Silence => None,
            })
            .collect()
    }
}

#[test]
fn an_even_line_plays_every_packet_in_order_with_the_least_delay() {
    let mut bench = Bench::new(Bounds::ADAPTIVE);
    bench.run(Duration::from_secs(10), |_| Some(MS * 30));
    assert!(bench.seqs().is_sorted());
    assert_eq!(bench.count(&Pull::Conceal), 0);
    assert_eq!(bench.audio.target(), MS * 20);
    assert_eq!(bench.audio.counts().lost, 0);
    assert!(bench.seqs().len() > 490);
    assert!((bench.audio.rate() - 1.0).abs() <= STEADY);
}

#[test]
fn packets_out_of_order_and_twice_are_put_right() {
    let start = Instant::now();
    let mut audio = Audio::new(Bounds::ADAPTIVE, start);
    for seq in [0, 2, 1, 1, 3, 3] {
        audio.push(packet(seq), start);
    }
    assert_eq!(audio.counts().duplicate, 2);
    let mut now = start + MS * 25;
    for seq in 0..4 {
        assert_eq!(audio.pull(now), Pull::Packet(packet(seq)));
        now += PACKET;
    }
    audio.push(packet(2), now);
    assert_eq!(audio.counts().late, 1);
}

#[test]
fn a_lost_packet_is_concealed_and_counted() {
    let mut bench = Bench::new(Bounds::ADAPTIVE);
    bench.run(Duration::from_secs(5), |seq| {
        (seq % 50 != 7).then_some(MS * 30)
    });
    let counts = bench.audio.counts();
    assert_eq!(counts.lost, 5);
    assert_eq!(counts.concealed, 5);
    assert_eq!(bench.seqs().len(), 243);
}

#[test]
fn jitter_raises_the_target_to_its_95th_percentile_and_nothing_is_lost() {
    let mut bench = Bench::new(Bounds::ADAPTIVE);
    let jitter = |seq: u64| Some(MS * 20 + MS * u32::try_from(seq * 7919 % 61).unwrap());
    bench.run(Duration::from_secs(20), jitter);
    let target = bench.audio.target();
    assert!((MS * 70..=MS * 90).contains(&target), "{target:?}");
    let before = bench.audio.counts();
    bench.heard.clear();
    bench.run(Duration::from_secs(60), jitter);
    let after = bench.audio.counts();
    assert_eq!(
        after.lost + after.skipped + after.late,
        before.lost + before.skipped + before.late
    );
    assert!(after.concealed - before.concealed <= 1, "{after:?}");
}

#[test]
fn the_target_falls_by_a_millisecond_a_second() {
    let mut bench = Bench::new(Bounds::ADAPTIVE);
    bench.run(Duration::from_secs(5), |seq| {
        Some(MS * if seq % 4 == 0 { 120 } else { 20 })
    });
    let high = bench.audio.target();
    assert!(high >= MS * 100, "{high:?}");
    bench.run(Duration::from_secs(6), |_| Some(MS * 20));
    let settled = bench.audio.target();
    let before = bench.audio.counts();
    bench.run(Duration::from_secs(20), |_| Some(MS * 20));
    let fallen = settled - bench.audio.target();
    assert!((MS * 18..=MS * 22).contains(&fallen), "{fallen:?}");
    let after = bench.audio.counts();
    assert_eq!(
        (after.lost, after.skipped, after.underruns),
        (before.lost, before.skipped, before.underruns)
    );
}

#[test]
fn a_stall_is_concealed_then_silent_then_refilled_and_the_next_one_is_not_heard() {
    let mut bench = Bench::new(Bounds::ADAPTIVE);
    // every 10 s the line stands still for 120 ms and then delivers everything at once
    let stall = |seq: u64| {
        let phase = u32::try_from(seq % 500).unwrap();
        Some(
            MS * 20
                + if (400..406).contains(&phase) {
                    PACKET * (406 - phase)
                } else {
                    Duration::ZERO
                },
        )
    };
    bench.run(Duration::from_secs(9), stall);
    let counts = bench.audio.counts();
    assert_eq!(counts.underruns, 1);
    assert_eq!((counts.lost, counts.skipped, counts.late), (0, 0, 0));
    assert!(counts.concealed <= u64::from(MOST_CONCEALED));
    bench.run(Duration::from_secs(30), stall);
    assert_eq!(bench.audio.counts().underruns, 1);
    let heard = u64::try_from(bench.seqs().len());
    assert_eq!(Ok(bench.audio.counts().played), heard);
}

#[test]
fn a_long_stall_does_not_leave_a_delay_behind() {
    let mut bench = Bench::new(Bounds::ADAPTIVE);
    bench.run(Duration::from_secs(3), |_| Some(MS * 20));
    let sent = bench.next;
    bench.run(Duration::from_secs(10), |seq| {
        let waits = (sent + 75).saturating_sub(seq);
        Some(MS * 20 + PACKET * u32::try_from(waits).unwrap())
    });
    let counts = bench.audio.counts();
    assert!(counts.skipped > 0 && counts.lost == 0, "{counts:?}");
    bench.run(Duration::from_secs(40), |_| Some(MS * 20));
    assert!(
        bench.audio.held() < Bounds::ADAPTIVE.max,
        "{:?}",
        bench.audio.held()
    );
}

#[test]
fn a_speaker_that_runs_fast_or_slow_is_followed_for_ten_minutes() {
    for clock in [1.0003, 0.9997] {
        let mut bench = Bench::new(Bounds::ADAPTIVE);
        bench.clock = clock;
        let jitter = |seq: u64| Some(MS * 20 + MS * u32::try_from(seq * 31 % 11).unwrap());
        bench.run(Duration::from_secs(30), jitter);
        let before = bench.audio.counts();
        bench.run(Duration::from_secs(570), jitter);
        let counts = bench.audio.counts();
        assert_eq!(counts.underruns, before.underruns, "{clock} {counts:?}");
        assert_eq!((counts.lost, counts.skipped), (0, 0), "{clock} {counts:?}");
        assert!(
            bench.audio.held() < MS * 100,
            "{clock} {:?}",
            bench.audio.held()
        );
    }
}

#[test]
fn nothing_grows_without_a_listener() {
    let start = Instant::now();
    let mut audio = Audio::new(Bounds::ADAPTIVE, start);
    for seq in 0..10_000 {
        audio.push(packet(seq), start + PACKET * u32::try_from(seq).unwrap());
    }
    assert!(audio.held() <= Bounds::ADAPTIVE.max + SLACK);
    assert!(audio.counts().skipped > 9_000);
}

#[test]
fn a_stream_that_counts_anew_is_taken_up() {
    let start = Instant::now();
    let mut audio = Audio::new(Bounds::ADAPTIVE, start);
    audio.push(packet(1_000_000), start);
    let mut now = start + MS * 100;
    assert!(matches!(audio.pull(now), Pull::Packet(_)));
    for seq in 0..100 {
        audio.push(packet(seq), now);
        now += PACKET;
    }
    let heard = (0..100).any(|_| {
        now += PACKET;
        matches!(audio.pull(now), Pull::Packet(_))
    });
    assert!(heard);
}

#[test]
fn absurd_numbers_and_times_do_no_harm() {
    let start = Instant::now();
    let mut audio = Audio::new(
        Bounds {
            min: Duration::MAX,
            max: Duration::MAX,
        },
        start,
    );
    let mut now = start;
    for n in 0..5_000_u64 {
        let mut wild = packet(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        wild.capture = MediaTime::from_micros(n.wrapping_mul(0xD1B5_4A32_D192_ED03));
        wild.duration = Duration::from_secs(n % 3);
        audio.push(wild, now);
        let _ = audio.pull(now);
        assert!(audio.rate().is_finite() && (0.97..1.03).contains(&audio.rate()));
        now += MS * 7;
    }
    assert!(audio.packets.len() <= MAX_PACKETS);
}

#[test]
fn the_position_is_what_was_pulled_and_unknown_in_silence() {
    let start = Instant::now();
    let mut audio = Audio::new(Bounds::ADAPTIVE, start);
    assert_eq!(audio.position(), None);
    audio.push(packet(5), start);
    assert!(matches!(audio.pull(start + MS * 20), Pull::Packet(_)));
    assert_eq!(audio.position(), Some(MediaTime::from_micros(120_000)));
    for _ in 0..4 {
        audio.pull(start + MS * 40);
    }
    assert_eq!(audio.position(), None);
}

#[test]
fn numbers_at_the_end_of_their_range_do_no_harm() {
    let start = Instant::now();
    let mut audio = Audio::new(Bounds::ADAPTIVE, start);
    let mut now = start;
    for round in 0..3 {
        // Low numbers, often enough to be taken for a stream that began again, then the highest.
        for seq in (0..40).chain(u64::MAX - 5..=u64::MAX) {
            let capture = MediaTime::from_micros(round * 1_000_000 + seq % 64 * 20_000);
            audio.push(
                AudioPacket {
                    capture,
                    ..packet(seq)
                },
                now,
            );
            now += MS * 20;
            for _ in 0..2 {
                audio.pull(now);
            }
        }
    }
    assert_eq!(audio.counts().lost, u64::MAX);
}

#[test]
fn what_a_bad_start_has_raised_has_gone_two_minutes_later() {
    let mut bench = Bench::new(Bounds::ADAPTIVE);
    bench.run(Duration::from_secs(3), |seq| {
        Some(MS * if seq % 4 == 0 { 270 } else { 20 })
    });
    assert!(bench.audio.target() >= MS * 250);
    bench.run(Duration::from_secs(120), |_| Some(MS * 20));
    assert!(
        bench.audio.target() <= MS * 80,
        "{:?}",
        bench.audio.target()
    );
    assert!(bench.audio.rate() < 1.008);
}
