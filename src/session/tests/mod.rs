//! Two sessions in virtual time: a pair of links with latency, and what happens on them.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks what it is about"
)]

mod bad_peers;
mod closing;
mod media;
mod opening;
mod time;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{CloseReason, Feed, Misbehaviour, Output, SessionError, client, server};
use crate::media::{
    AudioCodec, AudioPacket, Grid, MediaTime, Rung, RungId, RungKind, Size, VideoStep,
};
use crate::wire::limits::MAX_MESSAGE;
use crate::wire::{
    ClientControl, CloseCode, Deframer, Kind, Message, Report, ResumeSecret, ServerControl,
    SessionId, SourceState, StreamInfo, StreamName, Text, WireError,
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
    }
}

fn want(stream: Option<&str>) -> client::Want {
    client::Want {
        agent: Text::new("viewer"),
        stream: stream.map(name),
        video: true,
        audio: true,
    }
}

/// Media that wait for whoever asks.
#[derive(Default)]
struct Fake {
    audio: VecDeque<Arc<AudioPacket>>,
    video: VecDeque<VideoStep>,
    /// How many steps of the picture were asked for.
    taken: usize,
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
}

const RUNG: RungId = 7;

fn rung(kind: RungKind) -> Arc<Rung> {
    Arc::new(Rung { id: RUNG, kind })
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

#[test]
fn a_chunk_is_control_then_sound_then_picture() {
    let now = start();
    let mut session = server::Session::new(offer(), now, now);
    let mut first = BytesMut::new();
    let mut client = client::Session::new(want(Some("cam")), now);
    client.linked(now);
    assert_eq!(client.poll(now, &mut first), Output::Send);
    assert!(matches!(client.poll(now, &mut first), Output::Idle(_)));
    session.handle(&mut first, now).unwrap();
    let mut feed = Fake {
        audio: [sound(0)].into(),
        video: [VideoStep::Rung(cells_rung()), cell(1, 0, &b"x"[..]), end(1)].into(),
        taken: 0,
    };
    session.source(SourceState::Live, None);
    let mut out = BytesMut::new();
    while session.poll(now, &mut feed, &mut out) != Output::Send {}
    let kinds: Vec<_> = messages(&out)
        .into_iter()
        .map(|message| match message {
            Message::Control(json) => match ServerControl::decode(&json).unwrap() {
                ServerControl::Welcome { .. } => "welcome",
                ServerControl::Subscribed { .. } => "subscribed",
                ServerControl::Pong { .. } => "pong",
                ServerControl::Source { .. } => "source",
                ServerControl::Rung(_) => "rung",
                other => panic!("{other:?}"),
            },
            Message::Audio(_) => "audio",
            Message::Cells { .. } => "cells",
            Message::CellPart(_) => "part",
            Message::FrameEnd(_) => "end",
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "welcome",
            "subscribed",
            "pong",
            "source",
            "audio",
            "rung",
            "cells",
            "end"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn media_survive_any_chunking(
        sizes in proptest::collection::vec(1_usize..40_000, 1..30),
        pieces in proptest::collection::vec(1_usize..5000, 1..20),
        packets in 0_u64..40,
    ) {
        let mut pair = Pair::new(Some("cam"));
        pair.pieces = pieces.into();
        pair.advance(ms(30));
        pair.take_client_events();
        pair.feed.video.push_back(VideoStep::Rung(cells_rung()));
        let sent: Vec<_> = sizes
            .iter()
            .zip(0_u32..)
            .map(|(len, index)| (u64::from(index / 4), index % 120, Bytes::from(pattern(*len))))
            .collect();
        for (frame, index, bytes) in &sent {
            pair.feed.video.push_back(cell(*frame, *index, bytes.clone()));
        }
        pair.feed.audio = (0..packets).map(sound).collect();
        pair.advance(ms(100));
        prop_assert!(pair.longest <= MAX_MESSAGE);
        let heard: Vec<_> = pair
            .client_events
            .iter()
            .filter_map(|event| match event {
                client::Event::Audio(packet) => Some(packet.clone()),
                _ => None,
            })
            .collect();
        let spoken: Vec<_> = (0..packets).map(|seq| (*sound(seq)).clone()).collect();
        prop_assert_eq!(heard, spoken);
        prop_assert_eq!(pair.take_cells(), sent);
    }

    #[test]
    fn garbage_never_panics_and_a_session_always_ends(
        garbage in proptest::collection::vec(any::<u8>(), 1..3000),
        streaming in any::<bool>(),
    ) {
        let mut pair = if streaming { Pair::streaming() } else { Pair::new(Some("cam")) };
        pair.up.cut = true;
        pair.down.cut = true;
        let _ = pair.inject_up(&garbage);
        pair.inject_down(&garbage);
        pair.advance(ms(20_000));
        prop_assert!(matches!(pair.server_events.last(), Some(server::Event::Closed(_))));
        prop_assert!(matches!(pair.client_events.last(), Some(client::Event::Closed(_))));
    }

    #[test]
    fn damaged_messages_never_panic(
        at in 0_usize..2000,
        to in any::<u8>(),
    ) {
        let mut pair = Pair::streaming();
        pair.feed.video.push_back(VideoStep::Rung(cells_rung()));
        for index in 0..4 {
            pair.feed.video.push_back(cell(1, index, pattern(300)));
        }
        pair.feed.audio.push_back(sound(0));
        pair.down.stalled = true;
        pair.settle();
        if let Some(byte) = pair.down.pending.get_mut(at) {
            *byte = to;
        }
        pair.down.stalled = false;
        pair.advance(ms(20_000));
    }
}
