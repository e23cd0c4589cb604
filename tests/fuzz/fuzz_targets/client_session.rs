//! A viewer and a server gone mad: reads and pauses in any order, behind a proper welcome or not.
#![no_main]

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::{arbitrary, fuzz_target};
use tunnelcast::session::Output;
use tunnelcast::session::client::{Event, Session, Want};
use tunnelcast::wire::{Message, Text};

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
    Unsubscribe,
    Close,
}

const OPENING: [&str; 3] = [
    r#"{"type":"welcome","version":1,"session":"AQEBAQEBAQEBAQEBAQEBAQ","resume":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"}"#,
    r#"{"type":"subscribed","stream":"cam","video":true,"audio":true}"#,
    r#"{"type":"rung","id":0,"coding":"whole","width":64,"height":64}"#,
];

fn control(json: &str) -> BytesMut {
    let mut out = BytesMut::new();
    let _ = Message::Control(Bytes::copy_from_slice(json.as_bytes())).encode(&mut out);
    out
}

fuzz_target!(|input: (bool, Vec<Step>)| {
    let (welcome, steps) = input;
    let mut now = Instant::now();
    let want = Want {
        agent: Text::new("fuzz"),
        stream: Some("cam".parse().expect("a good name")),
        video: true,
        audio: true,
        ..Want::default()
    };
    let mut session = Session::new(want, now);
    let mut out = BytesMut::new();
    let mut closed = false;
    let mut drain = |session: &mut Session, now, out: &mut BytesMut| {
        // A session that never comes to rest would hang its driver.
        for _ in 0..100_000 {
            match session.poll(now, out) {
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
    drain(&mut session, now, &mut out);
    if welcome {
        for json in OPENING {
            let _ = session.handle(&mut control(json), now);
            drain(&mut session, now, &mut out);
        }
    }
    for step in steps {
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
            Step::Unsubscribe => session.unsubscribe(),
            Step::Close => session.end(),
        }
        drain(&mut session, now, &mut out);
        let _ = (session.server_time(now), session.rtt());
    }
    now += Duration::from_secs(60);
    out.clear();
    drain(&mut session, now, &mut out);
    out.clear();
    drain(&mut session, now, &mut out);
    assert!(closed, "a dead link is noticed");
});
