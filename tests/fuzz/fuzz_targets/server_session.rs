//! A server's session and a viewer gone mad: reads, pauses and media in any order, behind a proper hello or not.
#![no_main]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::{arbitrary, fuzz_target};
use tunnelcast::media::{AudioCodec, AudioPacket, MediaTime, Rung, RungKind, Size, VideoStep};
use tunnelcast::session::server::{Event, Offer, Session};
use tunnelcast::session::{Feed, Output};
use tunnelcast::wire::{Message, ResumeSecret, SessionId, StreamInfo, Text};

#[derive(Debug, arbitrary::Arbitrary)]
enum Step {
    /// Bytes as they are.
    Read(Vec<u8>),
    /// A message whose head is right.
    Message(u8, Vec<u8>),
    /// A control message whose head is right, and which is text.
    Control(String),
    Wait(u16),
    /// The link takes what is pending.
    Write,
    Sound(u16),
    Cell(u16, u32),
    End,
    Rung,
    Close,
}

#[derive(Default)]
struct Media {
    audio: VecDeque<Arc<AudioPacket>>,
    video: VecDeque<VideoStep>,
}

impl Feed for Media {
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>> {
        self.audio.pop_front()
    }

    fn next_video(&mut self) -> Option<VideoStep> {
        self.video.pop_front()
    }
}

fn control(json: &str) -> BytesMut {
    let mut out = BytesMut::new();
    let _ = Message::Control(Bytes::copy_from_slice(json.as_bytes())).encode(&mut out);
    out
}

fuzz_target!(|input: (bool, Vec<Step>)| {
    let (hello, steps) = input;
    let mut now = Instant::now();
    let offer = Offer {
        agent: Text::new("fuzz"),
        streams: vec![StreamInfo {
            name: "cam".parse().expect("a good name"),
            video: true,
            audio: true,
        }],
        session: SessionId::from_bytes([1; 16]),
        resume: ResumeSecret::from_bytes([2; 32]),
        max_bps: None,
    };
    let mut session = Session::new(offer, now, now);
    let mut media = Media::default();
    let mut out = BytesMut::new();
    let mut closed = false;
    let mut drain = |session: &mut Session, now, media: &mut Media, out: &mut BytesMut| {
        // A session that never comes to rest would hang its driver.
        for _ in 0..100_000 {
            match session.poll(now, media, out) {
                Output::Send => assert!(out.len() <= 16_384),
                Output::Event(event) => {
                    assert!(!closed, "{event:?} behind the end");
                    closed = matches!(event, Event::Closed(_));
                }
                Output::Idle(deadline) => {
                    assert!(deadline.is_none_or(|deadline| deadline > now));
                    return;
                }
            }
        }
        panic!("never idle");
    };
    if hello {
        for json in [
            r#"{"type":"hello","versions":[1]}"#,
            r#"{"type":"subscribe","stream":"cam"}"#,
        ] {
            let _ = session.handle(&mut control(json), now);
        }
    }
    drain(&mut session, now, &mut media, &mut out);
    let mut number = 0_u64;
    for step in steps {
        number += 1;
        let capture = MediaTime::from_micros(number);
        match step {
            Step::Read(bytes) => {
                let _ = session.handle(&mut BytesMut::from(&bytes[..]), now);
            }
            Step::Message(kind, body) => {
                let mut message = BytesMut::from(&[kind % 6, 0][..]);
                let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
                message.extend_from_slice(&len.to_be_bytes());
                message.extend_from_slice(&body);
                let _ = session.handle(&mut message, now);
            }
            Step::Control(json) => {
                let _ = session.handle(&mut control(&json), now);
            }
            Step::Wait(ms) => now += Duration::from_millis(u64::from(ms)),
            Step::Write => out.clear(),
            Step::Sound(len) => media.audio.push_back(Arc::new(AudioPacket {
                codec: AudioCodec::Opus,
                seq: number,
                capture,
                duration: Duration::from_millis(20),
                bytes: Bytes::from(vec![0; usize::from(len)]),
            })),
            Step::Cell(len, index) => media.video.push_back(VideoStep::Cell {
                rung: 1,
                frame: number,
                capture,
                index,
                bytes: Bytes::from(vec![0; usize::from(len)]),
            }),
            Step::End => media.video.push_back(VideoStep::End {
                rung: 1,
                frame: number,
                capture,
            }),
            Step::Rung => {
                let size = Size::new(64, 64).expect("a good size");
                let kind = RungKind::Whole { size };
                media.video.push_back(VideoStep::Rung(Arc::new(Rung {
                    id: 1,
                    kind,
                    source: None,
                })));
            }
            Step::Close => session.end(),
        }
        drain(&mut session, now, &mut media, &mut out);
    }
    now += Duration::from_secs(60);
    out.clear();
    drain(&mut session, now, &mut media, &mut out);
    out.clear();
    drain(&mut session, now, &mut media, &mut out);
    assert!(closed, "a dead link is noticed");
});
