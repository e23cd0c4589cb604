//! Two sessions in virtual time: a pair of links with latency, and what happens on them.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks what it is about"
)]

mod bad_peers;
mod closing;
mod door;
mod lines;
mod media;
mod opening;
mod order;
mod pairs;
mod player;
mod time;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::{CloseReason, Feed, Misbehaviour, Output, SessionError, client, server};
use crate::media::{
    AudioCodec, AudioPacket, Grid, MediaTime, Rung, RungId, RungKind, Size, VideoStep,
};
use crate::wire::limits::MAX_MESSAGE;
use crate::wire::{
    Ack, ClientControl, CloseCode, Deframer, Hello, Kind, Message, Report, ResumeSecret,
    ServerControl, SessionId, SourceState, StreamInfo, StreamName, Text, WireError,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[expect(clippy::disallowed_methods, reason = "any instant to count from")]
fn start() -> Instant {
    Instant::now()
}

fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

fn offer() -> server::Offer {
    let info = |stream: &str, video, audio| StreamInfo {
        name: name(stream),
        video,
        audio,
    };
    server::Offer {
        agent: Text::new("server"),
        streams: vec![info("cam", true, true), info("radio", false, true)],
        session: SessionId::from_bytes([1; 16]),
        resume: ResumeSecret::from_bytes([2; 32]),
        max_bps: None,
    }
}

fn want(stream: Option<&str>) -> client::Want {
    client::Want {
        agent: Text::new("viewer"),
        stream: stream.map(name),
        video: true,
        audio: true,
        ..client::Want::default()
    }
}

/// Media that wait for whoever asks.
#[derive(Default)]
struct Fake {
    audio: VecDeque<Arc<AudioPacket>>,
    video: VecDeque<VideoStep>,
    /// How many steps of the picture were asked for.
    taken: usize,
    /// How much was said to go at once, each time that a coarse picture was to go ahead.
    ahead: Vec<usize>,
}

impl Feed for Fake {
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>> {
        self.audio.pop_front()
    }

    fn next_video(&mut self) -> Option<VideoStep> {
        let step = self.video.pop_front()?;
        self.taken += 1;
        Some(step)
    }

    fn ahead(&mut self, bytes: usize) {
        self.ahead.push(bytes);
    }
}

const RUNG: RungId = 7;

fn rung(kind: RungKind) -> Arc<Rung> {
    Arc::new(Rung {
        id: RUNG,
        kind,
        source: None,
    })
}

fn cells_rung() -> Arc<Rung> {
    let grid = Grid::for_size(Size::new(640, 480).unwrap());
    let header = Bytes::from_static(b"\xff\xd8 header");
    rung(RungKind::Cells { grid, header })
}

fn whole_rung() -> Arc<Rung> {
    let size = Size::new(640, 480).unwrap();
    rung(RungKind::Whole { size })
}

fn cell(frame: u64, index: u32, bytes: impl Into<Bytes>) -> VideoStep {
    VideoStep::Cell {
        rung: RUNG,
        frame,
        capture: MediaTime::from_micros(frame * 1000),
        index,
        bytes: bytes.into(),
    }
}

fn end(frame: u64) -> VideoStep {
    VideoStep::End {
        rung: RUNG,
        frame,
        capture: MediaTime::from_micros(frame * 1000),
    }
}

fn sound(seq: u64) -> Arc<AudioPacket> {
    Arc::new(AudioPacket {
        codec: AudioCodec::Opus,
        seq,
        capture: MediaTime::from_micros(seq * 20_000),
        duration: ms(20),
        bytes: Bytes::from(vec![u8::try_from(seq % 251).unwrap(); 160]),
    })
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from(at * 31 % 251).unwrap())
        .collect()
}

/// One direction of the cable.
#[derive(Default)]
struct Cable {
    /// What the sender's link has yet to write.
    pending: BytesMut,
    /// What is under way, with the time of arrival.
    under_way: VecDeque<(Instant, Bytes)>,
    cut: bool,
    stalled: bool,
}

impl Cable {
    fn carry(&mut self, arrives: Instant) {
        if self.stalled || self.pending.is_empty() {
            return;
        }
        let bytes = self.pending.split().freeze();
        if !self.cut {
            self.under_way.push_back((arrives, bytes));
        }
    }

    fn arrived(&mut self, now: Instant) -> Option<Bytes> {
        let (at, _) = self.under_way.front()?;
        if *at > now {
            return None;
        }
        self.under_way.pop_front().map(|(_, bytes)| bytes)
    }
}

/// A server's and a client's session with a cable between.
struct Pair {
    now: Instant,
    latency: Duration,
    server: server::Session,
    client: client::Session,
    down: Cable,
    up: Cable,
    feed: Fake,
    client_events: Vec<client::Event>,
    server_events: Vec<server::Event>,
    /// The longest chunk that was given at once.
    longest: usize,
    /// Bytes are delivered in pieces of these sizes, in turn.
    pieces: VecDeque<usize>,
}

impl Pair {
    fn new(stream: Option<&str>) -> Self {
        let now = start();
        // The server has been up for a while.
        let epoch = now;
        let now = now + ms(5_000);
        let mut client = client::Session::new(want(stream), now);
        client.linked(now);
        Self {
            now,
            latency: ms(10),
            server: server::Session::new(offer(), epoch, now),
            client,
            down: Cable::default(),
            up: Cable::default(),
            feed: Fake::default(),
            client_events: Vec::new(),
            server_events: Vec::new(),
            longest: 0,
            pieces: VecDeque::new(),
        }
    }

    /// Subscribed, and all events of that taken.
    fn streaming() -> Self {
        let mut pair = Self::new(Some("cam"));
        pair.advance(ms(50));
        assert!(pair.server.is_streaming());
        pair.client_events.clear();
        pair.server_events.clear();
        pair
    }

    /// Lets `time` pass, waking the sessions when they asked for it.
    fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let deadline = self.settle();
            let next = [&self.up, &self.down]
                .into_iter()
                .filter_map(|cable| cable.under_way.front().map(|(at, _)| *at))
                .chain(deadline)
                .min()
                .filter(|next| *next <= until);
            let Some(next) = next else {
                self.now = until;
                return;
            };
            assert!(next > self.now, "a deadline that does not move");
            self.now = next;
        }
    }

    /// Delivers what has arrived and drains both sessions.
    fn settle(&mut self) -> Option<Instant> {
        let mut deadline;
        loop {
            let mut busy = false;
            while let Some(bytes) = self.down.arrived(self.now) {
                busy = true;
                for mut piece in split(&bytes, &mut self.pieces) {
                    let _ = self.client.handle(&mut piece, self.now);
                    assert!(piece.is_empty());
                }
            }
            while let Some(bytes) = self.up.arrived(self.now) {
                busy = true;
                for mut piece in split(&bytes, &mut self.pieces) {
                    let _ = self.server.handle(&mut piece, self.now);
                    assert!(piece.is_empty());
                }
            }
            let (client, server) = (self.drain_client(), self.drain_server());
            deadline = [client, server].into_iter().flatten().min();
            let arrives = self.now + self.latency;
            for cable in [&mut self.up, &mut self.down] {
                self.longest = self.longest.max(cable.pending.len());
                busy |= !cable.pending.is_empty() && !cable.stalled;
                cable.carry(arrives);
            }
            if !busy {
                return deadline;
            }
        }
    }

    /// When the client heard of the server last.
    fn heard(&self) -> Instant {
        self.client.last_heard()
    }

    fn drain_client(&mut self) -> Option<Instant> {
        loop {
            match self.client.poll(self.now, &mut self.up.pending) {
                Output::Send => {}
                Output::Event(event) => self.client_events.push(event),
                Output::Idle(deadline) => return deadline,
            }
        }
    }

    fn drain_server(&mut self) -> Option<Instant> {
        let out = &mut self.down.pending;
        loop {
            match self.server.poll(self.now, &mut self.feed, out) {
                Output::Send => {}
                Output::Event(event) => self.server_events.push(event),
                Output::Idle(deadline) => return deadline,
            }
        }
    }

    /// Bytes from nowhere, as if the server had sent them.
    fn inject_down(&mut self, bytes: &[u8]) {
        let _ = self.client.handle(&mut BytesMut::from(bytes), self.now);
        self.settle();
    }

    /// Bytes from nowhere, as if the client had sent them.
    fn inject_up(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let result = self.server.handle(&mut BytesMut::from(bytes), self.now);
        self.settle();
        result
    }

    fn take_client_events(&mut self) -> Vec<client::Event> {
        std::mem::take(&mut self.client_events)
    }

    fn take_server_events(&mut self) -> Vec<server::Event> {
        std::mem::take(&mut self.server_events)
    }

    /// What the client was told of cells, in order.
    fn take_cells(&mut self) -> Vec<(u64, u32, Bytes)> {
        let mut all = Vec::new();
        for event in self.take_client_events() {
            if let client::Event::Cells { frame, cells, .. } = event {
                all.extend(
                    cells
                        .into_iter()
                        .map(|(index, bytes)| (frame, index, bytes)),
                );
            }
        }
        all
    }
}

fn split(bytes: &Bytes, pieces: &mut VecDeque<usize>) -> Vec<BytesMut> {
    let mut rest = &bytes[..];
    let mut all = Vec::new();
    while !rest.is_empty() {
        let len = pieces
            .front()
            .map_or(rest.len(), |len| (*len).min(rest.len()));
        pieces.rotate_left(usize::from(!pieces.is_empty()));
        let (now, later) = rest.split_at(len);
        all.push(BytesMut::from(now));
        rest = later;
    }
    all
}

fn control(control: &ServerControl) -> BytesMut {
    let mut out = BytesMut::new();
    control.encode(&mut out).unwrap();
    out
}

fn wish(control: &ClientControl) -> BytesMut {
    let mut out = BytesMut::new();
    control.encode(&mut out).unwrap();
    out
}

fn messages(bytes: &[u8]) -> Vec<Message> {
    let mut deframer = Deframer::new();
    deframer.push(&mut BytesMut::from(bytes));
    std::iter::from_fn(|| deframer.pull().unwrap())
        .map(|raw| Message::decode(raw).unwrap().unwrap())
        .collect()
}

fn misbehaved(reason: &CloseReason) -> &Misbehaviour {
    match reason {
        CloseReason::Failed(SessionError::Misbehaved { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}
