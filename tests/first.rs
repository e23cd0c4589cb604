//! The first picture on a long way, in virtual time: the real feed, both ends of a session, and a line that takes no
//! more at once than TCP's slow start lets it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tunnelcast::hub::{Filler, Ladder, Stream, Subscription};
use tunnelcast::jitter::Video;
use tunnelcast::media::{
    AudioCodec, AudioPacket, Cell, CellIndex, Frame, Grid, Level, MediaTime, Rung, RungId,
    RungKind, Size, Tracks, VideoStep,
};
use tunnelcast::session::{Feed, Output, client, server};
use tunnelcast::timeline::Limits;
use tunnelcast::wire::{ResumeSecret, SessionId, StreamInfo, Text};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const BOTH: Tracks = Tracks {
    video: true,
    audio: true,
};

/// A packet's bytes.
const PACKET: usize = 1448;

/// How the way down is.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// TCP in its slow start: ten packets, then as many more as are acknowledged. What comes is read in whole records.
    Tcp,
    /// Datagrams and a stream beside them.
    Quic,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    way: Way,
    /// One way, in milliseconds.
    delay: u64,
    /// Bytes a millisecond.
    rate: usize,
    /// The source shows one picture for ever.
    still: bool,
}

const FAR: Line = Line {
    way: Way::Tcp,
    delay: 50,
    rate: 6250,
    still: false,
};

/// What is under way in one direction, by the millisecond at which it arrives; nothing overtakes.
#[derive(Debug, Default)]
struct Pipe {
    stream: VecDeque<(u64, Bytes)>,
    datagrams: VecDeque<(u64, Bytes)>,
}

fn arrived<T>(queue: &mut VecDeque<(u64, T)>, now: u64) -> Option<T> {
    let (at, _) = queue.front()?;
    if *at > now {
        return None;
    }
    queue.pop_front().map(|(_, came)| came)
}

/// TCP below TLS.
#[derive(Debug)]
struct Tcp {
    /// Records, with what is left to send of the first.
    unsent: VecDeque<(Bytes, usize)>,
    window: usize,
    /// Bytes under way, with when they are acknowledged.
    under_way: VecDeque<(u64, usize)>,
}

impl Tcp {
    fn unsent(&self) -> usize {
        self.unsent.iter().map(|(_, left)| left).sum()
    }

    /// One millisecond: sends what may be sent; gives the records of which the last byte went.
    fn tick(&mut self, now: u64, line: Line) -> Vec<Bytes> {
        while let Some(bytes) = arrived(&mut self.under_way, now) {
            self.window += bytes;
        }
        let held: usize = self.under_way.iter().map(|(_, bytes)| bytes).sum();
        let mut room = line.rate.min(self.window.saturating_sub(held));
        let mut gone = Vec::new();
        while room > 0
            && let Some((_, left)) = self.unsent.front_mut()
        {
            let part = room.min(*left);
            *left -= part;
            room -= part;
            self.under_way.push_back((now + 2 * line.delay, part));
            if *left == 0 {
                gone.extend(self.unsent.pop_front().map(|(record, _)| record));
            }
        }
        gone
    }
}

/// What the viewer saw.
#[derive(Debug, Default)]
struct Seen {
    /// When each frame was complete, in milliseconds since he asked, and of what rung.
    frames: Vec<(u64, RungId)>,
    rungs: Vec<RungId>,
    steps: Vec<usize>,
}

impl Seen {
    /// When the first picture of a level was complete.
    fn first(&self, level: Level) -> Option<u64> {
        let first = self.frames.iter().find(|(_, rung)| *rung == id(level));
        first.map(|(at, _)| *at)
    }
}

fn id(level: Level) -> RungId {
    RungId::try_from(level.index()).unwrap()
}

/// A source of 1280x720 that moves everywhere: 86 kB at its best, 7 kB a quarter as wide and high.
struct Source {
    filler: Filler,
    rungs: [Arc<Rung>; Level::COUNT],
    number: u64,
    capture: MediaTime,
    made: [u64; Level::COUNT],
}

impl Source {
    fn new(stream: &Arc<Stream>) -> Self {
        let size = Size::new(1280, 720).unwrap();
        let filler = stream.open();
        filler.on_demand(Waker::noop().clone());
        filler.set_ladder(Ladder::new(size, None));
        let rungs = Level::ALL.map(|level| {
            let own = (0..level.halvings()).fold(size, |size, _| size.half().unwrap());
            Arc::new(Rung {
                id: id(level),
                source: Some(size).filter(|size| *size != own),
                kind: RungKind::Cells {
                    grid: Grid::for_size(own),
                    header: Bytes::from(vec![1; 600]),
                },
            })
        });
        Self {
            filler,
            rungs,
            number: 0,
            capture: MediaTime::ZERO,
            made: [0; Level::COUNT],
        }
    }

    fn picture(&mut self, capture: MediaTime) {
        self.number = self.filler.next_frame();
        self.capture = capture;
    }

    /// Makes what is wanted of the newest picture.
    fn make(&mut self) {
        for level in Level::ALL {
            let made = &mut self.made[level.index()];
            let wanted = self.filler.is_wanted(level) || level == Level::Full;
            if self.number == 0 || *made == self.number || !wanted {
                continue;
            }
            *made = self.number;
            let rung = &self.rungs[level.index()];
            let cell = Cell {
                version: self.number,
                bytes: Bytes::from(vec![7; 240]),
            };
            let frame = Frame {
                number: self.number,
                capture: self.capture,
                rung: Arc::clone(rung),
                cells: vec![cell; rung.cells()],
            };
            self.filler.push_frame(level, Arc::new(frame));
        }
    }

    fn sound(&self, capture: MediaTime) {
        self.filler.push_sound(AudioPacket {
            codec: AudioCodec::Opus,
            seq: self.filler.next_sound(),
            capture,
            duration: ms(20),
            bytes: Bytes::from(vec![7; 160]),
        });
    }
}

struct Nothing;

impl Feed for Nothing {
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>> {
        None
    }

    fn next_video(&mut self) -> Option<VideoStep> {
        None
    }
}

/// A datagram's bytes on a path of 1280.
const ROOM: usize = 1200;

/// The server's end.
struct Server {
    session: server::Session,
    stream: Arc<Stream>,
    feed: Option<Subscription>,
    out: BytesMut,
    tcp: Tcp,
    /// Bytes of datagrams that wait for the line.
    queued: usize,
}

impl Server {
    fn new(line: Line, stream: Arc<Stream>, epoch: Instant) -> Self {
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
        let session = server::Session::new(offer, epoch, epoch);
        let session = session.with_round_trip(ms(2 * line.delay));
        Self {
            session: match line.way {
                Way::Tcp => session,
                Way::Quic => session.with_datagrams(epoch),
            },
            stream,
            feed: None,
            out: BytesMut::new(),
            tcp: Tcp {
                unsent: VecDeque::new(),
                window: 10 * PACKET,
                under_way: VecDeque::new(),
            },
            queued: 0,
        }
    }

    /// Does what there is to do; what was chosen goes down.
    fn drain(&mut self, at: u64, now: Instant, line: Line, down: &mut Pipe, seen: &mut Seen) {
        loop {
            let output = match &mut self.feed {
                Some(feed) => self.session.poll(now, feed, &mut self.out),
                None => self.session.poll(now, &mut Nothing, &mut self.out),
            };
            match output {
                Output::Send => self.hand_over(at, line, down),
                Output::Event(server::Event::Subscribed(_)) => {
                    self.feed = Some(Subscription::new(Arc::clone(&self.stream), BOTH));
                }
                Output::Event(server::Event::Step { step, .. }) => seen.steps.push(step),
                Output::Event(_) => {}
                Output::Idle(_) => {
                    let before = self.out.len();
                    self.hand_over(at, line, down);
                    let words = self.send_datagrams(at, now, line, down);
                    if before == self.out.len() && !words {
                        break;
                    }
                }
            }
        }
        self.queued = self.queued.saturating_sub(line.rate);
        for record in self.tcp.tick(at, line) {
            down.stream.push_back((at + line.delay, record));
        }
    }

    /// The kernel takes more only while it holds little that is unsent.
    fn hand_over(&mut self, at: u64, line: Line, down: &mut Pipe) {
        match line.way {
            _ if self.out.is_empty() => {}
            Way::Tcp if self.tcp.unsent() > 8 << 10 => {}
            Way::Tcp => {
                let record = self.out.split().freeze();
                let length = record.len();
                self.tcp.unsent.push_back((record, length));
            }
            Way::Quic => down
                .stream
                .push_back((at + line.delay, self.out.split().freeze())),
        }
    }

    /// Whether there are words for the stream behind them.
    fn send_datagrams(&mut self, at: u64, now: Instant, line: Line, down: &mut Pipe) -> bool {
        let (Way::Quic, Some(feed)) = (line.way, &mut self.feed) else {
            return false;
        };
        let mut out = BytesMut::new();
        while self.session.datagram(now, feed, ROOM, &mut out) {
            self.queued += out.len();
            let waits = (self.queued / line.rate) as u64;
            let datagram = out.split().freeze();
            down.datagrams
                .push_back((at + waits + line.delay, datagram));
        }
        self.session.has_words()
    }
}

/// A viewer asks at once, over a link that has just come up, and watches for so many milliseconds.
#[expect(clippy::disallowed_methods, reason = "any instant to count from")]
fn watch(line: Line, time: u64) -> Seen {
    let epoch = Instant::now();
    let stream = Stream::new("cam", BOTH, Limits::default());
    let mut source = Source::new(&stream);
    let want = client::Want {
        agent: Text::new("viewer"),
        stream: Some("cam".parse().unwrap()),
        video: true,
        audio: true,
        ..client::Want::default()
    };
    let mut viewer = client::Session::new(want, epoch);
    if let Way::Quic = line.way {
        viewer.with_datagrams();
    }
    viewer.linked(epoch);
    let mut server = Server::new(line, stream, epoch);
    let (mut down, mut up) = (Pipe::default(), Pipe::default());
    let mut out = BytesMut::new();
    let mut seen = Seen::default();
    let mut video = Video::new();
    let mut canvas: BTreeMap<RungId, BTreeSet<CellIndex>> = BTreeMap::new();
    for at in 0..time {
        let now = epoch + ms(at);
        let capture = MediaTime::from_duration(ms(at));
        if at.is_multiple_of(33) && !(line.still && at > 0) {
            source.picture(capture);
        }
        if at.is_multiple_of(20) {
            source.sound(capture);
        }
        // What is asked for now is there a millisecond later.
        source.make();
        while let Some(bytes) = arrived(&mut up.stream, at) {
            let mut bytes = BytesMut::from(&bytes[..]);
            server.session.handle(&mut bytes, now).unwrap();
        }
        while let Some(bytes) = arrived(&mut up.datagrams, at) {
            server.session.handle_datagram(bytes, now).unwrap();
        }
        server.drain(at, now, line, &mut down, &mut seen);
        while let Some(bytes) = arrived(&mut down.stream, at) {
            let mut bytes = BytesMut::from(&bytes[..]);
            viewer.handle(&mut bytes, now).unwrap();
        }
        while let Some(bytes) = arrived(&mut down.datagrams, at) {
            viewer.handle_datagram(bytes, now).unwrap();
        }
        loop {
            match viewer.poll(now, &mut out) {
                Output::Send => up.stream.push_back((at + line.delay, out.split().freeze())),
                Output::Event(client::Event::Rung(rung)) => seen.rungs.push(rung.id),
                Output::Event(client::Event::Cells {
                    rung,
                    frame,
                    capture,
                    cells,
                }) => video.push(rung, frame, capture, cells, now),
                Output::Event(client::Event::FrameEnd {
                    rung,
                    frame,
                    capture,
                }) => {
                    video.end(rung, frame, capture, now);
                    let held = canvas.entry(rung).or_default();
                    let update = video.due(None, now).unwrap();
                    held.extend(update.cells.into_iter().map(|(index, _)| index));
                    let whole = held.len() == source.rungs[rung as usize].cells();
                    assert!(whole, "{} cells of rung {rung}", held.len());
                    seen.frames.push((at, rung));
                }
                Output::Event(client::Event::Closed(reason)) => panic!("{reason:?}"),
                Output::Event(_) => {}
                Output::Idle(_) => break,
            }
        }
        while let Way::Quic = line.way
            && viewer.datagram(now, &mut out)
        {
            up.datagrams
                .push_back((at + line.delay, out.split().freeze()));
        }
    }
    seen
}

/// What the millisecond's grain and the making of a picture may take beside the line.
const SLACK: u64 = 6;

#[test]
fn on_a_long_way_the_first_picture_takes_one_round_trip_from_the_request() {
    for way in [Way::Tcp, Way::Quic] {
        for delay in [20, 50, 150] {
            let line = Line { way, delay, ..FAR };
            let seen = watch(line, 30 * delay);
            let first = seen.first(Level::Quarter).unwrap();
            assert_eq!(seen.frames[0], (first, id(Level::Quarter)));
            assert!(first <= 2 * delay + SLACK, "{first} ms, {line:?}");
        }
    }
}

#[test]
fn the_best_picture_follows_as_soon_as_the_line_carries_it() {
    // 86 kB: 14, 29 and 58 in TCP's first three round trips; 32 in the first of ours, and twice as much in the next.
    for (way, round_trips) in [(Way::Tcp, 4), (Way::Quic, 3)] {
        let line = Line { way, ..FAR };
        let seen = watch(line, 2000);
        let best = seen.first(Level::Full).unwrap();
        assert!(best <= round_trips * 100 + 30, "{best} ms over {way:?}");
    }
}

#[test]
fn behind_the_first_picture_it_stays_with_the_best() {
    for way in [Way::Tcp, Way::Quic] {
        let line = Line { way, ..FAR };
        let seen = watch(line, 20_000);
        assert_eq!(seen.rungs, [id(Level::Quarter), id(Level::Full)]);
        assert_eq!(seen.steps, Vec::<usize>::new());
        let coarse = seen
            .frames
            .iter()
            .filter(|(_, rung)| *rung != id(Level::Full));
        assert_eq!(coarse.count(), 1);
        assert!(seen.frames.len() > 20 * 28, "{}", seen.frames.len());
    }
}

#[test]
fn a_source_that_stands_still_is_seen_coarse_and_then_at_its_best() {
    for way in [Way::Tcp, Way::Quic] {
        let line = Line {
            way,
            still: true,
            ..FAR
        };
        let seen = watch(line, 3000);
        let rungs: Vec<_> = seen.frames.iter().map(|(_, rung)| *rung).collect();
        assert_eq!(rungs, [id(Level::Quarter), id(Level::Full)], "{way:?}");
    }
}

#[test]
fn on_a_short_way_the_first_picture_is_the_best() {
    for way in [Way::Tcp, Way::Quic] {
        for delay in [1, 5, 10] {
            let line = Line { way, delay, ..FAR };
            let seen = watch(line, 2000);
            assert_eq!(seen.rungs, [id(Level::Full)], "{line:?}");
        }
    }
}

#[test]
fn on_a_slow_line_the_first_picture_does_not_wait_for_the_best_one_to_be_given_up() {
    for way in [Way::Tcp, Way::Quic] {
        let line = Line {
            way,
            rate: 250,
            ..FAR
        };
        let seen = watch(line, 20_000);
        let (first, rung) = seen.frames[0];
        assert_eq!(rung, id(Level::Quarter));
        assert!(first <= 200, "{first} ms over {way:?}");
        assert!(!seen.steps.is_empty(), "2 Mbit/s carry no 21");
    }
}
