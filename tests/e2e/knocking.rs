//! Everybody knocks at a public address. Whoever plays meanwhile loses nothing, and what they leave behind is bounded.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time,
};
use tunnelcast::{
    session::client::Event,
    transport::{
        Kind,
        dial::{self, Progress, Timeouts},
        race::Ways,
    },
    trust::{Link, Policy, client_config, quic_client_config, sealed_client_config},
    wire::{ClientControl, CloseCode, Hello, Resume, ResumeSecret, SessionId, Text},
};

use crate::{
    hostile_viewers::{UPGRADE, control, goodbye, hello, still_plays, subscribe},
    standing::{open, page, tcp_from, tls_from},
    support::{CARD, Program, Raw, TestServer, TestViewer, dial, memory, soon, watch},
};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What a viewer got while it looked: frames, those that were left out between them, and breaks in the sound.
#[derive(Debug, Default)]
struct Got {
    frames: u64,
    left_out: u64,
    breaks: u64,
}

/// Plays until so many frames were there, all of them whole.
async fn play(viewer: &mut Raw, frames: u64) -> Got {
    let (mut got, mut last, mut heard) = (Got::default(), None, None);
    while got.frames < frames {
        let event = viewer.event().await;
        match &event {
            Event::Audio(packet) => {
                let expected = heard.map(|seq| seq + 1);
                got.breaks += u64::from(expected.is_some_and(|seq| seq != packet.seq));
                heard = Some(packet.seq);
            }
            Event::Closed(reason) => panic!("closed: {reason:?}"),
            Event::FrameEnd { frame, .. } => {
                got.frames += 1;
                // A frame may come again on another rung.
                got.left_out += last.map_or(0, |last| frame.saturating_sub(last + 1));
                last = Some(*frame);
            }
            Event::Welcome(_)
            | Event::Subscribed { .. }
            | Event::Unsubscribed
            | Event::Refused { .. }
            | Event::Rung(_)
            | Event::Cells { .. }
            | Event::Source { .. }
            | Event::LateEnd { .. }
            | Event::Answer(_) => {}
        }
    }
    got
}

/// The first message of TLS to this server.
fn greeting(link: &Link) -> Vec<u8> {
    let policy = Policy::Pinned(link.pin.unwrap());
    let config = client_config(policy, &link.host, link.port).unwrap();
    let name = link.host.clone().try_into().unwrap();
    let mut greeting = Vec::new();
    rustls::ClientConnection::new(config, name)
        .unwrap()
        .write_tls(&mut greeting)
        .unwrap();
    greeting
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_handshakes_by_the_hundred_cost_who_plays_nothing() {
    let server = TestServer::start(open(CARD)).await;
    let link = server.link().clone();
    let mut over_tls = Raw::connect(&link).await;
    let mut over_quic = TestViewer::start(tunnelcast::config::Watch {
        ways: Ways::Only(Kind::Quic),
        ..watch(&link)
    });
    over_quic.connected().await;
    over_tls.frame().await;
    let before = play(&mut over_tls, 75).await;

    // Hundreds that send a byte now and then, from three addresses, and as many that send nothing.
    let greeting = greeting(&link);
    let mut slow = JoinSet::new();
    for n in 0..=254_u8 {
        let (link, greeting) = (link.clone(), greeting.clone());
        slow.spawn(async move {
            let from = Ipv4Addr::new(127, 0, 1, 1 + n % 3);
            let _silent = tcp_from(&link, from).await;
            let mut tcp = tcp_from(&link, from).await;
            for byte in greeting.iter().cycle() {
                if tcp.write_all(&[*byte]).await.is_err() {
                    return;
                }
                time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let during = play(&mut over_tls, 75).await;
    assert_eq!((before.breaks, during.breaks), (0, 0));
    // The machine may be busy with other things, but not more so than before.
    assert!(
        during.left_out <= before.left_out + 15,
        "{before:?} and {during:?}"
    );
    // Somebody who means it is let in beside them, from one of their addresses as well.
    for from in [HERE, Ipv4Addr::new(127, 0, 1, 1)] {
        assert_eq!(page(&link, from).await, "HTTP/1.1 200 OK");
    }
    let summary = over_quic.stop().await;
    assert_eq!(summary.audio_lost, 0, "{summary:?}");
    assert_eq!(summary.switches, 0, "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_half_in_makes_way_for_the_next_and_for_nobody_else() {
    let mut config = open(CARD);
    config.bounds.door.handshakes = 20;
    config.bounds.door.handshakes_per_address = 5;
    let server = TestServer::start(config).await;
    let link = server.link();
    let mut viewer = Raw::connect(link).await;
    let mut patient = tcp_from(link, HERE).await;
    let mut crowd = Vec::new();
    for n in 0..200 {
        crowd.push(tcp_from(link, Ipv4Addr::new(127, 0, 2, 1 + n % 2)).await);
    }
    play(&mut viewer, 5).await;
    // 200 from two addresses have pushed out one another, and not the one from a third.
    let still_there = time::timeout(Duration::from_millis(200), patient.read(&mut [0])).await;
    assert!(still_there.is_err(), "{still_there:?}");
    for tcp in &mut crowd[..190] {
        let _reset = soon("its end", tcp.read(&mut [0])).await;
    }
    assert_eq!(page(link, HERE).await, "HTTP/1.1 200 OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_too_much_or_wants_nothing_is_sent_away_with_the_reason() {
    let mut config = open(CARD);
    config.bounds.session.idle = Some(Duration::from_millis(300));
    let server = TestServer::start(config).await;
    let link = server.link();
    let mut viewer = Raw::connect(link).await;
    let pings: Vec<u8> = (0..6000)
        .flat_map(|id| control(&ClientControl::Ping { id }).to_vec())
        .collect();
    // A kind of the future: each is skipped, but not for ever.
    let mut large = [&[200, 0, 0x3f, 0x00][..], &[0; 0x3f00]].concat();
    large = large.repeat(80);
    for (what, words) in [
        (pings, "more messages a second"),
        (large, "more bytes a second"),
    ] {
        let mut tls = tls_from(link, HERE).await;
        tls.write_all(UPGRADE).await.unwrap();
        tls.write_all(&hello()).await.unwrap();
        let (mut from, mut to) = tokio::io::split(tls);
        let talking = tokio::spawn(async move {
            let _cut = to.write_all(&what).await;
            let _cut = to.flush().await;
            to
        });
        let mut said = Vec::new();
        let _reset = soon("its end", from.read_to_end(&mut said)).await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(words), "{said}");
        drop(talking.await.unwrap());
    }
    let (code, reason) = goodbye(dial(link, &hello()).await).await;
    assert_eq!(code, CloseCode::Done, "{reason}");
    assert!(reason.contains("nothing was watched"), "{reason}");
    play(&mut viewer, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_cannot_be_guessed_nor_taken_with_its_name_alone() {
    let mut config = open(CARD);
    // Whoever is not taken for the viewer that is there has no place.
    config.max_viewers = 1;
    let server = TestServer::start(config).await;
    let link = server.link();
    let mut viewer = Raw::wanting(link, true, true).await;
    let session = loop {
        if let Event::Welcome(welcome) = viewer.event().await {
            break welcome.session;
        }
    };
    let knock = |session, secret| {
        control(&ClientControl::Hello(Hello {
            versions: vec![1],
            agent: Text::new("thief"),
            resume: Some(Resume { session, secret }),
            ..Hello::default()
        }))
    };
    for n in 0..64 {
        let secret = ResumeSecret::from_bytes([n; 32]);
        let guessed = match n % 2 {
            0 => session,
            _ => SessionId::from_bytes([n; 16]),
        };
        let (code, reason) = goodbye(dial(link, &knock(guessed, secret)).await).await;
        assert_eq!(code, CloseCode::Busy, "{reason}");
        play(&mut viewer, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_that_never_read_cost_little_and_nobody_else_anything() {
    let dir = tempfile::tempdir().unwrap();
    let card = "--video testcard:640x384@25";
    let (server, link) = Program::serve_with(dir.path(), 0, card, |command| {
        // Nobody of them has a token.
        command.env("TUNNELCAST_OPEN", "true");
    });
    let mut viewer = Raw::connect(&link).await;
    play(&mut viewer, 25).await;
    let before = memory(server.id());
    let mut deaf = Vec::new();
    for _ in 0..40 {
        let mut tls = tls_from(&link, HERE).await;
        let words = [UPGRADE, &hello(), &subscribe()].concat();
        tls.write_all(&words).await.unwrap();
        tls.flush().await.unwrap();
        deaf.push(tls);
    }
    let got = play(&mut viewer, 75).await;
    assert_eq!(got.breaks, 0, "{got:?}");
    if let (Some(before), Some(after)) = (before, memory(server.id())) {
        assert!(after < before + (40 << 20), "{before} became {after}");
    }
    // They say nothing either, so they are given up.
    for tls in &mut deaf {
        let _reset = soon("its end", tls.read_to_end(&mut Vec::new())).await;
    }
    still_plays(&link).await;
}

/// Bytes as one binary message of a viewer's WebSocket, under a mask that changes nothing.
fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0x82, 0xfe][..], &length, &[0; 4], bytes].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_vanishes_inside_a_websocket_after_any_byte_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    still_plays(&link).await;
    let before = memory(server.id());
    let policy = Policy::Pinned(link.pin.unwrap());
    let outer = client_config(policy.clone(), &link.host, link.port).unwrap();
    let inner = sealed_client_config(policy, &link.host, link.port).unwrap();
    let mut greeting = Vec::new();
    rustls::ClientConnection::new(inner, link.host.clone().try_into().unwrap())
        .unwrap()
        .write_tls(&mut greeting)
        .unwrap();
    let request = b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: tunnelcast\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let all = [&request[..], &message(&greeting)].concat();
    let outer = tokio_rustls::TlsConnector::from(outer);
    // Of the inner greeting, which is TLS's as in the other ways, after some.
    for end in (0..request.len() + 80).chain((request.len() + 80..=all.len()).step_by(13)) {
        let tcp = TcpStream::connect((link.host.as_str(), link.port))
            .await
            .unwrap();
        let name = link.host.clone().try_into().unwrap();
        let mut tls = soon("a handshake", outer.connect(name, tcp)).await.unwrap();
        tls.write_all(&all[..end]).await.unwrap();
        tls.flush().await.unwrap();
    }
    still_plays(&link).await;
    if let (Some(before), Some(after)) = (before, memory(server.id())) {
        assert!(after < before + (64 << 20), "{before} became {after}");
    }
    server.interrupt();
    let ended = server.end();
    assert_eq!(ended.status, Some(0), "{}", ended.words);
}

/// The first packet of QUIC, as a viewer would send it to this server.
async fn first_packet(link: &Link) -> Vec<u8> {
    let nobody = UdpSocket::bind((HERE, 0)).unwrap();
    let port = nobody.local_addr().unwrap().port();
    let policy = Policy::Pinned(link.pin.unwrap());
    let viewer = quic_client_config(policy, &link.host, port).unwrap();
    let dialing = tokio::spawn(async move {
        let target = dial::Target {
            host: "127.0.0.1",
            port,
            stream: "live",
            proxy: None,
        };
        let progress = watch::Sender::new(Progress::Silent);
        dial::quic(target, &viewer, b"x", Timeouts::default(), &progress).await
    });
    let packet = tokio::task::spawn_blocking(move || {
        let mut packet = vec![0; 2000];
        let n = nobody.recv(&mut packet).unwrap();
        packet.truncate(n);
        packet
    });
    let packet = soon("a packet", packet).await.unwrap();
    dialing.abort();
    packet
}

/// What quinn says when a handshake is given up, which it does not count among the three times that it may send.
const FAREWELL: usize = 200;

/// A socket that sends from an address that may be anybody's, and what comes back to it.
struct Spoofer {
    socket: tokio::net::UdpSocket,
    sent: usize,
}

impl Spoofer {
    async fn new(link: &Link) -> Self {
        let socket = tokio::net::UdpSocket::bind((HERE, 0)).await.unwrap();
        let server: SocketAddr = format!("{}:{}", link.host, link.port).parse().unwrap();
        socket.connect(server).await.unwrap();
        Self { socket, sent: 0 }
    }

    async fn send(&mut self, packet: &[u8]) {
        self.sent += self.socket.send(packet).await.unwrap();
    }

    /// All that comes until nothing has come for so long.
    async fn comes(&self, quiet: Duration) -> usize {
        let mut packet = [0; 2000];
        let mut all = 0;
        while let Ok(n) = time::timeout(quiet, self.socket.recv(&mut packet)).await {
            all += n.unwrap_or_default();
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_named_on_packets_that_he_did_not_send_gets_three_times_as_much_and_a_farewell() {
    let mut config = open(CARD);
    config.bounds.handshake = Duration::from_secs(3);
    let server = TestServer::start(config).await;
    let link = server.link();
    // He never answers; the server says it again and again until it gives up.
    let mut victim = Spoofer::new(link).await;
    victim.send(&first_packet(link).await).await;
    let back = victim.comes(Duration::from_secs(4)).await;
    println!(
        "before the address has shown to be his: {} bytes in, {back} out",
        victim.sent
    );
    assert!(
        back > 0 && back <= 3 * victim.sent + FAREWELL,
        "{} to {back}",
        victim.sent
    );

    // Many at once, each under another number: most are asked to show that the address is theirs, which takes less
    // than they have sent, and nothing is kept of them.
    let mut crowd = Spoofer::new(link).await;
    let mut packets = Vec::new();
    for _ in 0..128 {
        packets.push(first_packet(link).await);
    }
    let mut numbers = HashSet::new();
    for packet in &packets {
        numbers.insert(packet[6..14].to_vec());
        crowd.send(packet).await;
    }
    assert_eq!(numbers.len(), packets.len(), "each has a number of its own");
    let back = crowd.comes(Duration::from_secs(4)).await;
    println!("128 at once: {} bytes in, {back} out", crowd.sent);
    // Of each of those who are let in unseen, 64 at a time, one farewell.
    assert!(
        back <= 3 * crowd.sent + 64 * FAREWELL,
        "{} to {back}",
        crowd.sent
    );
    let mut viewer = TestViewer::start(tunnelcast::config::Watch {
        ways: Ways::Only(Kind::Quic),
        ..watch(link)
    });
    viewer.connected().await;
    viewer.frames(5).await;
    viewer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_vanishes_from_quic_after_any_byte_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    still_plays(&link).await;
    let before = memory(server.id());
    // In the first packet ...
    let packet = first_packet(&link).await;
    let mut cut = Spoofer::new(&link).await;
    for end in 1..=packet.len() {
        cut.send(&packet[..end]).await;
    }
    // ... and in what is said inside.
    let flight = [
        &hello()[..],
        &subscribe(),
        &control(&ClientControl::Ping { id: 1 }),
    ]
    .concat();
    let policy = Policy::Pinned(link.pin.unwrap());
    let viewer = quic_client_config(policy, &link.host, link.port).unwrap();
    for end in 1..=flight.len() {
        let target = dial::Target {
            host: &link.host,
            port: link.port,
            stream: &link.stream,
            proxy: None,
        };
        let progress = watch::Sender::new(Progress::Silent);
        let first = Bytes::copy_from_slice(&flight[..end]);
        let dialed = dial::quic(target, &viewer, &first, Timeouts::default(), &progress);
        drop(soon("a link", dialed).await.unwrap());
    }
    still_plays(&link).await;
    if let (Some(before), Some(after)) = (before, memory(server.id())) {
        assert!(after < before + (64 << 20), "{before} became {after}");
    }
    server.interrupt();
    let ended = server.end();
    assert_eq!(ended.status, Some(0), "{}", ended.words);
}
