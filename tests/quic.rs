//! Links over QUIC, over real UDP sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "quic/support.rs"]
mod support;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::watch;
use tunnelcast::transport::dial::{self, DialError, Progress, Timeouts};
use tunnelcast::transport::quic::{Congestion, Endpoint};
use tunnelcast::transport::{AcceptError, Kind, Link, Ready, both};
use tunnelcast::trust::{
    Identity, Pin, Policy, QuicClient, Rejection, client_config, quic_client_config,
};

use support::{Relay, SECOND, SHORT, Server, at, dial, next, read, write};

#[tokio::test]
async fn bytes_go_both_ways_and_both_sides_know_what_they_speak() {
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"first").await;
    assert_eq!(read(&mut there, 5).await, "first");
    write(&mut here, b"to the server").await;
    assert_eq!(read(&mut there, 13).await, "to the server");
    write(&mut there, b"to the viewer").await;
    assert_eq!(read(&mut here, 13).await, "to the viewer");

    assert_eq!(here.kind(), Kind::Quic);
    assert_eq!(here.kind().to_string(), "quic");
    assert_eq!(here.cipher(), "TLS_AES_256_GCM_SHA384");
    assert_eq!(there.cipher(), here.cipher());
    assert_eq!(here.server_key(), Some(server.identity.pin()));
    assert_eq!(there.server_key(), None);
    assert_eq!(here.peer(), server.endpoint.local());
}

#[tokio::test]
async fn the_first_bytes_arrive_all_of_them() {
    let server = Server::new();
    let first: Vec<u8> = (0..=255).cycle().take(16 * 1024).collect();
    let (mut there, mut here) = server.pair(&first).await;
    assert_eq!(read(&mut there, first.len()).await, first);
    write(&mut here, b"and then these").await;
    assert_eq!(read(&mut there, 14).await, "and then these");
}

#[tokio::test]
async fn megabytes_in_both_directions_at_once_neither_stall_nor_get_mixed_up() {
    async fn exchange(link: &mut Link, seed: u8) {
        let total = 1_000_000_usize;
        let byte = |at: usize, seed: u8| at.to_le_bytes()[0] ^ at.to_le_bytes()[1] ^ seed;
        let (mut sent, mut received) = (0, 0);
        let (mut got, mut pending) = (BytesMut::new(), BytesMut::new());
        while received < total || sent < total || !pending.is_empty() {
            if pending.is_empty() && sent < total {
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
    }
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"x").await;
    read(&mut there, 1).await;
    tokio::join!(exchange(&mut there, 0x55), exchange(&mut here, 0xaa));
}

#[tokio::test]
async fn datagrams_go_both_ways() {
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"x").await;
    read(&mut there, 1).await;
    assert!(here.datagram_room().unwrap() > 1000);
    assert!(here.send_datagram(Bytes::from_static(b"up")));
    assert!(there.send_datagram(Bytes::from_static(b"down")));
    let (up, down) = tokio::join!(next(&mut there), next(&mut here));
    assert_eq!(up, Ready::Datagram(Bytes::from_static(b"up")));
    assert_eq!(down, Ready::Datagram(Bytes::from_static(b"down")));

    let most = here.datagram_room().unwrap();
    assert!(!here.send_datagram(vec![0; most + 1].into()), "too long");
}

#[tokio::test]
async fn as_many_datagrams_as_there_is_room_for_all_arrive() {
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"x").await;
    read(&mut there, 1).await;
    let mut count = 0_u32;
    for _ in 0..3 {
        // Nobody sends meanwhile, so that it must come to an end.
        while let Some(room @ 1..) = there.datagram_room() {
            let mut datagram = BytesMut::zeroed(room);
            (&mut datagram[..4]).put_u32(count);
            assert!(there.send_datagram(datagram.freeze()));
            count += 1;
        }
        assert_eq!(there.datagram_room(), Some(0));
        assert!(!there.send_datagram(Bytes::from_static(&[0; 1000])));
        let arrived = async {
            for _ in 0..count {
                assert!(matches!(next(&mut here).await, Ready::Datagram(_)));
            }
        };
        let (room, ()) = tokio::join!(next(&mut there), arrived);
        assert_eq!(room, Ready::Room);
        assert!(there.datagram_room() > Some(0));
        count = 0;
    }
}

#[tokio::test]
async fn a_frame_arrives_whole_with_its_head_before_it() {
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"x").await;
    read(&mut there, 1).await;
    for length in [0, 1, 100_000, 16 * 1024 * 1024] {
        assert!(there.frame_room());
        there.send_frame(Bytes::from_static(b"head"), vec![7; length].into());
        assert!(!there.frame_room());
        let (written, frame) = tokio::join!(next(&mut there), next(&mut here));
        assert_eq!(written, Ready::Room);
        assert!(there.frame_room());
        let Ready::Frame(frame) = frame else {
            panic!("{frame:?}");
        };
        assert_eq!(frame.len(), 4 + length);
        assert!(frame.starts_with(b"head"));
        assert!(frame[4..].iter().all(|byte| *byte == 7));
    }
}

#[tokio::test]
async fn a_newer_frame_takes_the_place_of_the_one_that_is_being_written() {
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"x").await;
    read(&mut there, 1).await;
    // Longer than what the viewer takes while nobody reads there.
    there.send_frame(Bytes::from_static(b"old"), vec![1; 8 << 20].into());
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    let stuck = there.ready(&mut got, &mut nothing);
    let stuck = tokio::time::timeout(Duration::from_millis(200), stuck).await;
    assert!(stuck.is_err(), "{stuck:?}");
    // One that has not begun gives way as well. The newest is so long that there is time for the others to come.
    there.send_frame(Bytes::from_static(b"older"), vec![2; 1000].into());
    there.send_frame(Bytes::from_static(b"new"), vec![3; 8 << 20].into());
    let (written, frame) = tokio::join!(next(&mut there), next(&mut here));
    assert_eq!(written, Ready::Room);
    assert!(matches!(frame, Ready::Frame(frame) if frame.starts_with(b"new\x03")));
    // And nothing of them comes later.
    there.send_frame(Bytes::from_static(b"last"), Bytes::new());
    let (written, frame) = tokio::join!(next(&mut there), next(&mut here));
    assert_eq!(written, Ready::Room);
    assert_eq!(frame, Ready::Frame(Bytes::from_static(b"last")));
}

#[tokio::test]
async fn a_frame_beyond_all_measure_is_dropped_and_the_next_comes() {
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"x").await;
    read(&mut there, 1).await;
    there.send_frame(Bytes::new(), vec![1; 17 << 20].into());
    let sender = async {
        // It is stopped, which ends the writing of it.
        assert_eq!(next(&mut there).await, Ready::Room);
        there.send_frame(Bytes::new(), Bytes::from_static(b"small"));
        assert_eq!(next(&mut there).await, Ready::Room);
    };
    let ((), frame) = tokio::join!(sender, next(&mut here));
    assert_eq!(frame, Ready::Frame(Bytes::from_static(b"small")));
}

#[tokio::test]
async fn many_frames_in_a_row_come_in_order_or_not_at_all() {
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"x").await;
    read(&mut there, 1).await;
    let sender = async {
        for number in 0..100_u8 {
            there.send_frame(Bytes::from(vec![number]), vec![number; 20_000].into());
            assert_eq!(next(&mut there).await, Ready::Room);
        }
        write(&mut there, b"end").await;
    };
    let receiver = async {
        let mut last = None;
        while last < Some(99) {
            if let Ready::Frame(frame) = next(&mut here).await {
                assert_eq!(frame.len(), 20_001);
                assert!(last < Some(frame[0]), "{last:?} before {}", frame[0]);
                last = Some(frame[0]);
            }
        }
    };
    tokio::join!(sender, receiver);
}

#[tokio::test]
async fn a_shutdown_is_an_end_and_a_drop_is_an_error() {
    let server = Server::new();
    let (mut there, here) = server.pair(b"x").await;
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    let other = async {
        loop {
            if there.ready(&mut got, &mut nothing).await.unwrap() == Ready::Eof {
                break there.shutdown(b"", SECOND).await;
            }
        }
    };
    let (ended, other) = tokio::join!(here.shutdown(b" bye", 5 * SECOND), other);
    ended.unwrap();
    other.unwrap();
    assert_eq!(got, "x bye");

    let (mut there, here) = server.pair(b"y").await;
    read(&mut there, 1).await;
    drop(here);
    assert!(there.ready(&mut got, &mut nothing).await.is_err());
}

#[tokio::test]
async fn the_last_bytes_are_read_even_after_the_goodbye() {
    let server = Server::new();
    let (there, mut here) = server.pair(b"x").await;
    there.shutdown(b"last words", 5 * SECOND).await.unwrap();
    // Only now does the viewer look.
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    while here.ready(&mut got, &mut nothing).await.unwrap() != Ready::Eof {}
    assert_eq!(got, "last words");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_peer_that_has_vanished() {
    let server = Server::new();
    let relay = Relay::start(server.endpoint.local()).await;
    let viewer = server.viewer();
    let dial = dial(relay.port(), &viewer, b"x", Timeouts::default());
    let (there, here) = tokio::join!(server.link(), dial);
    relay.cut().await;
    for link in [there, here.unwrap()] {
        let error = link
            .shutdown(b"bye", Duration::from_millis(100))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
}

#[tokio::test]
async fn a_link_goes_on_from_another_address() {
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"x").await;
    read(&mut there, 1).await;
    let before = there.peer();
    here.rebind().unwrap();
    write(&mut here, b"from elsewhere").await;
    assert_eq!(read(&mut there, 14).await, "from elsewhere");
    write(&mut there, b"to there").await;
    assert_eq!(read(&mut here, 8).await, "to there");
    assert_ne!(there.peer(), before);
    assert!(there.rebind().is_err());
}

#[tokio::test]
async fn another_key_than_the_links_is_refused_in_the_same_words_as_over_tls() {
    let identity = Identity::fresh().unwrap();
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = identity.quic_server_config();
    let (listener, endpoint) = both::bind(local, &config, Congestion::default()).unwrap();
    let port = endpoint.local().port();
    let wrong = Policy::Pinned(Pin::from([9; 32]));

    let serve = async { endpoint.accept().await.handshake(SECOND).await };
    let viewer = quic_client_config(wrong.clone(), "127.0.0.1", port).unwrap();
    let (served, over_quic) = tokio::join!(serve, dial(port, &viewer, b"x", SHORT));
    assert!(matches!(served, Err(AcceptError::Quic(_))), "{served:?}");
    let over_quic = over_quic.unwrap_err();
    let Some(Rejection::OtherKey { seen, .. }) = over_quic.rejection() else {
        panic!("{over_quic}");
    };
    assert_eq!(seen.pin, identity.pin());

    let serve = async {
        let incoming = listener.accept().await;
        incoming.handshake(identity.server_config(), SECOND).await
    };
    let viewer = client_config(wrong, "127.0.0.1", port).unwrap();
    let over_tls = dial::tls(at("127.0.0.1", port), viewer, b"x", SHORT);
    let (_, over_tls) = tokio::join!(serve, over_tls);
    assert_eq!(over_quic.to_string(), over_tls.unwrap_err().to_string());
}

#[tokio::test]
async fn a_port_on_which_nobody_listens_is_refused() {
    let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let viewer = pinned(Pin::from([1; 32]), port);
    let progress = watch::Sender::new(Progress::Silent);
    let target = at("127.0.0.1", port);
    let error = dial::quic(target, &viewer, b"x", Timeouts::default(), &progress)
        .await
        .unwrap_err();
    assert!(matches!(error, DialError::Refused { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "127.0.0.1:{port}/udp refused the connection: nothing listens on that port; is the server running?"
        )
    );
    assert_eq!(*progress.borrow(), Progress::Refused);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_told_from_one_that_says_nonsense() {
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let port = socket.local_addr().unwrap().port();
    let viewer = pinned(Pin::from([1; 32]), port);
    let short = Timeouts {
        connect: Duration::from_millis(200),
        overall: Duration::from_millis(600),
        ..SHORT
    };
    let progress = watch::Sender::new(Progress::Silent);
    let target = at("127.0.0.1", port);
    let error = dial::quic(target, &viewer, b"x", short, &progress).await;
    let error = error.unwrap_err();
    assert!(matches!(error, DialError::TimedOut { .. }), "{error}");
    assert_eq!(*progress.borrow(), Progress::Silent);

    let nonsense = async {
        let mut buffer = [0; 2048];
        loop {
            let (_, from) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(b"nonsense", from).await.unwrap();
        }
    };
    let error = tokio::select! {
        () = nonsense => unreachable!(),
        done = dial::quic(target, &viewer, b"x", short, &progress) => done.unwrap_err(),
    };
    assert!(matches!(error, DialError::Unfinished { .. }), "{error}");
    assert_eq!(*progress.borrow(), Progress::Heard);
}

#[tokio::test]
async fn a_server_of_another_protocol_is_not_ours() {
    let identity = Identity::fresh().unwrap();
    for alpn in [Vec::new(), vec![b"h3".to_vec()]] {
        let mut config = (*identity.quic_server_config()).clone();
        config.alpn_protocols = alpn;
        let server = Server::with(Arc::new(config), identity.clone());
        let serve = async { server.endpoint.accept().await.handshake(SECOND).await };
        let viewer = server.viewer();
        let dial = dial(server.port(), &viewer, b"x", SHORT);
        let (served, viewer) = tokio::join!(serve, dial);
        assert!(matches!(served, Err(AcceptError::Quic(_))), "{served:?}");
        let error = viewer.unwrap_err();
        assert!(matches!(error, DialError::NotOurs { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_for_those_who_come_after_it() {
    let server = Server::new();
    let (mut there, mut here) = server.pair(b"x").await;
    let renewed = Identity::fresh().unwrap();
    server.identity.adopt(&renewed);
    let later = pinned(renewed.pin(), server.port());
    let dial = dial(server.port(), &later, b"y", Timeouts::default());
    let (_there, later) = tokio::join!(server.link(), dial);
    assert_eq!(later.unwrap().server_key(), Some(renewed.pin()));
    write(&mut here, b"z").await;
    assert_eq!(read(&mut there, 2).await, "xz");
}

#[tokio::test]
async fn a_viewer_who_says_nothing_is_not_waited_for() {
    let server = Server::new();
    let viewer = server.viewer();
    let dial = dial(server.port(), &viewer, b"", Timeouts::default());
    let serve = async {
        let incoming = server.endpoint.accept().await;
        incoming.handshake(Duration::from_millis(200)).await
    };
    let (served, here) = tokio::join!(serve, dial);
    assert!(matches!(served, Err(AcceptError::Slow)), "{served:?}");
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    assert!(here.unwrap().ready(&mut got, &mut nothing).await.is_err());
}

#[tokio::test]
async fn tls_and_quic_are_reached_under_one_number() {
    let identity = Identity::fresh().unwrap();
    let config = identity.quic_server_config();
    let (listener, endpoint) = both::bind_all(0, &config, Congestion::default()).unwrap();
    assert_eq!(listener.local(), endpoint.local());
    let port = endpoint.local().port();
    let mut hosts = vec!["127.0.0.1"];
    hosts.extend(endpoint.local().is_ipv6().then_some("::1"));
    for host in hosts {
        let policy = Policy::Pinned(identity.pin());
        let over_quic = quic_client_config(policy.clone(), host, port).unwrap();
        let progress = watch::Sender::new(Progress::Silent);
        let target = at(host, port);
        let dial = dial::quic(target, &over_quic, b"q", Timeouts::default(), &progress);
        let serve = async { endpoint.accept().await.handshake(5 * SECOND).await.unwrap() };
        let (mut there, here) = tokio::join!(serve, dial);
        assert_eq!(read(&mut there, 1).await, "q");
        assert_eq!(here.unwrap().kind(), Kind::Quic);
        assert_eq!(*progress.borrow(), Progress::Heard);

        let over_tls = client_config(policy, host, port).unwrap();
        let dial = dial::tls(target, over_tls, b"t", Timeouts::default());
        let serve = async {
            let incoming = listener.accept().await;
            let config = identity.server_config();
            let secured = incoming.handshake(config, 5 * SECOND).await.unwrap();
            secured
                .serve(identity.sealed_server_config(), 5 * SECOND)
                .await
                .unwrap()
                .unwrap()
        };
        let (mut there, here) = tokio::join!(serve, dial);
        assert_eq!(read(&mut there, 1).await, "t");
        assert_eq!(here.unwrap().kind(), Kind::Tls);
    }
}

#[tokio::test]
async fn every_way_of_minding_the_network_carries_a_frame() {
    for congestion in [Congestion::Cubic, Congestion::NewReno, Congestion::Bbr] {
        let identity = Identity::fresh().unwrap();
        let config = identity.quic_server_config();
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server {
            endpoint: Endpoint::bind(local, &config, congestion).unwrap(),
            identity,
        };
        let (mut there, mut here) = server.pair(b"x").await;
        read(&mut there, 1).await;
        there.send_frame(Bytes::new(), vec![1; 1 << 20].into());
        let (_, frame) = tokio::join!(next(&mut there), next(&mut here));
        assert!(matches!(frame, Ready::Frame(frame) if frame.len() == 1 << 20));
    }
}

fn pinned(pin: Pin, port: u16) -> QuicClient {
    quic_client_config(Policy::Pinned(pin), "127.0.0.1", port).unwrap()
}
