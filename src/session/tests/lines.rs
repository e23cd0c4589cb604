//! What viewers behind slow and changing lines get, in virtual time: real sessions, a simulated line, a film that may
//! be had in eight steps.
//!
//! The line is the worst one there is: everything that is given to it waits in its queue, as if no congestion control
//! below held anything back.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::player::Player;
use super::*;
use crate::session::server::Event;

/// Bytes a millisecond at a time.
type Shape = Box<dyn Fn(u64) -> f64>;

/// The film's frames, 25 a second.
const FRAME_EVERY: u64 = 40;

/// Bit rates of the steps as parts of the best one's.
const STEPS: [f64; 8] = [1.0, 0.6, 0.35, 0.22, 0.13, 0.07, 0.04, 0.02];

/// A film with sound.
struct Film {
    /// Bytes of a frame at its best.
    size: usize,
    step: usize,
    /// The frame that came last and when.
    newest: Option<(u64, MediaTime)>,
    begun: Option<u64>,
    rung: Option<usize>,
    /// The rest of the frame under way.
    todo: VecDeque<VideoStep>,
    sounds: VecDeque<Arc<AudioPacket>>,
}

impl Feed for Film {
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>> {
        self.sounds.pop_front()
    }

    fn next_video(&mut self) -> Option<VideoStep> {
        if self.todo.is_empty() {
            let (number, capture) = self.newest?;
            if self.begun == Some(number) {
                return None;
            }
            self.begun = Some(number);
            let id = u32::try_from(self.step).unwrap();
            if self.rung.replace(self.step) != Some(self.step) {
                let size = Size::new(640, 480).unwrap();
                let kind = RungKind::Whole { size };
                self.todo.push_back(VideoStep::Rung(Arc::new(Rung {
                    id,
                    kind,
                    source: None,
                })));
            }
            // Frames differ by a third, as those of films do.
            let vary = 0.85 + 0.3 * f64::from(u32::try_from(number * 7919 % 100).unwrap()) / 100.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a model"
            )]
            let bytes = (self.size as f64 * STEPS[self.step] * vary) as usize;
            self.todo.push_back(VideoStep::Cell {
                rung: id,
                frame: number,
                capture,
                index: 0,
                bytes: Bytes::from(vec![1; bytes.max(200)]),
            });
            self.todo.push_back(VideoStep::End {
                rung: id,
                frame: number,
                capture,
            });
        }
        self.todo.pop_front()
    }

    fn steps(&self) -> usize {
        STEPS.len()
    }

    fn set_step(&mut self, step: usize) {
        self.step = step;
    }

    fn give_up(&mut self) -> bool {
        let gives_up = !self.todo.is_empty() && self.rung != Some(self.step);
        if gives_up {
            self.todo.clear();
            self.begun = None;
        }
        gives_up
    }
}

/// One direction of a line: a queue in front of a bottleneck, then the way.
struct Line {
    rate: Shape,
    delay: u64,
    /// Whole chunks as they were written, with what is left of the first.
    queue: VecDeque<Bytes>,
    gone: usize,
    credit: f64,
    under_way: VecDeque<(u64, Bytes)>,
    /// A box that gives out what it has only at multiples of this many milliseconds.
    batch: u64,
}

impl Line {
    fn new(rate: impl Fn(u64) -> f64 + 'static, delay: u64) -> Self {
        Self {
            rate: Box::new(rate),
            delay,
            queue: VecDeque::new(),
            gone: 0,
            credit: 0.0,
            under_way: VecDeque::new(),
            batch: 1,
        }
    }

    fn tick(&mut self, at: u64) -> Vec<Bytes> {
        self.credit += (self.rate)(at);
        while let Some(first) = self.queue.front() {
            #[expect(clippy::cast_precision_loss, reason = "a model")]
            let left = (first.len() - self.gone) as f64;
            if left > self.credit {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a model"
                )]
                let part = self.credit as usize;
                let piece = first.slice(self.gone..self.gone + part);
                self.gone += part;
                self.credit -= self.credit.floor();
                self.under_way.push_back((at + self.delay, piece));
                break;
            }
            self.credit -= left;
            let piece = first.slice(self.gone..);
            self.under_way.push_back((at + self.delay, piece));
            self.gone = 0;
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.credit = 0.0;
        }
        let mut come = Vec::new();
        if at.is_multiple_of(self.batch) {
            while let Some((due, _)) = self.under_way.front()
                && *due <= at
            {
                come.extend(self.under_way.pop_front().map(|(_, bytes)| bytes));
            }
        }
        come
    }
}

/// What a viewer saw and heard.
#[derive(Debug, Default)]
struct Seen {
    /// When each frame was complete, in milliseconds, and how old it was then.
    frames: Vec<(u64, u64)>,
    sounds: Vec<(u64, u64)>,
    /// When the step changed, and to which.
    steps: Vec<(u64, usize)>,
    /// When each picture was shown, and how old it was then.
    shown: Vec<(u64, u64)>,
    /// Packets of sound that were not there when they were due.
    concealed: u64,
    /// Packets of sound that were not heard.
    lost: u64,
}

impl Seen {
    /// The age that `percent` of the frames between `from` and `to` seconds did not exceed when they were complete.
    fn age(&self, percent: usize, from: u64, to: u64) -> u64 {
        Self::percentile(&self.frames, percent, from, to)
    }

    /// The same of the pictures when they were shown.
    fn shown_age(&self, percent: usize, from: u64, to: u64) -> u64 {
        Self::percentile(&self.shown, percent, from, to)
    }

    fn percentile(list: &[(u64, u64)], percent: usize, from: u64, to: u64) -> u64 {
        let mut ages: Vec<_> = list
            .iter()
            .filter(|(at, _)| (from * 1000..to * 1000).contains(at))
            .map(|(_, age)| *age)
            .collect();
        ages.sort_unstable();
        assert!(!ages.is_empty(), "no picture from {from} to {to} s");
        ages[(ages.len() - 1) * percent / 100]
    }

    /// Frames a second between `from` and `to` seconds.
    fn rate(&self, from: u64, to: u64) -> u64 {
        let span = from * 1000..to * 1000;
        self.frames
            .iter()
            .filter(|(at, _)| span.contains(at))
            .count() as u64
            / (to - from)
    }

    fn sound_age(&self) -> u64 {
        let mut ages: Vec<_> = self.sounds.iter().map(|(_, age)| *age).collect();
        ages.sort_unstable();
        ages[(ages.len() - 1) * 99 / 100]
    }

    fn step_at(&self, second: u64) -> usize {
        let before = self.steps.iter().rev().find(|(at, _)| *at <= second * 1000);
        before.map_or(0, |(_, step)| *step)
    }
}

/// Watches a film of 10 Mbit/s for so many seconds over `down`, answers coming back `down.delay` later.
fn watch(down: Line, seconds: u64) -> Seen {
    watch_film(down, seconds, 10)
}

/// The same with a film of so many Mbit/s.
fn watch_film(down: Line, seconds: u64, mbit: usize) -> Seen {
    let up = Line::new(|_| 1e9, down.delay);
    watch_both(down, up, seconds, mbit)
}

/// The same with answers that come back over `up`.
fn watch_both(mut down: Line, mut up: Line, seconds: u64, mbit: usize) -> Seen {
    let epoch = start();
    let mut server = server::Session::new(offer(), epoch, epoch);
    let mut client = client::Session::new(want(Some("cam")), epoch);
    client.linked(epoch);
    let mut film = Film {
        size: mbit * 1_000_000 / 8 / 25,
        step: 0,
        newest: None,
        begun: None,
        rung: None,
        todo: VecDeque::new(),
        sounds: VecDeque::new(),
    };
    let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
    let mut seen = Seen::default();
    let mut player = Player::new(epoch);
    let mut sequence = 0;
    for at in 0..seconds * 1000 {
        let now = epoch + ms(at);
        let capture = MediaTime::from_micros(at * 1000);
        if at.is_multiple_of(FRAME_EVERY) {
            film.newest = Some((at / FRAME_EVERY, capture));
        }
        if at.is_multiple_of(20) && film.rung.is_some() {
            let mut packet = (*sound(sequence)).clone();
            packet.capture = capture;
            film.sounds.push_back(Arc::new(packet));
            sequence += 1;
        }
        for bytes in up.tick(at) {
            server.handle(&mut BytesMut::from(&bytes[..]), now).unwrap();
        }
        loop {
            match server.poll(now, &mut film, &mut to_client) {
                Output::Send => down.queue.push_back(to_client.split().freeze()),
                Output::Event(Event::Step { step, .. }) => seen.steps.push((at, step)),
                Output::Event(Event::Closed(reason)) => panic!("{reason:?}"),
                Output::Event(_) => {}
                Output::Idle(_) => break,
            }
        }
        for bytes in down.tick(at) {
            client.handle(&mut BytesMut::from(&bytes[..]), now).unwrap();
        }
        loop {
            match client.poll(now, &mut to_server) {
                Output::Send => up.queue.push_back(to_server.split().freeze()),
                Output::Event(client::Event::FrameEnd { rung, capture, .. }) => {
                    seen.frames.push((at, at - capture.as_micros() / 1000));
                    player.picture(rung, capture, now);
                }
                Output::Event(client::Event::Audio(packet)) => {
                    assert_eq!(packet.seq, seen.sounds.len() as u64, "sound is lost");
                    seen.sounds
                        .push((at, at - packet.capture.as_micros() / 1000));
                    player.sound(packet, now);
                }
                Output::Event(client::Event::Closed(reason)) => panic!("{reason:?}"),
                Output::Event(_) => {}
                Output::Idle(_) => break,
            }
        }
        player.tick(now);
    }
    seen.lost = player.lost();
    (seen.shown, seen.concealed) = (player.shown, player.concealed);
    assert!(
        seen.sounds.len() as u64 + 100 > sequence,
        "sound stays behind"
    );
    seen
}

/// Bytes a millisecond.
const fn mbit(rate: f64) -> f64 {
    rate * 125.0
}

#[test]
fn on_a_line_with_room_every_frame_comes_at_its_best_and_at_once() {
    let seen = watch(Line::new(|_| mbit(1000.0), 1), 60);
    assert_eq!(seen.steps, []);
    assert!(seen.frames.len() >= 60 * 25 - 2, "{}", seen.frames.len());
    assert!(seen.age(99, 1, 60) <= 5, "{}", seen.age(99, 1, 60));
}

#[test]
fn half_the_rate_that_is_needed_is_never_behind_in_ten_minutes() {
    let seen = watch(Line::new(|_| mbit(5.0), 50), 600);
    for minute in 0..10 {
        let (from, to) = (minute * 60 + 2, minute * 60 + 60);
        let age = seen.age(95, from, to);
        assert!(age <= 200, "{age} ms in minute {minute}");
        assert!(seen.rate(from, to) >= 15, "{}", seen.rate(from, to));
    }
    assert!(seen.sound_age() <= 150, "{}", seen.sound_age());
    assert!(seen.steps.len() <= 20, "{:?}", seen.steps);
    let late = seen.steps.iter().filter(|(at, _)| *at > 300_000);
    assert!(late.count() <= 6, "trials become rare: {:?}", seen.steps);
}

#[test]
fn what_the_first_pictures_of_a_slow_line_took_is_not_shown_for_long() {
    for mbit_of_film in [8, 10, 12, 15] {
        let seen = watch_film(Line::new(|_| mbit(5.0), 50), 600, mbit_of_film);
        let (start, minute) = (seen.shown_age(95, 5, 15), seen.shown_age(95, 0, 60));
        let all = seen.shown_age(95, 0, 600);
        assert!(start <= 200, "{start} ms with {mbit_of_film} Mbit/s");
        assert!(minute <= 200, "{minute} ms with {mbit_of_film} Mbit/s");
        assert!(all <= 175, "{all} ms with {mbit_of_film} Mbit/s");
        assert!(seen.concealed <= 20, "{} made up", seen.concealed);
        assert_eq!(seen.lost, 0);
        // Down from the best one at once, as soon as the line is known.
        let (first, _) = seen.steps[0];
        assert!(first <= 1500, "{first} ms with {mbit_of_film} Mbit/s");
    }
}

#[test]
fn a_fifth_and_a_twentieth_of_the_rate_are_coarser_and_not_older() {
    for (rate, least, oldest) in [(2.0, 10, 220), (0.5, 5, 320)] {
        let seen = watch(Line::new(move |_| mbit(rate), 50), 300);
        let age = seen.age(95, 20, 300);
        assert!(age <= oldest, "{age} ms at {rate} Mbit/s: {:?}", seen.steps);
        assert!(seen.rate(20, 300) >= least, "{}", seen.rate(20, 300));
        assert!(seen.step_at(299) > 1, "{:?}", seen.steps);
        assert!(seen.steps.len() <= 40, "{:?}", seen.steps);
        // Behind the first pictures of the slowest line the sound is late by more than can be caught up with: once.
        let most = if rate < 1.0 { 15 } else { 0 };
        assert!(seen.lost <= most, "{} at {rate} Mbit/s", seen.lost);
    }
}

#[test]
fn the_first_picture_of_a_line_that_is_far_too_slow_comes_within_a_second() {
    for (rate, delay) in [(0.5, 50), (0.5, 10), (1.0, 100)] {
        let seen = watch(Line::new(move |_| mbit(rate), delay), 20);
        let (at, age) = seen.frames[0];
        assert!(at <= 1200, "{at} ms at {rate} Mbit/s: {:?}", seen.steps);
        assert!(age <= 1000, "{age} ms old at {rate} Mbit/s");
    }
}

#[test]
fn on_a_long_way_with_room_nothing_is_given_up() {
    for delay in [1, 100, 250] {
        let seen = watch(Line::new(|_| mbit(50.0), delay), 20);
        assert_eq!(seen.steps, [], "{delay} ms");
    }
}

#[test]
fn a_line_that_halves_and_doubles_is_followed_both_ways() {
    // 12 Mbit/s and 6 Mbit/s in turn, 10 s each.
    let shape = |at: u64| {
        mbit(if (at / 10_000).is_multiple_of(2) {
            12.0
        } else {
            6.0
        })
    };
    let seen = watch(Line::new(shape, 30), 200);
    assert!(seen.age(95, 2, 200) <= 250, "{}", seen.age(95, 2, 200));
    assert!(seen.rate(2, 200) >= 17, "{}", seen.rate(2, 200));
}

#[test]
fn after_a_blackout_the_best_picture_is_back_within_seconds() {
    let shape = |at: u64| {
        if (20_000..23_000).contains(&at) {
            0.0
        } else {
            mbit(20.0)
        }
    };
    let seen = watch(Line::new(shape, 20), 60);
    assert_eq!(seen.step_at(19), 0);
    assert!(seen.age(100, 24, 60) <= 200, "{}", seen.age(100, 24, 60));
    assert_eq!(seen.step_at(33), 0, "{:?}", seen.steps);
}

#[test]
fn losses_that_stall_a_line_now_and_then_cost_no_quality() {
    // A retransmission: 60 ms of nothing every second or so, 20 Mbit/s else.
    let shape = |at: u64| {
        if at % 1_130 < 60 { 0.0 } else { mbit(20.0) }
    };
    let seen = watch(Line::new(shape, 30), 120);
    assert_eq!(seen.steps, []);
    assert!(seen.rate(1, 120) >= 23, "{}", seen.rate(1, 120));
}

#[test]
fn a_box_that_holds_back_what_it_has_for_a_while_is_lived_with() {
    let mut line = Line::new(|_| mbit(20.0), 20);
    line.batch = 50;
    let seen = watch(line, 120);
    assert!(seen.age(95, 2, 120) <= 200, "{}", seen.age(95, 2, 120));
    assert!(seen.rate(2, 120) >= 15, "{}", seen.rate(2, 120));
    assert!(seen.steps.len() <= 12, "{:?}", seen.steps);
}

/// As one does that has a connection to make for each request.
#[test]
fn a_box_that_passes_on_only_now_and_then_what_the_viewer_says_costs_no_quality() {
    for (delay, rate) in [(50, 5.0), (10, 5.0), (50, 2.0)] {
        let line = || Line::new(move |_| mbit(rate), delay);
        let free = watch(line(), 60);
        let mut up = Line::new(|_| 1e9, delay);
        up.batch = 75;
        let seen = watch_both(line(), up, 60, 10);
        let (step, of_free) = (seen.step_at(59), free.step_at(59));
        assert!(
            step <= of_free,
            "{step} instead of {of_free}: {:?}",
            seen.steps
        );
        assert!(seen.age(95, 5, 60) <= 160, "{}", seen.age(95, 5, 60));
        assert!(seen.rate(5, 60) >= 20, "{}", seen.rate(5, 60));
    }
}

#[test]
fn a_line_that_comes_in_bursts_keeps_the_picture_young() {
    // 40 Mbit/s for 10 ms, then nothing for 30 ms: 10 Mbit/s on average.
    let shape = |at: u64| if at % 40 < 10 { mbit(40.0) } else { 0.0 };
    let seen = watch(Line::new(shape, 30), 120);
    assert!(seen.age(95, 2, 120) <= 200, "{}", seen.age(95, 2, 120));
    assert!(seen.steps.len() <= 12, "{:?}", seen.steps);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn on_any_steady_line_the_picture_stays_young_and_the_steps_are_few(
        (rate, delay) in (0.4_f64..40.0, 1_u64..150),
    ) {
        let seen = watch(Line::new(move |_| mbit(rate), delay), 90);
        let age = seen.age(95, 15, 90);
        prop_assert!(age <= delay + 170, "{age} ms, steps {:?}", seen.steps);
        // Down to where it belongs, and at most five trials in 90 s at one level, a few more where two are near.
        prop_assert!(seen.steps.len() <= 24, "{:?}", seen.steps);
    }
}
