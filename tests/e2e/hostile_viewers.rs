//! Peers that break every rule at the server. It says so, forgets them, and plays on for everybody else.

use std::{io::Write as _, net::TcpStream as StdStream, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tunnelcast::{
    config::Serve,
    media::{AudioCodec, AudioPacket, MediaTime},
    transport::{Link, Ready},
    trust::{self, Policy, client_config},
    wire::{
        CellsWriter, ClientControl, CloseCode, Deframer, Hello, Kind, Message, Moment,
        ServerControl, Text, limits::MAX_BODY,
    },
};

use crate::support::{CARD, Program, TestServer, TestViewer, dial, memory, serve, soon, watch};

/// Where anybody may watch, so that every one of these is let in.
fn open() -> Serve {
    let mut config = serve(CARD);
    config.access.open = true;
    config
}

pub(crate) fn hello() -> BytesMut {
    control(&ClientControl::Hello(Hello {
        versions: vec![1],
        agent: Text::new("hostile"),
        ..Hello::default()
    }))
}

pub(crate) fn control(control: &ClientControl) -> BytesMut {
    let mut out = BytesMut::new();
    control.encode(&mut out).unwrap();
    out
}

pub(crate) fn subscribe() -> BytesMut {
    control(&ClientControl::Subscribe {
        stream: "live".parse().unwrap(),
        video: true,
        audio: true,
        max_bps: None,
    })
}

/// A message with this body, whatever it holds.
fn message(kind: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::from(&[kind, 0][..]);
    out.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// Reads until the server's goodbye and the end of the link behind it.
pub(crate) async fn goodbye(mut link: Link) -> (CloseCode, String) {
    let (mut inbox, mut nothing) = (BytesMut::new(), BytesMut::new());
    let mut deframer = Deframer::new();
    let mut said = None;
    loop {
        match soon("a goodbye", link.ready(&mut inbox, &mut nothing)).await {
            Ok(Ready::Read(_)) => {}
            Ok(Ready::Wrote(_) | Ready::Datagram(_) | Ready::Frame(_) | Ready::Room) => continue,
            Ok(Ready::Eof) => return said.expect("a goodbye before the end"),
            Err(err) => panic!("cut: {err}"),
        }
        deframer.push(&mut inbox);
        while let Some(raw) = deframer.pull().unwrap() {
            assert!(said.is_none(), "nothing comes behind a goodbye");
            if raw.kind == Kind::Control as u8
                && let ServerControl::Goodbye { code, reason } =
                    ServerControl::decode(&raw.body).unwrap()
            {
                said = Some((code, reason.as_str().to_owned()));
            }
        }
    }
}

/// After all that: a viewer like any other.
pub(crate) async fn still_plays(link: &trust::Link) {
    let mut viewer = TestViewer::start(watch(link));
    viewer.connected().await;
    viewer.frames(5).await;
    viewer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_breaks_the_protocol_is_told_how_and_sent_away() {
    let server = TestServer::start(open()).await;
    let moment = Moment {
        rung: 1,
        frame: 1,
        capture: MediaTime::ZERO,
    };
    let mut cells = BytesMut::new();
    CellsWriter::begin(&mut cells, moment, 0, b"cell").unwrap();
    let mut audio = BytesMut::new();
    Message::Audio(AudioPacket {
        codec: AudioCodec::Opus,
        seq: 1,
        capture: MediaTime::ZERO,
        duration: Duration::from_millis(20),
        bytes: b"sound"[..].into(),
    })
    .encode(&mut audio)
    .unwrap();
    let [hello, subscribe] = [hello(), subscribe()];
    let ping = control(&ClientControl::Ping { id: 1 });
    let after = |bytes: &[u8]| [&hello, bytes].concat();
    for (first, words) in [
        (vec![0, 0, 0xff, 0xff], "more than 16380"),
        (after(&[0, 0, 0x40, 0x00, 0, 0, 0]), "more than 16380"),
        (vec![0xff; 4000], ""),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), ""),
        (message(0, b"abc").to_vec(), ""),
        (message(0, b"").to_vec(), ""),
        (message(0, &[b'['; MAX_BODY]).to_vec(), ""),
        (message(0, &b"{\"a\":".repeat(2000)).to_vec(), ""),
        (subscribe.to_vec(), "no hello"),
        (ping.to_vec(), "no hello"),
        (after(&hello), "second hello"),
        (after(&cells), "from a viewer"),
        (after(&[&subscribe[..], &cells].concat()), "from a viewer"),
        (after(&audio), "from a viewer"),
        (after(&message(2, b"short")), ""),
        (after(&message(0, b"{\"type\":\"subscribe\"}")), ""),
    ] {
        let shown = first.escape_ascii().to_string();
        let link = dial(server.link(), &first).await;
        let (code, reason) = goodbye(link).await;
        assert_eq!(code, CloseCode::Misbehaved, "{shown}: {reason}");
        assert!(reason.contains(words), "{shown}: {reason}");
    }
    still_plays(server.link()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_of_the_future_has_nothing_in_common() {
    let server = TestServer::start(open()).await;
    let hello = control(&ClientControl::Hello(Hello {
        versions: vec![2, 99],
        agent: Text::new("later"),
        ..Hello::default()
    }));
    let (code, reason) = goodbye(dial(server.link(), &hello).await).await;
    assert_eq!(code, CloseCode::Incompatible, "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_and_fields_of_the_future_are_skipped() {
    let mut server = TestServer::start(open()).await;
    let first = [
        &hello()[..],
        &message(200, b"what is this?"),
        &message(0, b"{\"type\":\"dance\",\"partner\":7}"),
        &message(
            0,
            b"{\"type\":\"subscribe\",\"stream\":\"live\",\"colour\":\"blue\",\"video\":true}",
        ),
    ]
    .concat();
    let _link = dial(server.link(), &first).await;
    server.until("viewer 1 watching").await;
}

/// Whoever connects and says nothing, or too little, is not waited for: in TCP, in TLS, in HTTP, in the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_or_a_byte_at_a_time_is_given_up_at_every_layer() {
    let server = TestServer::start(open()).await;
    let link = server.link().clone();
    let silent_tcp = async {
        let mut tcp = tcp(&link).await;
        let _reset = soon("its end", tcp.read_to_end(&mut Vec::new())).await;
    };
    let slow_tls = async {
        let mut tcp = tcp(&link).await;
        // The start of a record of a handshake that would be long.
        drip(&mut tcp, b"\x16\x03\x01\x20\x00\x01").await;
    };
    let silent_http = async {
        let mut tls = tls(&link).await;
        let _reset = soon("its end", tls.read_to_end(&mut Vec::new())).await;
    };
    let slow_http = async {
        drip(&mut tls(&link).await, b"GET / HTTP/1.1\r\nHost: x\r\nX: ").await;
    };
    let silent_session = async {
        let (code, reason) = goodbye(dial(&link, b"").await).await;
        assert_eq!(code, CloseCode::Silent, "{reason}");
    };
    let slow_session = async {
        let mut tls = tls(&link).await;
        tls.write_all(UPGRADE).await.unwrap();
        // A control message of 16 KiB, of which it will never see the end.
        drip(&mut tls, &[0, 0, 0x3f, 0xf0]).await;
    };
    tokio::join!(
        silent_tcp,
        slow_tls,
        silent_http,
        slow_http,
        silent_session,
        slow_session
    );
    still_plays(&link).await;
}

/// Sends the bytes and then blanks, one at a time, until the other side ends the connection.
async fn drip(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) {
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    let mut bytes = bytes.iter().copied();
    soon("its end", async {
        loop {
            let mut heard = [0; 4096];
            tokio::select! {
                read = stream.read(&mut heard) => match read {
                    Ok(n) if n > 0 => {}
                    _ => return,
                },
                _ = pace.tick() => {
                    let byte = bytes.next().unwrap_or(b' ');
                    if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anything_but_tls_is_shown_the_door_and_a_browser_a_page() {
    let server = TestServer::start(open()).await;
    for rubbish in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.7\r\n",
        &[0; 3000],
        &[0x16, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff],
    ] {
        let mut tcp = tcp(server.link()).await;
        tcp.write_all(rubbish).await.unwrap();
        tcp.shutdown().await.unwrap();
        let _reset = soon("its end", tcp.read_to_end(&mut Vec::new())).await;
    }
    for (request, answer) in [
        (
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK",
        ),
        (
            "GET /../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 404",
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 405",
        ),
        ("nonsense\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let mut tls = tls(server.link()).await;
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut page = Vec::new();
        let _cut = soon("a page", tls.read_to_end(&mut page)).await;
        let page = String::from_utf8_lossy(&page);
        assert!(page.starts_with(answer), "{request}: {page}");
    }
    // A head that never ends is not kept.
    let mut tls = tls(server.link()).await;
    tls.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let line = [b"X: "[..].to_vec(), vec![b'y'; 1000], b"\r\n".to_vec()].concat();
    while tls.write_all(&line).await.is_ok() && tls.flush().await.is_ok() {}
    still_plays(server.link()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_vanishes_after_any_byte_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, link) = Program::serve(dir.path(), &format!("--video {CARD}"));
    still_plays(&link).await;
    let before = memory(server.id());

    // In TLS's own first message ...
    let mut greeting = Vec::new();
    let config = client_config(Policy::Pinned(link.pin.unwrap()), &link.host, link.port).unwrap();
    let name = link.host.clone().try_into().unwrap();
    rustls::ClientConnection::new(config, name)
        .unwrap()
        .write_tls(&mut greeting)
        .unwrap();
    for end in 0..greeting.len() {
        let mut tcp = StdStream::connect((link.host.as_str(), link.port)).unwrap();
        tcp.write_all(&greeting[..end]).unwrap();
    }
    // ... and in what is said inside it.
    let flight = [
        UPGRADE,
        &hello(),
        &subscribe(),
        &control(&ClientControl::Ping { id: 1 }),
    ]
    .concat();
    let shared = connector(&link);
    for end in 0..=flight.len() {
        let mut tls = tls_by(&shared, &link).await;
        tls.write_all(&flight[..end]).await.unwrap();
        tls.flush().await.unwrap();
    }
    still_plays(&link).await;
    let after = memory(server.id());
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + (64 << 20), "{before} became {after}");
    }
    // Every viewer that was told as watching has left again.
    server.event_where(|event| event["event"] == "source" && event["state"] == "idle");
    server.interrupt();
    let server = server.end();
    assert_eq!(server.status, Some(0), "{}", server.words);
    let count = |state: &str| {
        let is = |event: &&serde_json::Value| event["state"] == state;
        server.events.iter().filter(is).count()
    };
    assert_eq!(count("watching"), count("left"));
}

async fn tcp(link: &trust::Link) -> TcpStream {
    TcpStream::connect((link.host.as_str(), link.port))
        .await
        .unwrap()
}

fn connector(link: &trust::Link) -> TlsConnector {
    let policy = Policy::Pinned(link.pin.unwrap());
    TlsConnector::from(client_config(policy, &link.host, link.port).unwrap())
}

async fn tls(link: &trust::Link) -> TlsStream<TcpStream> {
    tls_by(&connector(link), link).await
}

async fn tls_by(connector: &TlsConnector, link: &trust::Link) -> TlsStream<TcpStream> {
    let name = link.host.clone().try_into().unwrap();
    let handshake = connector.connect(name, tcp(link).await);
    soon("a handshake", handshake).await.unwrap()
}

pub(crate) const UPGRADE: &[u8] =
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tunnelcast\r\n\r\n";
