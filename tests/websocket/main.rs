//! Links over WebSocket: TLS inside TLS, over real sockets, with and without a box in between.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod hostile;
mod nginx;
mod support;

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tunnelcast::transport::dial::{DialError, Timeouts};
use tunnelcast::transport::forwarded::{Proxies, Range};
use tunnelcast::transport::{AcceptError, Kind, Link, Ready};
use tunnelcast::trust::{Pin, Policy, Rejection, Vouched, client_config, outer_client_config};

use support::{Inspector, Manner, PATIENCE, SECOND, Server, dial, read, soon, write};

#[tokio::test]
async fn bytes_go_both_ways_and_both_sides_know_what_they_speak() {
    let server = Server::new();
    let (mut there, mut here, outer) = server.pair(server.port(), b"").await;
    write(&mut here, b"to the server").await;
    assert_eq!(read(&mut there, 13).await, "to the server");
    write(&mut there, b"to the viewer").await;
    assert_eq!(read(&mut here, 13).await, "to the viewer");

    assert_eq!(here.kind(), Kind::WebSocket);
    assert_eq!(there.kind().to_string(), "websocket");
    assert!(here.cipher().starts_with("TLS_"), "{}", here.cipher());
    assert_eq!(here.cipher(), there.cipher());
    assert_eq!(here.server_key(), Some(server.identity.pin()));
    assert_eq!(there.server_key(), None);
    assert_eq!(here.peer().port(), server.port());
    assert!(there.peer().ip().is_loopback());
    // Nothing in between: the server's own certificate is the outer one as well.
    assert_eq!(outer.seen.pin, server.identity.pin());
    assert_eq!(outer.vouched, Vouched::Nobody);
}

#[tokio::test]
async fn the_first_bytes_arrive_all_of_them() {
    let server = Server::new();
    let first: Vec<u8> = (0..=255).cycle().take(16 * 1024).collect();
    let (mut there, mut here, _) = server.pair(server.port(), &first).await;
    assert_eq!(read(&mut there, first.len()).await, first);
    write(&mut here, b"and then these").await;
    assert_eq!(read(&mut there, 14).await, "and then these");
}

#[tokio::test]
async fn megabytes_in_both_directions_at_once_neither_stall_nor_get_mixed_up() {
    async fn exchange(mut link: Link, seed: u8) -> Link {
        let total = 3_000_000_usize;
        let byte = |at: usize, seed: u8| at.to_le_bytes()[0] ^ at.to_le_bytes()[1] ^ seed;
        let (mut sent, mut received) = (0, 0);
        let (mut got, mut pending) = (BytesMut::new(), BytesMut::new());
        while received < total || sent < total || !link.is_clear() || !pending.is_empty() {
            if link.is_clear() && pending.is_empty() && sent < total {
                let end = total.min(sent + 10_007);
                pending.extend((sent..end).map(|at| byte(at, seed)));
                sent = end;
            }
            // Cancelled over and over: nothing may be lost or come twice.
            let ready = link.ready(&mut got, &mut pending);
            let Ok(ready) = tokio::time::timeout(Duration::from_micros(50), ready).await else {
                continue;
            };
            if let Ready::Read(n) = ready.unwrap() {
                assert_eq!(n, got.len());
                let right = (received..)
                    .zip(got.iter())
                    .all(|(at, b)| *b == byte(at, !seed));
                assert!(right, "wrong bytes after {received}");
                received += n;
                got.clear();
            }
        }
        link
    }
    let server = Server::new();
    let inspector = Inspector::start(server.listener.local(), Manner::default()).await;
    for port in [server.port(), inspector.port] {
        let (there, here, _) = server.pair(port, b"").await;
        let both = async { tokio::join!(exchange(there, 0x55), exchange(here, 0xaa)) };
        drop(soon(both).await);
    }
}

#[tokio::test]
async fn a_shutdown_is_an_end_and_a_drop_is_an_error() {
    let server = Server::new();
    let inspector = Inspector::start(server.listener.local(), Manner::default()).await;
    for port in [server.port(), inspector.port] {
        let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
        let (a, b, _) = server.pair(port, b"").await;
        let (c, d, _) = server.pair(port, b"").await;
        for (mut there, here) in [(a, b), (d, c)] {
            let other = async {
                loop {
                    if there.ready(&mut got, &mut nothing).await.unwrap() == Ready::Eof {
                        break there.shutdown(b"too", PATIENCE).await;
                    }
                }
            };
            let both = async { tokio::join!(here.shutdown(b"bye", PATIENCE), other) };
            let (ended, other) = soon(both).await;
            ended.unwrap();
            other.unwrap();
            assert_eq!(got.split(), "bye");
        }
        let (mut there, here, _) = server.pair(port, b"").await;
        drop(here);
        assert!(soon(there.ready(&mut got, &mut nothing)).await.is_err());
        let (there, mut here, _) = server.pair(port, b"").await;
        drop(there);
        assert!(soon(here.ready(&mut got, &mut nothing)).await.is_err());
    }
}

#[tokio::test]
async fn a_link_needs_no_task() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let server = Server::new();
    let before = tasks();
    let (there, here, _) = server.pair(server.port(), b"x").await;
    assert_eq!(tasks(), before);
    drop((there, here));
}

#[tokio::test]
async fn a_box_that_inspects_is_named_and_sees_neither_the_first_bytes_nor_what_follows() {
    let server = Server::new();
    let inspector = Inspector::start(server.listener.local(), Manner::default()).await;
    let first = b"the token and the first words";
    let (mut there, mut here, outer) = server.pair(inspector.port, first).await;
    assert_eq!(read(&mut there, first.len()).await, &first[..]);
    write(&mut there, b"the picture").await;
    assert_eq!(read(&mut here, 11).await, "the picture");

    assert_eq!(here.server_key(), Some(server.identity.pin()));
    assert_eq!(outer.seen.issuer, "The Box");
    assert_ne!(outer.seen.pin, server.identity.pin());
    assert_eq!(outer.vouched, Vouched::Nobody);
    let seen = inspector.read.lock().unwrap().clone();
    let sees = |what: &[u8]| seen.windows(what.len()).any(|part| part == what);
    assert!(sees(b"GET /cam HTTP/1.1\r\nHost: 127.0.0.1:"));
    assert!(sees(b"User-Agent: tunnelcast/"));
    assert!(sees(b"101 Switching Protocols"));
    for secret in [&first[..], b"token", b"the picture"] {
        assert!(!sees(secret), "{}", String::from_utf8_lossy(secret));
    }
}

#[tokio::test]
async fn a_box_that_knows_nothing_newer_than_tls_12_carries_it_as_well() {
    let server = Server::new();
    let manner = Manner {
        speaks: &rustls::version::TLS12,
        ..Manner::default()
    };
    let inspector = Inspector::start(server.listener.local(), manner).await;
    let (mut there, here, _) = server.pair(inspector.port, b"x").await;
    assert_eq!(read(&mut there, 1).await, "x");
    // Inside it is what it always is.
    assert!(here.cipher().starts_with("TLS_AES") || here.cipher().starts_with("TLS_CHACHA"));
}

#[tokio::test]
async fn a_box_that_takes_out_upgrade_is_recognised_by_its_answer() {
    let server = Server::new();
    let manner = Manner {
        strips: true,
        ..Manner::default()
    };
    let inspector = Inspector::start(server.listener.local(), manner).await;
    let viewer = dial(
        inspector.port,
        server.identity.pin(),
        b"x",
        Timeouts::default(),
    );
    let error = tokio::select! {
        _ = server.link() => panic!("there was no request for a link"),
        done = soon(viewer) => done.unwrap_err(),
    };
    let DialError::Stripped { status, title, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*status, title.as_str()), (200, "tunnelcast"));
}

#[tokio::test]
async fn another_key_than_the_links_is_refused_inside_with_both_named() {
    let server = Server::new();
    let inspector = Inspector::start(server.listener.local(), Manner::default()).await;
    let wrong = Pin::from([9; 32]);
    for port in [server.port(), inspector.port] {
        let viewer = dial(port, wrong, b"secret", Timeouts::default());
        let both = async { tokio::join!(server.next(), viewer) };
        let (served, viewer) = soon(both).await;
        assert!(matches!(served, Err(AcceptError::Sealed(_))), "{served:?}");
        let error = viewer.unwrap_err();
        let Some(Rejection::OtherKey { expected, seen }) = error.rejection() else {
            panic!("{error}");
        };
        assert_eq!((*expected, seen.pin), (wrong, server.identity.pin()));
    }
}

/// What the server answers to a request in TLS.
async fn answer(server: &Server, request: &str) -> String {
    let policy = Policy::Pinned(server.identity.pin());
    let config = client_config(policy, "127.0.0.1", server.port()).unwrap();
    let asking = async {
        let tcp = TcpStream::connect(server.listener.local()).await.unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        let mut tls = TlsConnector::from(config).connect(name, tcp).await.unwrap();
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Cut, where it was a link.
        let _ = tls.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let serving = async {
        let served = server.next().await;
        assert!(!matches!(served, Ok(Some(_))));
    };
    let ((), answer) = soon(async { tokio::join!(serving, asking) }).await;
    answer
}

#[tokio::test]
async fn only_a_websocket_for_our_protocol_is_more_than_a_page() {
    let server = Server::new();
    let head = "GET /behind/a/prefix/cam HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade, close\r\nUpgrade: websocket\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (version, protocol) = (
        "Sec-WebSocket-Version: 13\r\n",
        "Sec-WebSocket-Protocol: chat, tunnelcast\r\n",
    );
    for fields in [
        format!("{key}{version}"),
        format!("{key}{protocol}"),
        format!("{version}{protocol}"),
        format!("Sec-WebSocket-Key: short\r\n{version}{protocol}"),
        format!("{key}{version}Sec-WebSocket-Protocol: chat\r\n"),
    ] {
        let page = answer(&server, &format!("{head}{fields}\r\n")).await;
        assert!(page.starts_with("HTTP/1.1 404 "), "{page}");
    }
    // Nothing of TLS follows, so it is no link either; but the answer was right.
    let request = format!("{head}{key}{version}{protocol}\r\n\0garbage");
    let upgraded = answer(&server, &request).await;
    assert!(upgraded.starts_with("HTTP/1.1 101 "), "{upgraded}");
    let upgraded = upgraded.to_ascii_lowercase();
    for field in [
        "upgrade: websocket\r\n",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
        "sec-websocket-protocol: tunnelcast\r\n",
    ] {
        assert!(upgraded.contains(field), "{upgraded}");
    }
}

/// What the kernel holds of a socket that is not acknowledged; what the peer's kernel took is.
#[cfg(target_os = "linux")]
fn queued(local: std::net::SocketAddr, peer: std::net::SocketAddr) -> usize {
    let end = |addr: std::net::SocketAddr| format!("0100007F:{:04X}", addr.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines
        .find(|words| words[1] == end(local) && words[2] == end(peer))
        .unwrap();
    let (sending, _) = line[4].split_once(':').unwrap();
    usize::from_str_radix(sending, 16).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_viewer_that_does_not_read_leaves_less_than_24_kib_unsent() {
    let server = Server::new();
    let (mut there, here, _) = server.pair(server.port(), b"").await;
    let mut got = BytesMut::new();
    // Until the viewer's kernel takes no more, and for a while after that.
    let fill = async {
        loop {
            let mut pending = BytesMut::from(&[7; 16 * 1024][..]);
            while !pending.is_empty() {
                there.ready(&mut got, &mut pending).await.unwrap();
            }
        }
    };
    let stalled = tokio::time::timeout(2 * SECOND, fill).await;
    assert!(stalled.is_err());
    let unsent = queued(here.peer(), there.peer());
    assert!(unsent <= 24 * 1024, "{unsent} bytes are unsent");
    drop(here);
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed_where_the_viewer_is() {
    let trusted: Proxies = ["127.0.0.0/8".parse::<Range>().unwrap()]
        .into_iter()
        .collect();
    for (proxies, by_header, by_request) in [
        (trusted, "192.0.2.9:4096", "198.51.100.7:0"),
        (Proxies::default(), "", "127.0.0.1"),
    ] {
        let mut server = Server::new();
        server.listener = server.listener.trusting(proxies);
        let config = server.identity.server_config();
        // In front of TLS.
        let asking = async {
            let mut tcp = TcpStream::connect(server.listener.local()).await.unwrap();
            tcp.write_all(b"PROXY TCP4 192.0.2.9 10.0.0.1 4096 443\r\n")
                .await
                .unwrap();
            let any = outer_client_config("127.0.0.1").unwrap().tls();
            let name = "127.0.0.1".try_into().unwrap();
            TlsConnector::from(any).connect(name, tcp).await.is_ok()
        };
        let taking = async {
            let incoming = server.listener.accept().await;
            incoming.handshake(config, 5 * SECOND).await
        };
        let (asked, taken) = soon(async { tokio::join!(asking, taking) }).await;
        assert_eq!(asked, taken.is_ok());
        let peer = taken.map_or_else(|_| String::new(), |taken| taken.peer().to_string());
        assert_eq!(peer, by_header);
        // In the request.
        let manner = Manner {
            adds: "X-Forwarded-For: 203.0.113.5, 198.51.100.7\r\n",
            ..Manner::default()
        };
        let inspector = Inspector::start(server.listener.local(), manner).await;
        let (there, _here, _) = server.pair(inspector.port, b"").await;
        let peer = there.peer().to_string();
        assert!(peer.starts_with(by_request), "{peer}");
    }
}
