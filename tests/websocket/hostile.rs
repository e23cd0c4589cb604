//! Peers that break WebSocket, or what is inside it, or off in the middle.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tunnelcast::transport::dial::{DialError, Timeouts};
use tunnelcast::transport::{AcceptError, Link};
use tunnelcast::trust::{Pin, outer_client_config};

use crate::support::{Inspector, Manner, SECOND, SHORT, Server, dial, foreign, soon};

/// Frames that nobody sends who means well; masked with zeros where the other side is a server.
fn bad_frames(mask: bool) -> Vec<Vec<u8>> {
    let frame = |head: &[u8], body: &[u8]| {
        let mut bytes = head.to_vec();
        if mask {
            bytes[1] |= 0x80;
            bytes.extend([0; 4]);
        }
        bytes.extend(body);
        bytes
    };
    let mut frames = vec![
        // Longer than any of ours: 64 KiB and a byte, and as long as can be said.
        frame(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1], &[]),
        frame(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255], &[]),
        // Text.
        frame(&[0x81, 2], b"hi"),
        // Reserved bits, unknown kinds, the rest of nothing, a ping in parts, a goodbye of one byte.
        frame(&[0xf2, 1], b"x"),
        frame(&[0x83, 1], b"x"),
        frame(&[0x8b, 1], b"x"),
        frame(&[0x80, 1], b"x"),
        frame(&[0x09, 1], b"x"),
        frame(&[0x88, 1], b"x"),
        // Well formed, but no TLS inside.
        frame(&[0x82, 5], b"hello"),
        // Parts that together are too long.
        (0..9)
            .flat_map(|part| {
                let kind = if part == 0 { 0x02 } else { 0x00 };
                frame(&[kind, 126, 0x20, 0], &[22; 0x2000])
            })
            .collect(),
    ];
    if mask {
        frames.push(vec![0x82, 5, b'h', b'e', b'l', b'l', b'o']);
    } else {
        frames.push(vec![0x82, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o']);
    }
    frames
}

/// A viewer whose request for a WebSocket has been granted.
async fn upgraded(server: &Server) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(server.listener.local()).await.unwrap();
    let config = outer_client_config("127.0.0.1").unwrap().tls();
    let name = "127.0.0.1".try_into().unwrap();
    let mut tls = TlsConnector::from(config).connect(name, tcp).await.unwrap();
    let head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: tunnelcast\r\n\r\n";
    tls.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tls.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    tls
}

#[tokio::test]
async fn a_viewer_that_sends_bad_frames_gets_no_link_and_hangs_nobody() {
    let server = Server::new();
    for bytes in bad_frames(true) {
        let viewer = async {
            let mut tls = upgraded(&server).await;
            // It may be gone before it has read everything.
            let _ = tls.write_all(&bytes).await;
            let _ = tls.read_to_end(&mut Vec::new()).await;
        };
        let both = async { tokio::join!(server.next(), viewer) };
        let (served, ()) = soon(both).await;
        assert!(
            matches!(served, Err(AcceptError::Sealed(_))),
            "{bytes:?}: {served:?}"
        );
    }
}

/// A box that upgrades to a WebSocket and then says `bytes`.
#[expect(clippy::disallowed_methods, reason = "the test waits for it")]
async fn upgrading(bytes: Vec<u8>) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let config = foreign(&rustls::version::TLS13);
        let mut tls = TlsAcceptor::from(config).accept(tcp).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tls.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.split("Sec-WebSocket-Key: ").nth(1).unwrap();
        let accept = derive_accept_key(&key.as_bytes()[..24]);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: tunnelcast\r\n\r\n"
        );
        tls.write_all(answer.as_bytes()).await.unwrap();
        let _ = tls.write_all(&bytes).await;
        let _ = tls.read_to_end(&mut Vec::new()).await;
    };
    (port, tokio::spawn(serve))
}

#[tokio::test]
async fn a_box_that_sends_bad_frames_ends_the_dialling_with_words() {
    for bytes in bad_frames(false) {
        let (port, serving) = upgrading(bytes.clone()).await;
        let dialling = dial(port, Pin::from([1; 32]), b"x", Timeouts::default());
        let error = soon(dialling).await.unwrap_err();
        assert!(
            matches!(error, DialError::Unsealed { .. }),
            "{bytes:?}: {error}"
        );
        soon(serving).await.unwrap();
    }
}

#[tokio::test]
async fn a_box_that_upgrades_and_then_holds_everything_back_is_given_up() {
    let (port, serving) = upgrading(Vec::new()).await;
    let error = soon(dial(port, Pin::from([1; 32]), b"x", SHORT))
        .await
        .unwrap_err();
    assert!(matches!(error, DialError::Unsealed { .. }), "{error}");
    soon(serving).await.unwrap();
}

#[tokio::test]
async fn a_viewer_that_upgrades_and_then_says_nothing_is_given_up() {
    let server = Server::new();
    let viewer = async {
        let mut tls = upgraded(&server).await;
        let _ = tls.read_to_end(&mut Vec::new()).await;
    };
    let serve = async {
        let incoming = server.listener.accept().await;
        let config = server.identity.server_config();
        let secured = incoming.handshake(config, 5 * SECOND).await.unwrap();
        let sealed = server.identity.sealed_server_config();
        secured.serve(sealed, SECOND / 5).await
    };
    let (served, ()) = soon(async { tokio::join!(serve, viewer) }).await;
    assert!(matches!(served, Err(AcceptError::Slow)), "{served:?}");
}

#[tokio::test]
async fn a_connection_cut_after_any_byte_ends_both_sides() {
    let server = Server::new();
    let local: SocketAddr = server.listener.local();
    // Beyond the requests, both flights of the inner handshake and the first bytes; most of it in steps.
    let cuts = (1..40).chain((40..4000).step_by(61));
    for cut in cuts {
        let manner = Manner {
            cut: Some(cut),
            ..Manner::default()
        };
        let inspector = Inspector::start(local, manner).await;
        let pin = server.identity.pin();
        let viewer = async {
            let (link, _) = dial(inspector.port, pin, b"first", Timeouts::default())
                .await
                .ok()?;
            Some(until_the_end(link).await)
        };
        let serve = async {
            let link = server.next().await.ok()??;
            Some(until_the_end(link).await)
        };
        let both = async { tokio::join!(viewer, serve) };
        let (here, there) = tokio::time::timeout(60 * SECOND, both)
            .await
            .unwrap_or_else(|_| panic!("it hangs when cut after {cut} bytes"));
        // Nobody said goodbye.
        assert_ne!(here, Some(true), "after {cut} bytes");
        assert_ne!(there, Some(true), "after {cut} bytes");
    }
}

/// Says something over and over until the link ends; whether it did so in good order.
async fn until_the_end(mut link: Link) -> bool {
    let (mut got, mut pending) = (BytesMut::new(), BytesMut::new());
    loop {
        if link.is_clear() && pending.is_empty() {
            pending.extend_from_slice(&[7; 1000]);
        }
        match link.ready(&mut got, &mut pending).await {
            Ok(tunnelcast::transport::Ready::Eof) => return true,
            Ok(_) => got.clear(),
            Err(_) => return false,
        }
    }
}

#[tokio::test]
async fn pings_and_goodbyes_are_answered() {
    let server = Server::new();
    let asking = async {
        let mut tls = upgraded(&server).await;
        tls.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i'])
            .await
            .unwrap();
        let mut pong = [0; 4];
        tls.read_exact(&mut pong).await.unwrap();
        assert_eq!(pong, [0x8a, 2, b'h', b'i']);
        tls.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
        let mut close = [0; 2];
        tls.read_exact(&mut close).await.unwrap();
        assert_eq!(close, [0x88, 0]);
    };
    let both = async { tokio::join!(server.next(), asking) };
    let (served, ()) = soon(both).await;
    assert!(matches!(served, Err(AcceptError::Sealed(_))), "{served:?}");
}
