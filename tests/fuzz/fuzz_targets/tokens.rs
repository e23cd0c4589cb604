//! A client at the door, with any hello: none is let in but by the proof of the token, for its own role, stream and
//! link. And any bytes as a server's list of tokens.
#![no_main]

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::{arbitrary, fuzz_target};
use tunnelcast::media::{Pattern, Role};
use tunnelcast::session::server::{Admission, Event, Offer, Session};
use tunnelcast::session::{Feed, Output};
use tunnelcast::trust::{Secret, Token, Tokens};
use tunnelcast::wire::limits::HEAD_LEN;
use tunnelcast::wire::{
    ClientControl, CloseCode, Hello, Message, Proof, PublishInfo, PublisherKey, ResumeSecret,
    SessionId, Text, TokenProof,
};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    list: Vec<u8>,
    secret: [u8; 16],
    channel: [u8; 32],
    /// Of another link, for which the proof was made.
    theirs: Option<[u8; 32]>,
    role: u8,
    stream: Option<u8>,
    /// What is said that it is for.
    said_role: u8,
    said_stream: Option<u8>,
    /// Turned over in the proof.
    bit: Option<u8>,
    /// In place of a hello.
    instead: Option<String>,
    behind: Vec<u8>,
    pattern: String,
}

struct Nothing;

impl Feed for Nothing {
    fn next_audio(&mut self) -> Option<std::sync::Arc<tunnelcast::media::AudioPacket>> {
        None
    }

    fn next_video(&mut self) -> Option<tunnelcast::media::VideoStep> {
        None
    }
}

fn role(number: u8) -> Role {
    Role::ALL[usize::from(number) % Role::ALL.len()]
}

fn name(number: Option<u8>) -> String {
    number.map_or_else(String::new, |number| format!("cam{}", number % 4))
}

fuzz_target!(|input: Input| {
    if let Ok(tokens) = Tokens::from_json(&input.list) {
        assert_eq!(Tokens::from_json(&tokens.to_json()), Ok(tokens));
    }
    if let Ok(pattern) = input.pattern.parse::<Pattern>() {
        let _ = pattern.matches("cam1");
        assert!(!pattern.as_str().is_empty());
    }
    let secret = Secret::from_bytes(input.secret);
    let token = Token::new(&secret, role(input.role), 0);
    let (role, said_role) = (role(input.role), role(input.said_role));
    let (stream, said_stream) = (name(input.stream), name(input.said_stream));
    let theirs = input.theirs.unwrap_or(input.channel);
    let mut proof = secret.prove(&theirs, role, &stream);
    if let Some(bit) = input.bit {
        proof[usize::from(bit / 8)] ^= 1 << (bit % 8);
    }
    let publish = said_stream.parse().ok().map(|stream| PublishInfo {
        stream,
        video: true,
        audio: true,
        take_over: false,
        key: PublisherKey::from_bytes([0; 16]),
        level: None,
    });
    let hello = Hello {
        versions: vec![1],
        role: said_role,
        token: Some(TokenProof {
            id: secret.id(),
            proof: Proof::from_bytes(proof),
        }),
        publish,
        ..Hello::default()
    };
    let mut first = BytesMut::new();
    match &input.instead {
        Some(text) => {
            let _ = Message::Control(Bytes::copy_from_slice(text.as_bytes())).encode(&mut first);
        }
        None => ClientControl::Hello(hello)
            .encode(&mut first)
            .expect("it fits"),
    }
    assert!(first.len() >= HEAD_LEN || input.instead.is_some());
    first.extend_from_slice(&input.behind);
    let now = Instant::now();
    let offer = Offer {
        agent: Text::new("fuzz"),
        streams: Vec::new(),
        session: SessionId::from_bytes([1; 16]),
        resume: ResumeSecret::from_bytes([2; 32]),
        max_bps: None,
    };
    let mut session = Session::new(offer, now, now).asking();
    let mut out = BytesMut::new();
    let _ = session.handle(&mut first, now);
    let mut admitted = false;
    for _ in 0..10_000 {
        match session.poll(now, &mut Nothing, &mut out) {
            Output::Send => {
                // Nothing but a goodbye is said to who is not let in.
                assert!(admitted || out.windows(7).any(|part| part == b"goodbye"));
                out.clear();
            }
            Output::Event(Event::Hello(hello)) => {
                let good = hello.token.as_ref().is_some_and(|said| {
                    said.id == token.id
                        && token.key.accepts(
                            said.proof.as_bytes(),
                            &input.channel,
                            hello.role,
                            hello.bound_name(),
                        )
                });
                let meant = input.bit.is_none()
                    && theirs == input.channel
                    && role == said_role
                    && stream == said_stream;
                if input.instead.is_none() {
                    assert_eq!(good, meant);
                }
                if good {
                    admitted = true;
                    let admission = Admission {
                        streams: Vec::new(),
                        pattern: token.streams.clone(),
                        max_bps: None,
                    };
                    session.admit(admission, now);
                } else {
                    session.refuse(CloseCode::Unauthorized, Text::new("no"), now);
                }
            }
            Output::Event(_) => {}
            Output::Idle(_) => return,
        }
    }
    panic!("never idle");
});
