//! A stream watched over a line that loses, delays and reorders datagrams, in virtual time: the real feed, both ends of
//! a session, and the buffer that holds pictures until they are due.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(
    clippy::print_stdout,
    reason = "figures of a run are of use where it fails"
)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tunnelcast::hub::{Filler, Stream, Subscription};
use tunnelcast::jitter::Video;
use tunnelcast::media::{
    AudioCodec, AudioPacket, Cell, Frame, Grid, Level, MediaTime, Rung, RungKind, Size, Tracks,
};
use tunnelcast::session::{Output, client, server};
use tunnelcast::timeline::Limits;
use tunnelcast::wire::{ResumeSecret, SessionId, StreamInfo, Text};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A small generator of numbers (Marsaglia's xorshift64), so that every run is the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn chance(&mut self, of_10_000: u64) -> bool {
        self.next() % 10_000 < of_10_000
    }
}

#[derive(Clone, Copy)]
struct Line {
    seed: u64,
    /// One way.
    delay: Duration,
    /// Bytes a second; what does not fit waits, for up to 100 ms, and is then lost.
    rate: u64,
    /// Of 10,000 datagrams, either way.
    loss: u64,
    /// Of 10,000 datagrams, which come 2 ms later than their turn.
    overtaken: u64,
    /// Of 1000 cells, which change with each frame.
    changes: u64,
}

const GOOD: Line = Line {
    seed: 0x2545_f491_4f6c_dd1d,
    delay: ms(5),
    rate: 12_500_000,
    loss: 0,
    overtaken: 0,
    changes: 1000,
};

/// What is under way, by time of arrival.
#[derive(Default)]
struct Pipe {
    under_way: BTreeMap<(Instant, u64), Bytes>,
    count: u64,
    free: Option<Instant>,
}

impl Pipe {
    fn send(&mut self, bytes: Bytes, arrives: Instant) {
        self.count += 1;
        self.under_way.insert((arrives, self.count), bytes);
    }

    fn arrived(&mut self, now: Instant) -> Option<Bytes> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn next(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }
}

/// What the viewer saw.
#[derive(Debug, Default)]
struct Seen {
    /// Complete frames, with how old they were then.
    complete: Vec<(u64, Duration)>,
    sounds: Vec<u64>,
    wrong: usize,
}

struct World {
    line: Line,
    random: Random,
    epoch: Instant,
    now: Instant,
    server: server::Session,
    client: client::Session,
    feed: Option<Subscription>,
    stream: Arc<Stream>,
    filler: Filler,
    rung: Arc<Rung>,
    /// What was filmed: of each frame all its cells.
    frames: BTreeMap<u64, Arc<Frame>>,
    down: [Pipe; 2],
    up: [Pipe; 2],
    video: Video,
    canvas: Vec<Option<Bytes>>,
    pending_down: BytesMut,
    pending_up: BytesMut,
    seen: Seen,
    next_frame: Instant,
    next_sound: Instant,
    /// From then on nothing changes any more.
    still_from: Option<Instant>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn new(line: Line) -> Self {
        let epoch = Instant::now();
        let now = epoch + ms(1000);
        let tracks = Tracks {
            video: true,
            audio: true,
        };
        let stream = Stream::new("cam", tracks, Limits::default());
        let offer = server::Offer {
            agent: Text::new("server"),
            streams: vec![StreamInfo {
                name: "cam".parse().unwrap(),
                video: true,
                audio: true,
            }],
            session: SessionId::from_bytes([1; 16]),
            resume: ResumeSecret::from_bytes([2; 32]),
            max_bps: None,
        };
        let want = client::Want {
            agent: Text::new("viewer"),
            stream: Some("cam".parse().unwrap()),
            video: true,
            audio: true,
            ..client::Want::default()
        };
        let mut client = client::Session::new(want, now);
        client.with_datagrams();
        client.linked(now);
        let grid = Grid::for_size(Size::new(1280, 720).unwrap());
        let header = Bytes::from_static(b"\xff\xd8 header");
        let filler = stream.open();
        Self {
            line,
            random: Random(line.seed),
            epoch,
            now,
            server: server::Session::new(offer, epoch, now).with_datagrams(now),
            client,
            feed: None,
            filler,
            stream,
            rung: Arc::new(Rung {
                id: 1,
                source: None,
                kind: RungKind::Cells { grid, header },
            }),
            frames: BTreeMap::new(),
            down: Default::default(),
            up: Default::default(),
            video: Video::new(),
            canvas: vec![None; grid.count()],
            pending_down: BytesMut::new(),
            pending_up: BytesMut::new(),
            seen: Seen::default(),
            next_frame: now,
            next_sound: now,
            still_from: None,
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.film();
            let deadline = self.settle();
            let next = self
                .down
                .iter()
                .chain(&self.up)
                .filter_map(Pipe::next)
                .chain([self.next_frame, self.next_sound])
                .chain(deadline)
                .min()
                .unwrap();
            if next > until {
                self.now = until;
                return;
            }
            assert!(next > self.now, "a deadline that does not move");
            self.now = next;
        }
    }

    fn media_time(&self) -> MediaTime {
        MediaTime::from_duration(self.now - self.epoch)
    }

    fn film(&mut self) {
        if self.now >= self.next_sound {
            self.next_sound += ms(20);
            let seq = self.filler.next_sound();
            self.filler.push_sound(AudioPacket {
                codec: AudioCodec::Opus,
                seq,
                capture: self.media_time(),
                duration: ms(20),
                bytes: Bytes::from(vec![7; 160]),
            });
        }
        if self.now >= self.next_frame {
            self.next_frame += Duration::from_micros(33_333);
            let number = self.filler.next_frame();
            let before = self.frames.last_key_value().map(|(_, f)| Arc::clone(f));
            let still = self.still_from.is_some_and(|from| self.now >= from);
            let cells = (0..self.rung.cells()).map(|at| {
                let held = before.as_ref().map(|frame| frame.cells[at].clone());
                match held {
                    Some(cell) if still || self.random.next() % 1000 >= self.line.changes => cell,
                    _ => {
                        let mut bytes = vec![0; 180 + (self.random.next() % 160) as usize];
                        bytes[..8].copy_from_slice(&number.to_be_bytes());
                        Cell {
                            version: number,
                            bytes: bytes.into(),
                        }
                    }
                }
            });
            let frame = Arc::new(Frame {
                number,
                cells: cells.collect(),
                capture: MediaTime::from_duration(self.now - self.epoch),
                rung: Arc::clone(&self.rung),
            });
            self.frames.insert(number, Arc::clone(&frame));
            self.filler.push_frame(Level::Full, frame);
        }
    }

    /// When a datagram arrives, if it does.
    fn carry(&mut self, down: bool, length: usize) -> Option<Instant> {
        let pipe = if down {
            &mut self.down[1]
        } else {
            &mut self.up[1]
        };
        let start = pipe.free.map_or(self.now, |free| free.max(self.now));
        if start > self.now + ms(100) || self.random.chance(self.line.loss) {
            return None;
        }
        let takes = Duration::from_nanos(length as u64 * 1_000_000_000 / self.line.rate);
        pipe.free = Some(start + takes);
        let late = if self.random.chance(self.line.overtaken) {
            ms(2)
        } else {
            Duration::ZERO
        };
        Some(start + takes + self.line.delay + late)
    }

    fn settle(&mut self) -> Option<Instant> {
        loop {
            let mut busy = false;
            let reliable = self.now + self.line.delay;
            while let Some(bytes) = self.down[0].arrived(self.now) {
                busy = true;
                self.client
                    .handle(&mut BytesMut::from(&bytes[..]), self.now)
                    .unwrap();
            }
            while let Some(bytes) = self.down[1].arrived(self.now) {
                busy = true;
                self.client.handle_datagram(bytes, self.now).unwrap();
            }
            while let Some(bytes) = self.up[0].arrived(self.now) {
                busy = true;
                self.server
                    .handle(&mut BytesMut::from(&bytes[..]), self.now)
                    .unwrap();
            }
            while let Some(bytes) = self.up[1].arrived(self.now) {
                busy = true;
                self.server.handle_datagram(bytes, self.now).unwrap();
            }
            let client = self.drain_client();
            let server = self.drain_server();
            for (pending, pipe) in [
                (&mut self.pending_down, &mut self.down[0]),
                (&mut self.pending_up, &mut self.up[0]),
            ] {
                if !pending.is_empty() {
                    busy = true;
                    pipe.send(pending.split().freeze(), reliable);
                }
            }
            if !busy {
                return [client, server].into_iter().flatten().min();
            }
        }
    }

    fn drain_client(&mut self) -> Option<Instant> {
        loop {
            match self.client.poll(self.now, &mut self.pending_up) {
                Output::Send => {}
                Output::Event(event) => self.told(event),
                Output::Idle(deadline) => {
                    let mut out = BytesMut::new();
                    if self.client.datagram(self.now, &mut out) {
                        assert!(out.len() <= ROOM);
                        if let Some(at) = self.carry(false, out.len()) {
                            self.up[1].send(out.freeze(), at);
                        }
                        continue;
                    }
                    return deadline;
                }
            }
        }
    }

    fn drain_server(&mut self) -> Option<Instant> {
        loop {
            let output = match &mut self.feed {
                Some(feed) => self.server.poll(self.now, feed, &mut self.pending_down),
                None => self
                    .server
                    .poll(self.now, &mut Nothing, &mut self.pending_down),
            };
            match output {
                Output::Send => {}
                Output::Event(server::Event::Subscribed(_)) => {
                    let tracks = Tracks {
                        video: true,
                        audio: true,
                    };
                    self.feed = Some(Subscription::new(Arc::clone(&self.stream), tracks));
                }
                Output::Event(_) => {}
                Output::Idle(deadline) => {
                    let Some(feed) = &mut self.feed else {
                        return deadline;
                    };
                    let mut out = BytesMut::new();
                    let mut sent = Vec::new();
                    while self.server.datagram(self.now, feed, ROOM, &mut out) {
                        assert!(out.len() <= ROOM);
                        sent.push(out.split().freeze());
                    }
                    for datagram in sent {
                        if let Some(at) = self.carry(true, datagram.len()) {
                            self.down[1].send(datagram, at);
                        }
                    }
                    if !self.server.has_words() || !self.pending_down.is_empty() {
                        return deadline;
                    }
                }
            }
        }
    }

    fn told(&mut self, event: client::Event) {
        match event {
            client::Event::Cells {
                rung,
                frame,
                capture,
                cells,
            } => self.video.push(rung, frame, capture, cells, self.now),
            client::Event::FrameEnd {
                rung,
                frame,
                capture,
            } => {
                self.video.end(rung, frame, capture, self.now);
                let update = self.video.due(None, self.now).unwrap();
                for (index, bytes) in update.cells {
                    self.canvas[index as usize] = Some(bytes);
                }
                let filmed = &self.frames[&frame];
                let right =
                    |(cell, held): (&Cell, &Option<Bytes>)| held.as_ref() == Some(&cell.bytes);
                let right = filmed
                    .cells
                    .iter()
                    .zip(&self.canvas)
                    .filter(|pair| right(*pair));
                self.seen.wrong += usize::from(right.count() != filmed.cells.len());
                let age = self.media_time().since(filmed.capture);
                self.seen.complete.push((frame, age));
            }
            client::Event::Audio(packet) => self.seen.sounds.push(packet.seq),
            client::Event::Closed(reason) => panic!("{reason:?}"),
            client::Event::Welcome(_)
            | client::Event::Subscribed { .. }
            | client::Event::Unsubscribed
            | client::Event::Refused { .. }
            | client::Event::Rung(_)
            | client::Event::Source { .. }
            | client::Event::LateEnd { .. }
            | client::Event::Answer(_) => {}
        }
    }
}

struct Nothing;

impl tunnelcast::session::Feed for Nothing {
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>> {
        None
    }

    fn next_video(&mut self) -> Option<tunnelcast::media::VideoStep> {
        None
    }
}

/// A datagram's bytes on a path of 1280.
const ROOM: usize = 1200;

/// Runs for ten seconds; how much of the frames was complete within 100 ms, after the first second.
fn complete(line: Line) -> (f64, Seen) {
    let mut world = World::new(line);
    world.run(ms(1000));
    let from = *world.frames.last_key_value().unwrap().0;
    world.run(ms(10_000));
    let seen = std::mem::take(&mut world.seen);
    // Of the last ones some are still under way.
    let to = world.frames.last_key_value().unwrap().0 - 4;
    let filmed = world.frames.range(from..=to).count();
    let in_time = seen
        .complete
        .iter()
        .filter(|(frame, age)| (from..=to).contains(frame) && *age <= ms(100))
        .count();
    let share = in_time as f64 / filmed as f64;
    let mut ages: Vec<u128> = seen
        .complete
        .iter()
        .map(|(_, age)| age.as_millis())
        .collect();
    ages.sort_unstable();
    println!(
        "loss {} of 10,000: {:.2} % complete, age p50 {} p99 {} ms",
        line.loss,
        share * 100.0,
        ages[ages.len() / 2],
        ages[ages.len() * 99 / 100],
    );
    (share, seen)
}

fn assert_in_order(seen: &Seen) {
    assert_eq!(
        seen.wrong, 0,
        "a frame that is told as complete is complete"
    );
    assert!(seen.complete.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(seen.sounds.windows(2).all(|pair| pair[0] != pair[1]));
    let mut sounds = seen.sounds.clone();
    sounds.sort_unstable();
    sounds.dedup();
    assert_eq!(sounds.len(), seen.sounds.len(), "no sound twice");
}

#[test]
fn on_a_good_line_every_frame_and_every_packet_comes() {
    let (share, seen) = complete(GOOD);
    assert_in_order(&seen);
    assert!(share >= 1.0, "{share}");
    let sounds: VecDeque<u64> = seen.sounds.iter().copied().collect();
    let (first, last) = (sounds[0], *sounds.back().unwrap());
    assert_eq!(sounds.len() as u64, last - first + 1);
}

#[test]
fn frames_are_complete_in_time_on_a_line_that_loses() {
    for (loss, asked) in [(100, 0.99), (200, 0.98), (500, 0.95)] {
        for delay in [ms(1), ms(5), ms(10)] {
            let (share, seen) = complete(Line {
                loss,
                delay,
                ..GOOD
            });
            assert_in_order(&seen);
            assert!(share >= asked, "{loss}, {delay:?}: {share}");
        }
    }
}

#[test]
fn datagrams_that_overtake_each_other_are_no_loss() {
    let (share, seen) = complete(Line {
        overtaken: 2000,
        ..GOOD
    });
    assert_in_order(&seen);
    assert!(share >= 0.99, "{share}");
}

#[test]
fn what_changes_seldom_comes_all_the_same() {
    for seed in 1..20 {
        let (share, seen) = complete(Line {
            seed,
            changes: 20,
            loss: 500,
            ..GOOD
        });
        assert_in_order(&seen);
        assert!(share >= 0.95, "{seed}: {share}");
    }
}

#[test]
fn a_picture_that_has_come_to_rest_is_the_one_that_was_filmed() {
    for seed in 1..40 {
        let mut world = World::new(Line {
            seed,
            changes: 500,
            loss: 2000,
            overtaken: 1000,
            ..GOOD
        });
        world.still_from = Some(world.now + ms(1500));
        world.run(ms(3000));
        let filmed = world.frames.last_key_value().unwrap().1;
        let held = world.canvas.iter().flatten();
        assert!(
            held.eq(filmed.cells.iter().map(|cell| &cell.bytes)),
            "{seed}"
        );
        assert_eq!(world.seen.wrong, 0, "{seed}");
    }
}

#[test]
fn a_packet_of_sound_whose_datagram_is_lost_comes_with_the_next() {
    let (_, seen) = complete(Line { loss: 500, ..GOOD });
    let mut sounds = seen.sounds;
    sounds.sort_unstable();
    let span = sounds.last().unwrap() - sounds[0] + 1;
    let lost = span - sounds.len() as u64;
    // Both datagrams are lost once in 400 packets.
    assert!(lost * 100 < span, "{lost} of {span}");
}
