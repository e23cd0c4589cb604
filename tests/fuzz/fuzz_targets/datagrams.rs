//! Both ends of a session on a link with datagrams: some are lost, some come late or twice, some are anything at all.
#![no_main]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::{arbitrary, fuzz_target};
use tunnelcast::hub::{Filler, Stream, Subscription};
use tunnelcast::media::{
    AudioCodec, AudioPacket, Cell, Frame, Grid, Level, MediaTime, Rung, RungKind, Size, Tracks,
};
use tunnelcast::session::client::{self, Want};
use tunnelcast::session::{Output, server};
use tunnelcast::timeline::Limits;
use tunnelcast::wire::{ResumeSecret, SessionId, StreamInfo, Text};

#[derive(Debug, arbitrary::Arbitrary)]
enum Step {
    /// A frame of which these cells are new, each of so many bytes.
    Film(u8, u16),
    Sound(u16),
    /// Of the datagrams under way these arrive, in this order.
    Arrive(Vec<u8>),
    /// All of them are lost.
    Lose,
    Wait(u8),
    ToViewer(Vec<u8>),
    ToServer(Vec<u8>),
    Whole(Vec<u8>),
    /// Datagrams have so much room.
    Room(u16),
}

const TRACKS: Tracks = Tracks {
    video: true,
    audio: true,
};

struct World {
    now: Instant,
    server: server::Session,
    client: client::Session,
    feed: Option<Subscription>,
    stream: Arc<Stream>,
    filler: Filler,
    rung: Arc<Rung>,
    cells: Vec<Cell>,
    room: usize,
    down: Vec<Bytes>,
    up: Vec<Bytes>,
    /// The newest frame that the viewer was told of.
    complete: Option<u64>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let stream = Stream::new("cam", TRACKS, Limits::default());
        let name = || "cam".parse().expect("a good name");
        let offer = server::Offer {
            agent: Text::new("fuzz"),
            streams: vec![StreamInfo {
                name: name(),
                video: true,
                audio: true,
            }],
            session: SessionId::from_bytes([1; 16]),
            resume: ResumeSecret::from_bytes([2; 32]),
            max_bps: None,
        };
        let want = Want {
            agent: Text::new("fuzz"),
            stream: Some(name()),
            video: true,
            audio: true,
            ..Want::default()
        };
        let mut client = client::Session::new(want, now);
        client.with_datagrams();
        client.linked(now);
        let grid = Grid::for_size(Size::new(320, 160).expect("a size"));
        let filler = stream.open();
        Self {
            now,
            server: server::Session::new(offer, now, now).with_datagrams(now),
            client,
            feed: None,
            cells: vec![
                Cell {
                    version: 0,
                    bytes: Bytes::from_static(b"first"),
                };
                grid.count()
            ],
            rung: Arc::new(Rung {
                id: 1,
                source: None,
                kind: RungKind::Cells {
                    grid,
                    header: Bytes::from_static(b"header"),
                },
            }),
            filler,
            stream,
            room: 1200,
            down: Vec::new(),
            up: Vec::new(),
            complete: None,
        }
    }

    /// Both sides do what there is to do; what they say on the stream arrives at once.
    fn drive(&mut self) {
        for _ in 0..10_000 {
            let (mut down, mut up) = (BytesMut::new(), BytesMut::new());
            let mut busy = false;
            match self.client.poll(self.now, &mut up) {
                Output::Send => busy = true,
                Output::Event(event) => {
                    busy = true;
                    if let client::Event::FrameEnd { frame, .. } = event {
                        assert!(self.complete < Some(frame), "no frame twice, none older");
                        self.complete = Some(frame);
                    }
                }
                Output::Idle(_) => {}
            }
            let output = match &mut self.feed {
                Some(feed) => self.server.poll(self.now, feed, &mut down),
                None => self.server.poll(self.now, &mut Nothing, &mut down),
            };
            match output {
                Output::Send => busy = true,
                Output::Event(event) => {
                    busy = true;
                    if let server::Event::Subscribed(_) = event {
                        self.feed = Some(Subscription::new(Arc::clone(&self.stream), TRACKS));
                    }
                }
                Output::Idle(_) => {}
            }
            let _ = self.client.handle(&mut down, self.now);
            let _ = self.server.handle(&mut up, self.now);
            let mut out = BytesMut::new();
            if let Some(feed) = &mut self.feed
                && self.server.datagram(self.now, feed, self.room, &mut out)
            {
                assert!(out.len() <= self.room);
                self.down.push(out.split().freeze());
                busy = true;
            }
            if self.client.datagram(self.now, &mut out) {
                self.up.push(out.split().freeze());
                busy = true;
            }
            // Whoever is far behind is not waited for.
            self.down.truncate(2000);
            self.up.truncate(2000);
            if !busy {
                return;
            }
        }
        panic!("never idle");
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

fuzz_target!(|steps: Vec<Step>| {
    let mut world = World::new();
    world.drive();
    // From then on the viewer may speak of what the server never sent.
    let mut forged = false;
    for step in steps.into_iter().take(200) {
        match step {
            Step::Film(cells, length) => {
                let number = world.filler.next_frame();
                for (at, cell) in world.cells.iter_mut().enumerate() {
                    if at % 8 == usize::from(cells % 8) || cells > 200 {
                        let length = usize::from(length % 9000).max(1);
                        cell.version = number;
                        cell.bytes = Bytes::from(vec![7; length]);
                    }
                }
                let frame = Frame {
                    number,
                    capture: MediaTime::from_micros(number * 33_333),
                    rung: Arc::clone(&world.rung),
                    cells: world.cells.clone(),
                };
                world.filler.push_frame(Level::Full, Arc::new(frame));
            }
            Step::Sound(length) => {
                let seq = world.filler.next_sound();
                world.filler.push_sound(AudioPacket {
                    codec: AudioCodec::Opus,
                    seq,
                    capture: MediaTime::from_micros(seq * 20_000),
                    duration: Duration::from_millis(20),
                    bytes: Bytes::from(vec![1; usize::from(length % 4096).max(1)]),
                });
            }
            Step::Arrive(order) => {
                for at in order {
                    let pick =
                        |many: &[Bytes]| many.get(usize::from(at) % many.len().max(1)).cloned();
                    if let Some(datagram) = pick(&world.down) {
                        let taken = world.client.handle_datagram(datagram, world.now);
                        assert!(taken.is_ok() || forged);
                        if taken.is_err() {
                            return;
                        }
                    }
                    if let Some(datagram) = pick(&world.up) {
                        let taken = world.server.handle_datagram(datagram, world.now);
                        assert!(taken.is_ok() || forged);
                        if taken.is_err() {
                            return;
                        }
                    }
                }
                world.down.clear();
                world.up.clear();
            }
            Step::Lose => {
                world.down.clear();
                world.up.clear();
            }
            Step::Wait(ms) => world.now += Duration::from_millis(u64::from(ms)),
            Step::ToViewer(bytes) => {
                forged = true;
                if world
                    .client
                    .handle_datagram(bytes.into(), world.now)
                    .is_err()
                {
                    return;
                }
            }
            Step::ToServer(bytes) => {
                if world
                    .server
                    .handle_datagram(bytes.into(), world.now)
                    .is_err()
                {
                    return;
                }
            }
            Step::Whole(bytes) => {
                forged = true;
                if world.client.handle_whole(bytes.into(), world.now).is_err() {
                    return;
                }
            }
            Step::Room(room) => world.room = usize::from(room % 1500).max(200),
        }
        world.drive();
    }
});
