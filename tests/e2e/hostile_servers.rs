//! Servers that hold the right key and break every rule. The viewer says so and ends, or goes on, and does not grow.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::sync::mpsc;
use tunnelcast::{
    client::News,
    error::Status,
    media::{Grid, MediaTime, Rung, RungKind, Size},
    transport::{Link, Listener, Ready},
    trust::{self, Identity},
    wire::{
        CellPart, CellsWriter, CloseCode, Message, Moment, ResumeSecret, RungInfo, ServerControl,
        SessionId, StreamInfo, Text,
        limits::{MAX_CELL, MAX_PART},
    },
};

use crate::support::{Ended, Program, TestViewer, memory, soon, watch};

/// A server that says what it is told to, with the link to it.
struct Impostor {
    link: trust::Link,
    links: mpsc::UnboundedReceiver<Link>,
    task: tokio::task::JoinHandle<()>,
}

impl Impostor {
    fn start() -> Self {
        let identity = Identity::fresh().unwrap();
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let link = trust::Link {
            prefix: String::new(),
            host: "127.0.0.1".to_owned(),
            port: listener.local().port(),
            stream: "live".to_owned(),
            pin: Some(identity.pin()),
            token: None,
        };
        let (sender, links) = mpsc::unbounded_channel();
        let patience = Duration::from_secs(60);
        let task = tokio::spawn(async move {
            loop {
                let incoming = listener.accept().await;
                let (config, sealed) = (identity.server_config(), identity.sealed_server_config());
                if let Ok(secured) = incoming.handshake(config, patience).await
                    && let Ok(Some(link)) = secured.serve(sealed, patience).await
                    && sender.send(link).is_err()
                {
                    return;
                }
            }
        });
        Self { link, links, task }
    }

    /// The next viewer who comes.
    async fn viewer(&mut self) -> Link {
        soon("a viewer", self.links.recv()).await.unwrap()
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Says this; false once the viewer has gone.
async fn say(link: &mut Link, words: &[u8]) -> bool {
    let (mut heard, mut pending) = (BytesMut::new(), BytesMut::from(words));
    while !(pending.is_empty() && link.is_clear()) {
        match soon("the viewer to listen", link.ready(&mut heard, &mut pending)).await {
            Ok(Ready::Read(_)) => heard.clear(),
            Ok(Ready::Wrote(_) | Ready::Datagram(_) | Ready::Frame(_) | Ready::Room) => {}
            Ok(Ready::Eof) | Err(_) => return false,
        }
    }
    true
}

/// Listens until the viewer has gone.
async fn listen(mut link: Link) {
    let (mut heard, mut nothing) = (BytesMut::new(), BytesMut::new());
    while let Ok(Ready::Read(_) | Ready::Wrote(_)) =
        soon("the viewer's end", link.ready(&mut heard, &mut nothing)).await
    {
        heard.clear();
    }
}

fn control(control: &ServerControl) -> BytesMut {
    let mut out = BytesMut::new();
    control.encode(&mut out).unwrap();
    out
}

fn welcome(version: u16) -> BytesMut {
    control(&ServerControl::Welcome {
        version,
        agent: Text::new("impostor"),
        session: SessionId::from_bytes([1; 16]),
        resume: ResumeSecret::from_bytes([2; 32]),
        streams: vec![StreamInfo {
            name: "live".parse().unwrap(),
            video: true,
            audio: true,
        }],
    })
}

/// What a good server says first.
fn opening() -> BytesMut {
    let mut out = welcome(1);
    out.extend_from_slice(&control(&ServerControl::Subscribed {
        stream: "live".parse().unwrap(),
        video: true,
        audio: true,
    }));
    out
}

fn goodbye(code: CloseCode) -> BytesMut {
    control(&ServerControl::Goodbye {
        code,
        reason: Text::new("because"),
    })
}

fn rung(kind: RungKind) -> BytesMut {
    let rung = Arc::new(Rung { id: 1, kind });
    control(&ServerControl::Rung(RungInfo::of(&rung)))
}

fn size() -> Size {
    Size::new(320, 192).unwrap()
}

fn moment(frame: u64) -> Moment {
    Moment {
        rung: 1,
        frame,
        capture: MediaTime::from_micros(frame * 40_000),
    }
}

fn message(message: &Message) -> BytesMut {
    let mut out = BytesMut::new();
    message.encode(&mut out).unwrap();
    out
}

/// The program's end when its server says this and then nothing more.
async fn after(words: &[u8], arguments: &str) -> Ended {
    let mut server = Impostor::start();
    let program = Program::watch(&server.link, arguments);
    let mut link = server.viewer().await;
    if say(&mut link, words).await {
        listen(link).await;
    }
    program.end()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_breaks_the_protocol_is_left_for_good() {
    let raw_rung = |fields: &str| {
        let body = format!("{{\"type\":\"rung\",\"id\":1,{fields}}}");
        let mut out = opening();
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
        out.extend_from_slice(body.as_bytes());
        out
    };
    let whole = rung(RungKind::Whole { size: size() });
    let mut outside = BytesMut::new();
    CellsWriter::begin(&mut outside, moment(1), 77, b"cell").unwrap();
    let part = |offset: usize| {
        message(&Message::CellPart(CellPart {
            moment: moment(1),
            index: 0,
            offset: u32::try_from(offset).unwrap(),
            total: 4000,
            bytes: Bytes::from_static(&[1; 1000]),
        }))
    };
    let after_whole = |bytes: &[u8]| [&opening()[..], &whole, bytes].concat();
    for (what, words) in [
        ("garbage", vec![0xff; 5000]),
        ("a length beyond the limit", vec![0, 0, 0xff, 0xff]),
        ("text", b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        ("no JSON", vec![0, 0, 0, 3, b'a', b'b', b'c']),
        ("a frame first", message(&Message::FrameEnd(moment(1))).to_vec()),
        ("a version that was not offered", welcome(7).to_vec()),
        ("two welcomes", [welcome(1), welcome(1)].concat()),
        ("an answer twice", [opening(), control(&ServerControl::Unsubscribed)].concat()),
        (
            "a picture beyond measure",
            raw_rung("\"coding\":\"whole\",\"width\":4000000000,\"height\":4000000000").to_vec(),
        ),
        (
            "a picture of nothing",
            raw_rung("\"coding\":\"whole\",\"width\":0,\"height\":0").to_vec(),
        ),
        (
            "cells that do not fit",
            raw_rung(
                "\"coding\":\"cells\",\"width\":320,\"height\":192,\"restart\":7,\"header\":\"_9j_\"",
            )
            .to_vec(),
        ),
        ("a cell outside", after_whole(&outside)),
        ("a part without a start", after_whole(&part(1000))),
        ("parts out of order", after_whole(&[part(0), part(2000)].concat())),
    ] {
        let ended = after(&words, "").await;
        assert_eq!(ended.status, Some(4), "{what}: {ended:?}");
        assert!(
            ended.words.contains("the server cannot be spoken with"),
            "{what}: {}",
            ended.words
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_is_final_or_not_by_its_code() {
    let ended = after(&goodbye(CloseCode::Forbidden), "").await;
    ended.says(3, "the server refused: because");
    let ended = after(&[opening(), goodbye(CloseCode::Done)].concat(), "").await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended.summary();
    let closed = ended.events.iter().find(|event| event["event"] == "closed");
    assert_eq!(closed.unwrap()["reason"], "because");

    let mut server = Impostor::start();
    let viewer = TestViewer::start(watch(&server.link));
    for code in [CloseCode::Busy, CloseCode::Going, CloseCode::Internal] {
        let mut link = server.viewer().await;
        say(&mut link, &goodbye(code)).await;
    }
    let mut link = server.viewer().await;
    say(&mut link, &goodbye(CloseCode::NoSuchStream)).await;
    assert_eq!(viewer.end().await.unwrap_err().status(), Status::Refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cuts_every_connection_is_tried_with_growing_pauses() {
    let mut server = Impostor::start();
    let mut viewer = TestViewer::start(watch(&server.link));
    let mut pauses = Vec::new();
    for _ in 0..3 {
        drop(server.viewer().await);
        let word = viewer.disconnected().await;
        let pause = word
            .rsplit_once("again in ")
            .unwrap()
            .1
            .trim_end_matches(" s");
        pauses.push(pause.parse::<f64>().unwrap());
    }
    assert!(pauses.is_sorted_by(|a, b| a < b), "{pauses:?}");
    viewer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_that_cannot_be_decoded_are_said_to_be_so() {
    let grid = Grid::for_size(size());
    let cells = RungKind::Cells {
        grid,
        header: Bytes::from_static(b"no JPEG at all"),
    };
    let mut words = [opening(), rung(cells)].concat();
    let mut cell = BytesMut::new();
    CellsWriter::begin(&mut cell, moment(1), 0, b"cell").unwrap();
    words.extend_from_slice(&cell);
    words.extend_from_slice(&message(&Message::FrameEnd(moment(1))));

    let mut server = Impostor::start();
    let mut viewer = TestViewer::start(watch(&server.link));
    let mut link = server.viewer().await;
    say(&mut link, &words).await;
    loop {
        if let News::Word(word) = viewer.news().await.unwrap() {
            assert!(word.contains("cannot be decoded"), "{word}");
            break;
        }
    }
    assert_eq!(viewer.stop().await.frames_shown, 0);
}

/// What the viewer holds may not grow with what is thrown at it.
const ROOM: u64 = 150 << 20;

/// Throws `round(0)`, `round(1)`, ... at the program; gives its end.
async fn thrown(first: &[u8], rounds: u64, mut round: impl FnMut(u64) -> BytesMut) -> Ended {
    let mut server = Impostor::start();
    let program = Program::watch(&server.link, "");
    let mut link = server.viewer().await;
    assert!(say(&mut link, first).await);
    let before = memory(program.id());
    for number in 0..rounds {
        assert!(say(&mut link, &round(number)).await, "the viewer has gone");
    }
    let after = memory(program.id());
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + ROOM, "{before} became {after}");
    }
    assert!(say(&mut link, &goodbye(CloseCode::Done)).await);
    listen(link).await;
    let ended = program.end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_of_garbage_are_no_picture_and_no_end() {
    let mut encoder =
        tunnelcast::codec::Encoder::new(1, size(), tunnelcast::codec::Quality::DEFAULT).unwrap();
    let picture = tunnelcast::media::Picture::filled(size(), [90, 100, 110]);
    let good = encoder.encode(&picture, 1, MediaTime::ZERO).unwrap();
    let mut first = opening();
    first.extend_from_slice(&control(&ServerControl::Rung(RungInfo::of(&good.rung))));
    let mut noise = 1_u32;
    let ended = thrown(&first, 400, |frame| {
        let mut out = BytesMut::new();
        let mut bytes = [0; 600];
        for byte in &mut bytes {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = u8::try_from(noise >> 24).unwrap();
        }
        let index = u32::try_from(frame).unwrap() % u32::try_from(good.cells.len()).unwrap();
        let moment = Moment {
            rung: good.rung.id,
            ..moment(frame + 2)
        };
        CellsWriter::begin(&mut out, moment, index, &bytes).unwrap();
        out.extend_from_slice(&message(&Message::FrameEnd(moment)));
        out
    })
    .await;
    ended.summary();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_pictures_of_garbage_are_no_picture_and_no_end() {
    let first = [opening(), rung(RungKind::Whole { size: size() })].concat();
    let ended = thrown(&first, 300, |frame| {
        let mut out = BytesMut::new();
        let bytes = [&b"\xff\xd8\xff\xdb"[..], &[7; 3000]].concat();
        CellsWriter::begin(&mut out, moment(frame + 1), 0, &bytes).unwrap();
        out.extend_from_slice(&message(&Message::FrameEnd(moment(frame + 1))));
        out
    })
    .await;
    assert_eq!(ended.summary()["frames_shown"], Value::from(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_never_ends_is_not_kept_for_ever() {
    let first = [opening(), rung(RungKind::Whole { size: size() })].concat();
    let bytes = Bytes::from(vec![0; MAX_PART]);
    let mut offset = 0;
    // Ten times as much as the largest cell, none of them finished.
    let rounds = (10 * MAX_CELL / MAX_PART) as u64;
    thrown(&first, rounds, |_| {
        if offset + 2 * MAX_PART >= MAX_CELL {
            offset = 0;
        }
        let part = CellPart {
            moment: moment(1),
            index: 0,
            offset: u32::try_from(offset).unwrap(),
            total: u32::try_from(MAX_CELL).unwrap(),
            bytes: bytes.clone(),
        };
        offset += MAX_PART;
        message(&Message::CellPart(part))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_and_rungs_without_number_do_not_pile_up() {
    let first = opening();
    thrown(&first, 3000, |round| {
        let id = u32::try_from(round).unwrap();
        let rung = Rung {
            id,
            kind: RungKind::Whole {
                size: Size::new(8192, 4096).unwrap(),
            },
        };
        let mut out = control(&ServerControl::Rung(RungInfo::of(&rung)));
        // A cell of each that is never followed by the end of its frame.
        let moment = Moment {
            rung: id,
            ..moment(round + 1)
        };
        CellsWriter::begin(&mut out, moment, 0, &[0; 12_000]).unwrap();
        out
    })
    .await;
}
