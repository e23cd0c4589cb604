//! Both ends of a session on a byte stream, in any order of what may happen to them: bytes that come in pieces, late, cut
//! off or changed; wishes, goodbyes and time. Two honest ends never accuse each other, whatever the pieces are.
#![no_main]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::{arbitrary, fuzz_target};
use tunnelcast::media::{AudioCodec, AudioPacket, MediaTime, Rung, RungKind, Size, VideoStep};
use tunnelcast::session::client::{self, Want};
use tunnelcast::session::{CloseReason, Feed, Output, server};
use tunnelcast::wire::{CloseCode, ResumeSecret, SessionId, StreamInfo, Text};

#[derive(Debug, arbitrary::Arbitrary)]
enum Step {
    /// So many of the bytes that are under way arrive.
    ToServer(u16),
    ToViewer(u16),
    /// The same, one of them changed on the way.
    Changed(u8, u8),
    Wait(u16),
    Sound(u16),
    Cell(u16),
    End,
    Subscribe(bool, bool),
    Unsubscribe,
    Ask,
    /// One side says goodbye.
    ViewerLeaves,
    ServerLeaves,
    /// The link ends for both.
    Cut,
}

#[derive(Default)]
struct Media {
    wanted: (bool, bool),
    audio: VecDeque<Arc<AudioPacket>>,
    video: VecDeque<VideoStep>,
}

impl Media {
    /// From nothing, as a stream gives it to whoever has just subscribed.
    fn anew(video: bool, audio: bool) -> Self {
        let rung = VideoStep::Rung(Arc::new(Rung {
            id: 1,
            kind: RungKind::Whole {
                size: Size::new(64, 64).expect("a good size"),
            },
            source: None,
        }));
        Self {
            wanted: (video, audio),
            audio: VecDeque::new(),
            video: VecDeque::from([rung]),
        }
    }
}

impl Feed for Media {
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>> {
        self.audio.pop_front().filter(|_| self.wanted.1)
    }

    fn next_video(&mut self) -> Option<VideoStep> {
        self.video.pop_front().filter(|_| self.wanted.0)
    }
}

struct World {
    now: Instant,
    server: server::Session,
    viewer: client::Session,
    media: Media,
    /// What each has given to the link, and the other has yet to read.
    up: BytesMut,
    down: BytesMut,
    /// How each has ended.
    server_end: Option<CloseReason>,
    viewer_end: Option<CloseReason>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
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
        Self {
            now,
            server: server::Session::new(offer, now, now).bounded(server::Bounds::default(), now),
            viewer: client::Session::new(want, now),
            media: Media::default(),
            up: BytesMut::new(),
            down: BytesMut::new(),
            server_end: None,
            viewer_end: None,
        }
    }

    /// Both do what there is to do now. The link takes a chunk when the last one has arrived.
    fn drive(&mut self) {
        for _ in 0..100_000 {
            let mut busy = false;
            match self.server.poll(self.now, &mut self.media, &mut self.down) {
                Output::Send => busy = true,
                Output::Event(event) => {
                    busy = true;
                    assert!(self.server_end.is_none(), "{event:?} behind the end");
                    match event {
                        server::Event::Closed(reason) => self.server_end = Some(reason),
                        server::Event::Subscribed(wanted) => {
                            self.media = Media::anew(wanted.video, wanted.audio);
                        }
                        _ => {}
                    }
                }
                Output::Idle(deadline) => {
                    assert!(deadline.is_none_or(|deadline| deadline > self.now));
                }
            }
            match self.viewer.poll(self.now, &mut self.up) {
                Output::Send => busy = true,
                Output::Event(event) => {
                    busy = true;
                    assert!(self.viewer_end.is_none(), "{event:?} behind the end");
                    if let client::Event::Closed(reason) = event {
                        self.viewer_end = Some(reason);
                    }
                }
                Output::Idle(deadline) => {
                    assert!(deadline.is_none_or(|deadline| deadline > self.now));
                }
            }
            if !busy {
                return;
            }
        }
        panic!("never idle");
    }

    fn to_server(&mut self, count: usize) {
        let mut bytes = self.up.split_to(count.min(self.up.len()));
        let _said_in_the_goodbye = self.server.handle(&mut bytes, self.now);
    }

    fn to_viewer(&mut self, count: usize) {
        let mut bytes = self.down.split_to(count.min(self.down.len()));
        let _said_in_the_goodbye = self.viewer.handle(&mut bytes, self.now);
    }
}

/// Whether one side says of the other that it broke the protocol.
fn accuses(end: &Option<CloseReason>) -> bool {
    matches!(
        end,
        Some(
            CloseReason::Failed(tunnelcast::session::SessionError::Misbehaved { .. })
                | CloseReason::Peer {
                    code: CloseCode::Misbehaved,
                    ..
                }
        )
    )
}

fuzz_target!(|steps: Vec<Step>| {
    let mut world = World::new();
    world.drive();
    let (mut changed, mut number) = (false, 0_u64);
    for step in steps {
        number += 1;
        let capture = MediaTime::from_micros(number);
        match step {
            Step::ToServer(count) => world.to_server(usize::from(count)),
            Step::ToViewer(count) => world.to_viewer(usize::from(count)),
            Step::Changed(at, bits) => {
                let way = match number % 2 {
                    0 => &mut world.up,
                    _ => &mut world.down,
                };
                if let Some(byte) = way.get_mut(usize::from(at)) {
                    *byte ^= bits;
                    changed |= bits != 0;
                }
            }
            Step::Wait(ms) => world.now += Duration::from_millis(u64::from(ms)),
            Step::Sound(length) => world.media.audio.push_back(Arc::new(AudioPacket {
                codec: AudioCodec::Opus,
                seq: number,
                capture,
                duration: Duration::from_millis(20),
                bytes: Bytes::from(vec![0; usize::from(length % 1500).max(1)]),
            })),
            Step::Cell(length) => world.media.video.push_back(VideoStep::Cell {
                rung: 1,
                frame: number,
                capture,
                index: 0,
                bytes: Bytes::from(vec![0; usize::from(length).max(1)]),
            }),
            Step::End => world.media.video.push_back(VideoStep::End {
                rung: 1,
                frame: number,
                capture,
            }),
            Step::Subscribe(video, audio) => {
                world
                    .viewer
                    .subscribe("cam".parse().expect("a good name"), video, audio);
            }
            Step::Unsubscribe => world.viewer.unsubscribe(),
            Step::Ask => world.viewer.ask(world.now),
            Step::ViewerLeaves => world.viewer.close(CloseCode::Done, world.now),
            Step::ServerLeaves => world.server.close(CloseCode::Going, world.now),
            Step::Cut => {
                world.server.end();
                world.viewer.end();
            }
        }
        world.drive();
        if !changed {
            assert!(!accuses(&world.server_end), "{:?}", world.server_end);
            assert!(!accuses(&world.viewer_end), "{:?}", world.viewer_end);
        }
    }
    for _ in 0..4 {
        world.to_server(usize::MAX);
        world.to_viewer(usize::MAX);
        world.drive();
        world.up.clear();
        world.down.clear();
        world.now += Duration::from_secs(60);
        world.drive();
    }
    assert!(world.server_end.is_some(), "a dead link is noticed");
    assert!(world.viewer_end.is_some(), "a dead link is noticed");
});
