//! The ways to a server: which one wins, what is said of it, and what a way that loses datagrams does to the picture.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tunnelcast::{
    config::Watch,
    transport::{Kind, race::Ways},
    trust::Link,
};

use crate::pipes::jpeg;
use crate::support::{CARD, Program, TestServer, TestViewer, serve, watch};

fn over(link: &Link, kind: Kind) -> Watch {
    Watch {
        ways: Ways::Only(kind),
        ..watch(link)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_brings_picture_and_sound() {
    let server = TestServer::start(serve(CARD)).await;
    for kind in [Kind::Quic, Kind::Tls] {
        let mut viewer = TestViewer::start(over(server.link(), kind));
        let connected = viewer.connected().await;
        assert_eq!(connected.transport, kind.name());
        viewer.frames(20).await;
        let summary = viewer.stop().await;
        assert!(summary.audio_packets > 20, "{kind}: {summary:?}");
        assert_eq!(summary.frames_partial, 0, "{kind}: {summary:?}");
        assert_eq!(summary.audio_lost, 0, "{kind}: {summary:?}");
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_an_open_network_it_is_quic_and_without_it_tls_with_the_reason() {
    let server = TestServer::start(serve(CARD)).await;
    let mut viewer = TestViewer::start(watch(server.link()));
    let connected = viewer.connected().await;
    assert_eq!((connected.transport, connected.why), ("quic", None));
    viewer.stop().await;

    let mut config = serve(CARD);
    config.quic = false;
    let server = TestServer::start(config).await;
    let mut viewer = TestViewer::start(watch(server.link()));
    let connected = viewer.connected().await;
    assert_eq!(connected.transport, "tls");
    assert_eq!(connected.why.as_deref(), Some("UDP is refused here"));
    viewer.stop().await;

    let mut viewer = TestViewer::start(over(server.link(), Kind::Tls));
    let connected = viewer.connected().await;
    assert_eq!((connected.transport, connected.why), ("tls", None));
    viewer.stop().await;
}

/// Where something takes the packets and says nothing, that is remembered for the network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_udp_is_found_out_once() {
    let dir = TempDir::new().unwrap();
    let networks: PathBuf = dir.path().join("networks");
    let mut config = serve(CARD);
    config.quic = false;
    let server = TestServer::start(config).await;
    let _silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, server.link().port)).unwrap();
    let config = Watch {
        networks: Some(networks.clone()),
        ..watch(server.link())
    };
    let mut viewer = TestViewer::start(config.clone());
    let connected = viewer.connected().await;
    assert_eq!(connected.transport, "tls");
    assert_eq!(connected.why.as_deref(), Some("UDP is not answered here"));
    while !networks.exists() {
        viewer.frames(1).await;
    }
    viewer.stop().await;

    let mut viewer = TestViewer::start(config);
    let why = viewer.connected().await.why.unwrap();
    assert!(why.contains("found broken on this network"), "{why}");
    viewer.stop().await;
}

/// What is not a server of ours on UDP only loses the race.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_over_udp_only_loses_the_race() {
    let mut config = serve(CARD);
    config.quic = false;
    let server = TestServer::start(config).await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, server.link().port)).unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            // Its own words, then nothing that anybody said.
            let _ = socket.send_to(&packet[..length], from);
            let _ = socket.send_to(b"HTTP/1.1 400 Bad Request\r\n\r\n", from);
        }
    });
    let mut viewer = TestViewer::start(watch(server.link()));
    assert_eq!(viewer.connected().await.transport, "tls");
    viewer.frames(5).await;
    viewer.stop().await;
}

/// A relay that loses one packet in `one_in`, either way, once a connection stands.
async fn lossy(to: SocketAddr, one_in: u64) -> u16 {
    let port = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let local = port.local_addr().unwrap().port();
    let out = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    out.connect(to).await.unwrap();
    let (port, out) = (Arc::new(port), Arc::new(out));
    tokio::spawn(async move {
        let (mut viewer, mut seed, mut seen) = (None, 0x2545_f491_4f6c_dd1d_u64, 0_u64);
        let (mut up, mut down) = (vec![0; 2048], vec![0; 2048]);
        loop {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seen += 1;
            let lost = seen > 40 && seed.is_multiple_of(one_in);
            tokio::select! {
                Ok((length, from)) = port.recv_from(&mut up) => {
                    viewer = Some(from);
                    if !lost {
                        let _ = out.send(&up[..length]).await;
                    }
                }
                Ok(length) = out.recv(&mut down) => {
                    if let Some(viewer) = viewer && !lost {
                        let _ = port.send_to(&down[..length], viewer).await;
                    }
                }
            }
        }
    });
    local
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_whole_though_datagrams_are_lost() {
    let mut config = serve("testcard:640x360@30");
    config.linger = Duration::from_secs(5);
    let server = TestServer::start(config).await;
    let mut link = server.link().clone();
    link.port = lossy(([127, 0, 0, 1], link.port).into(), 50).await;
    let mut viewer = TestViewer::start(over(&link, Kind::Quic));
    viewer.connected().await;
    viewer.frames(90).await;
    let summary = viewer.stop().await;
    assert!(
        summary.frames_partial * 20 <= summary.frames_shown,
        "{summary:?}"
    );
    assert!(
        summary.audio_lost * 20 <= summary.audio_packets,
        "{summary:?}"
    );
    server.shutdown().await;
}

/// Whole JPEGs, each on a stream of its own.
#[test]
fn jpegs_go_over_quic_untouched() {
    let dir = TempDir::new().unwrap();
    let source = "--video pipe:- --audio tone";
    let (mut server, link) = Program::serve_with(dir.path(), 0, source, |command| {
        command.stdin(Stdio::piped());
    });
    let mut input = server.stdin();
    std::thread::spawn(move || {
        for luma in (0..=255).cycle() {
            if input.write_all(&jpeg(1280, 720, luma)).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(40));
        }
    });
    let viewer = Program::watch(&link, "--duration 3s --transport quic").end();
    assert_eq!(viewer.status, Some(0), "{viewer:?}");
    let summary = viewer.summary();
    assert_eq!(summary["transport"], "quic");
    assert!(summary["frames_shown"].as_u64().unwrap() > 25, "{summary}");
    assert_eq!(summary["frames_partial"], 0, "{summary}");
    server.interrupt();
    assert_eq!(server.end().status, Some(0));
}

/// A port on which TCP is taken and UDP is not is no port for a server.
#[test]
fn a_port_that_is_taken_by_half_is_refused_with_what_to_do() {
    let dir = TempDir::new().unwrap();
    let certs = dir.path().display().to_string();
    // Of TCP the same port may be another test's just now.
    let (_taken, port) = (0..20)
        .find_map(|_| {
            let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = taken.local_addr().unwrap().port();
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            Some((taken, port))
        })
        .unwrap();
    let serve = format!("serve --listen 127.0.0.1:{port} --video {CARD} --certs {certs}");
    let ended = Program::start(&serve).end();
    ended.says(2, "UDP");
    let mut server = Program::start(&format!("{serve} --no-quic"));
    assert_eq!(server.event("listening")["udp"], serde_json::json!([]));
    server.interrupt();
    assert_eq!(server.end().status, Some(0));
}
