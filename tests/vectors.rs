//! Holds the code to the bytes in the protocol's description, in both directions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tunnelcast::media::{AudioCodec, AudioPacket, MediaTime, Role};
use tunnelcast::trust::Secret;
use tunnelcast::wire::{
    Ack, Answer, Arrivals, CellPart, ClientControl, CloseCode, Coding, Command, Deframer, Hello,
    LevelName, Message, Moment, Proof, PublishInfo, PublisherKey, Report, ResumeSecret, RungInfo,
    ServerControl, SessionId, Settled, SourceState, StreamInfo, StreamName, Text, TokenProof,
    ViewerStatus,
};

const SPECIFICATION: &str = include_str!("../src/wire/README.md");

/// What a client sends, what a server sends, and what is neither's alone.
enum Said {
    Client(ClientControl),
    Server(ServerControl),
    Media(Message),
    /// A receiver skips it.
    Nothing,
}

fn name(text: &str) -> StreamName {
    text.parse().expect("a good name")
}

/// Of the token and the channel in section 15.
fn token() -> (Secret, [u8; 32]) {
    let channel = std::array::from_fn(|n| 0x20 + u8::try_from(n).expect("it is small"));
    let token = "AAECAwQFBgcICQoLDA0ODw".parse().expect("a token");
    (token, channel)
}

fn proof(role: Role, name: &str) -> TokenProof {
    let (token, channel) = token();
    TokenProof {
        id: token.id(),
        proof: Proof::from_bytes(token.prove(&channel, role, name)),
    }
}

fn moment() -> Moment {
    Moment {
        rung: 1,
        frame: 42,
        capture: MediaTime::from_micros(1_400_000),
    }
}

/// Every example of the specification by name, and what it says.
fn examples() -> Vec<(&'static str, Said)> {
    let cam = || name("cam");
    let part = |offset, bytes: &'static [u8]| {
        Said::Media(Message::CellPart(CellPart {
            moment: Moment {
                rung: 2,
                ..moment()
            },
            index: 0,
            offset,
            total: 20_003,
            bytes: Bytes::from_static(bytes),
        }))
    };
    vec![
        (
            "hello",
            Said::Client(ClientControl::Hello(Hello {
                versions: vec![1],
                agent: Text::new("example/1"),
                ..Hello::default()
            })),
        ),
        (
            "subscribe",
            Said::Client(ClientControl::Subscribe {
                stream: cam(),
                video: true,
                audio: true,
                max_bps: None,
            }),
        ),
        ("ping", Said::Client(ClientControl::Ping { id: 0 })),
        (
            "hello with a token",
            Said::Client(ClientControl::Hello(Hello {
                versions: vec![1],
                agent: Text::new("example/1"),
                token: Some(proof(Role::Watch, "")),
                ..Hello::default()
            })),
        ),
        (
            "hello of a publisher",
            Said::Client(ClientControl::Hello(Hello {
                versions: vec![1],
                agent: Text::new("example/1"),
                role: Role::Publish,
                token: Some(proof(Role::Publish, "cam")),
                publish: Some(PublishInfo {
                    stream: cam(),
                    video: true,
                    audio: true,
                    take_over: false,
                    key: PublisherKey::from_bytes([3; 16]),
                    level: None,
                }),
                ..Hello::default()
            })),
        ),
        (
            "command",
            Said::Client(ClientControl::Command(Command {
                id: 1,
                what: Text::new("kick"),
                arg: Text::new("7"),
                from: 0,
            })),
        ),
        (
            "levels",
            Said::Client(ClientControl::Levels {
                wanted: vec![LevelName::Half, LevelName::Quarter],
            }),
        ),
        (
            "answer",
            Said::Server(ServerControl::Answer(Box::new(Answer {
                viewers: vec![ViewerStatus {
                    id: 7,
                    addr: Text::new("192.0.2.1:4433"),
                    transport: Text::new("quic"),
                    agent: Text::default(),
                    stream: Some(cam()),
                    token: Some(token().0.id()),
                    since_s: 61,
                }],
                next: Some(8),
                ..Answer::done(2)
            }))),
        ),
        (
            "welcome",
            Said::Server(ServerControl::Welcome {
                version: 1,
                agent: Text::new("example/1"),
                session: SessionId::from_bytes([1; 16]),
                resume: ResumeSecret::from_bytes([2; 32]),
                streams: vec![StreamInfo {
                    name: cam(),
                    video: true,
                    audio: true,
                }],
            }),
        ),
        (
            "subscribed",
            Said::Server(ServerControl::Subscribed {
                stream: cam(),
                video: true,
                audio: true,
            }),
        ),
        (
            "pong",
            Said::Server(ServerControl::Pong {
                id: 0,
                received_us: 1_399_000,
                sent_us: 1_399_250,
            }),
        ),
        (
            "source",
            Said::Server(ServerControl::Source {
                state: SourceState::Live,
                notice: None,
            }),
        ),
        (
            "rung of cells",
            Said::Server(ServerControl::Rung(RungInfo {
                source: None,
                id: 1,
                coding: Coding::Cells,
                width: 1280,
                height: 720,
                restart: Some(10),
                header: Some("_9g".to_owned()),
            })),
        ),
        (
            "rung of whole pictures",
            Said::Server(ServerControl::Rung(RungInfo {
                source: None,
                id: 2,
                coding: Coding::Whole,
                width: 640,
                height: 480,
                restart: None,
                header: None,
            })),
        ),
        (
            "audio",
            Said::Media(Message::Audio(AudioPacket {
                codec: AudioCodec::Opus,
                seq: 70,
                capture: MediaTime::from_micros(1_400_000),
                duration: Duration::from_millis(20),
                bytes: Bytes::from_static(&[0xfc, 0xff, 0xfe]),
            })),
        ),
        (
            "cells",
            Said::Media(Message::Cells {
                moment: moment(),
                cells: vec![
                    (0, Bytes::from_static(&[0xa2, 0x8a, 0x28])),
                    (359, Bytes::from_static(&[0xff, 0x00])),
                ],
            }),
        ),
        ("frame end", Said::Media(Message::FrameEnd(moment()))),
        ("first part", part(0, &[0xff, 0xd8])),
        ("last part", part(20_001, &[0xff, 0xd9])),
        (
            "acknowledgement",
            Said::Media(Message::Ack(Ack {
                received: 70_000,
                held: Duration::from_micros(1_500),
            })),
        ),
        (
            "arrivals",
            Said::Media(Message::Arrivals(Arrivals {
                until: 70_000,
                held: Duration::from_micros(1_500),
                holes: vec![0x1_0000..0x1_04b0, 0x1_0800..0x1_0c00],
            })),
        ),
        (
            "settled",
            Said::Media(Message::Settled(Settled {
                moment: moment(),
                needs: std::iter::once(0x1_0000..0x1_1170).collect(),
            })),
        ),
        (
            "report",
            Said::Client(ClientControl::Report(Report {
                frames_shown: Some(30),
                latency_p95_us: Some(9_500),
                audio_lost: Some(0),
                ..Report::default()
            })),
        ),
        ("unsubscribe", Said::Client(ClientControl::Unsubscribe)),
        ("unsubscribed", Said::Server(ServerControl::Unsubscribed)),
        (
            "refused",
            Said::Server(ServerControl::Refused {
                stream: name("attic"),
                code: CloseCode::NoSuchStream,
                reason: Text::new("no such stream"),
            }),
        ),
        (
            "goodbye",
            Said::Client(ClientControl::Goodbye {
                code: CloseCode::Done,
                reason: Text::new("done"),
            }),
        ),
        ("something newer", Said::Nothing),
    ]
}

/// The blocks of the specification that begin with `# name`.
fn specified() -> BTreeMap<&'static str, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut lines = SPECIFICATION.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "```text" {
            continue;
        }
        let mut name = None;
        let mut bytes = Vec::new();
        for line in lines.by_ref().take_while(|line| line.trim() != "```") {
            if let Some(title) = line.trim().strip_prefix("# ") {
                if let Some(name) = name.replace(title) {
                    found.insert(name, std::mem::take(&mut bytes));
                }
            } else if name.is_some() {
                let hex = line.split('|').next().unwrap_or_default();
                bytes.extend(
                    hex.split_whitespace()
                        .map(|byte| u8::from_str_radix(byte, 16).expect("hex")),
                );
            }
        }
        if let Some(name) = name {
            found.insert(name, bytes);
        }
    }
    found
}

fn encode(said: &Said) -> Option<Vec<u8>> {
    let mut out = BytesMut::new();
    match said {
        Said::Client(control) => control.encode(&mut out),
        Said::Server(control) => control.encode(&mut out),
        Said::Media(message) => message.encode(&mut out),
        Said::Nothing => return None,
    }
    .expect("an example that can be said");
    Some(out.to_vec())
}

/// As the specification shows it: 16 bytes a line, and beside them what is printable.
fn shown(name: &str, bytes: &[u8]) -> String {
    let mut text = format!("# {name}\n");
    for line in bytes.chunks(16) {
        let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain: String = line
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            })
            .collect();
        let _ = writeln!(text, "{:<47} | {plain}", hex.join(" "));
    }
    text
}

#[test]
fn the_code_writes_what_the_specification_shows() {
    let specified = specified();
    let mut wrong = String::new();
    for (name, said) in &examples() {
        let Some(bytes) = encode(said) else { continue };
        if specified.get(name) != Some(&bytes) {
            wrong += &shown(name, &bytes);
        }
    }
    assert!(wrong.is_empty(), "the code writes:\n{wrong}");
}

#[test]
fn the_code_reads_what_the_specification_shows() {
    let specified = specified();
    let examples = examples();
    for name in specified.keys() {
        assert!(
            examples.iter().any(|(known, _)| known == name),
            "nobody knows what `{name}` says"
        );
    }
    for (name, said) in examples {
        let bytes = specified.get(name).unwrap_or_else(|| panic!("no `{name}`"));
        let mut deframer = Deframer::new();
        deframer.push(&mut BytesMut::from(&bytes[..]));
        let raw = deframer.pull().expect("a message").expect("a whole one");
        assert_eq!(deframer.finish(), Ok(()), "{name} is one message");
        let message = Message::decode(raw).expect("a good body");
        let json = match &message {
            Some(Message::Control(json)) => json.clone(),
            Some(_) | None => Bytes::new(),
        };
        match said {
            Said::Client(control) => assert_eq!(ClientControl::decode(&json), Ok(control)),
            Said::Server(control) => assert_eq!(ServerControl::decode(&json), Ok(control)),
            Said::Media(media) => assert_eq!(message, Some(media), "{name}"),
            Said::Nothing => assert_eq!(message, None, "{name}"),
        }
    }
}

#[test]
fn the_limits_in_the_specification_are_those_of_the_code() {
    use tunnelcast::media::{MAX_AUDIO_PACKET, MAX_CELLS};
    use tunnelcast::wire::limits as l;
    let rows = [
        ("body of a message", l::MAX_BODY),
        ("nesting of JSON", l::MAX_DEPTH),
        ("values in a control message", l::MAX_VALUES),
        ("name of a stream", l::MAX_STREAM_NAME),
        ("text", l::MAX_TEXT),
        ("versions in a hello", l::MAX_VERSIONS),
        ("streams in a welcome", l::MAX_LISTED_STREAMS),
        ("header of a rung", l::MAX_RUNG_HEADER),
        ("cell", l::MAX_CELL),
        ("cells in a picture", MAX_CELLS),
        ("packet of sound", MAX_AUDIO_PACKET),
        ("rungs remembered", l::MAX_RUNGS),
        ("answers that wait for a viewer to read", l::MAX_ANSWERS),
        ("viewers in an answer", l::MAX_ANSWERED_VIEWERS),
        ("holes in an arrivals", l::MAX_HOLES),
        ("spans in a settled", l::MAX_RANGES),
        ("cell in parts in datagrams", l::MAX_SPLIT_CELL),
    ];
    for (what, limit) in rows {
        let start = format!("| {what} | ");
        let row = SPECIFICATION
            .lines()
            .find_map(|line| line.strip_prefix(&start))
            .unwrap_or_else(|| panic!("no row for {what}"));
        let digits: String = row
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == ',')
            .filter(char::is_ascii_digit)
            .collect();
        assert_eq!(digits, limit.to_string(), "{what}");
    }
    assert!(SPECIFICATION.contains(&format!("version {}\n", l::PROTOCOL_VERSION)));
}

#[test]
fn the_close_codes_in_the_specification_are_those_of_the_code() {
    for (number, code) in CloseCode::ALL {
        let row = format!("| {number} | {code} | ");
        let line = SPECIFICATION.lines().find(|line| line.starts_with(&row));
        let line = line.unwrap_or_else(|| panic!("no row `{row}`"));
        let retry = line
            .get(row.len()..)
            .is_some_and(|rest| rest.starts_with("yes"));
        assert_eq!(retry, code.is_worth_retrying(), "{line}");
    }
}

#[test]
fn a_token_is_proven_as_the_specification_says() {
    let (token, channel) = token();
    let shown = |what: &str, bytes: &[u8], behind: &str| {
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{what:<10} = {}{behind}\n", hex.join(" "));
        assert!(SPECIFICATION.contains(&line), "{line}");
    };
    shown("id", token.id().as_bytes(), "");
    let watch = token.prove(&channel, Role::Watch, "");
    shown("proof", &watch, " (to watch)");
    let publish = token.prove(&channel, Role::Publish, "cam");
    shown("proof", &publish, " (to publish \"cam\")");
    let key = token.stored_key();
    assert!(key.accepts(&watch, &channel, Role::Watch, ""));
    assert!(key.accepts(&publish, &channel, Role::Publish, "cam"));
}
