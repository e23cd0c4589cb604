//! A viewer moves between ways while it plays: UDP dies and comes back, a connection is cut, and nobody notices.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;
use tunnelcast::client::{News, Switched};

use crate::support::{CARD, TestServer, TestViewer, serve, watch};

/// Stands between a viewer and a server, TCP and UDP on one port.
pub(crate) struct Between {
    port: u16,
    udp: Arc<AtomicBool>,
    tcp: Arc<AtomicBool>,
    cut: Arc<std::sync::Mutex<CancellationToken>>,
}

impl Between {
    pub(crate) async fn start(server: u16) -> Self {
        let (listener, socket) = loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await {
                break (listener, socket);
            }
        };
        let between = Self {
            port: listener.local_addr().unwrap().port(),
            udp: Arc::new(AtomicBool::new(true)),
            tcp: Arc::new(AtomicBool::new(true)),
            cut: Arc::default(),
        };
        let (open, cut) = (Arc::clone(&between.tcp), Arc::clone(&between.cut));
        tokio::spawn(async move {
            loop {
                let (mut viewer, _) = listener.accept().await.unwrap();
                if !open.load(Ordering::Relaxed) {
                    continue;
                }
                viewer.set_nodelay(true).unwrap();
                let cut = cut.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut to = TcpStream::connect((Ipv4Addr::LOCALHOST, server))
                        .await
                        .unwrap();
                    to.set_nodelay(true).unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut viewer, &mut to) => {}
                        () = cut.cancelled() => {}
                    }
                });
            }
        });
        tokio::spawn(relay(socket, server, Arc::clone(&between.udp)));
        between
    }

    /// Where it listens.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// UDP passes, or is dropped without a word.
    pub(crate) fn udp(&self, passes: bool) {
        self.udp.store(passes, Ordering::Relaxed);
    }

    /// Cuts what there is of TCP, and lets nothing new through, or again.
    pub(crate) fn tcp(&self, passes: bool) {
        self.tcp.store(passes, Ordering::Relaxed);
        let cut = std::mem::take(&mut *self.cut.lock().unwrap());
        cut.cancel();
    }
}

/// Carries packets, each viewer's address over a socket of its own.
async fn relay(socket: UdpSocket, server: u16, open: Arc<AtomicBool>) {
    let socket = Arc::new(socket);
    let mut ways = std::collections::HashMap::new();
    let mut packet = vec![0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut packet).await {
        let out = match ways.get(&from) {
            Some(out) => Arc::clone(out),
            None => {
                let out = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                out.connect((Ipv4Addr::LOCALHOST, server)).await.unwrap();
                let out = Arc::new(out);
                ways.insert(from, Arc::clone(&out));
                let (back, socket, open) =
                    (Arc::clone(&out), Arc::clone(&socket), Arc::clone(&open));
                tokio::spawn(async move {
                    let mut packet = vec![0; 2048];
                    while let Ok(length) = back.recv(&mut packet).await {
                        if open.load(Ordering::Relaxed) {
                            let _ = socket.send_to(&packet[..length], from).await;
                        }
                    }
                });
                out
            }
        };
        if open.load(Ordering::Relaxed) {
            let _ = out.send(&packet[..length]).await;
        }
    }
}

async fn switched(viewer: &mut TestViewer) -> Switched {
    loop {
        let news = viewer.news().await.expect("it goes on");
        if let News::Switched(switched) = news {
            return switched;
        }
        assert!(!matches!(news, News::Word(_)), "{news:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn udp_that_dies_is_left_and_taken_again_when_it_is_back() {
    let mut server = TestServer::start(serve(CARD)).await;
    let between = Between::start(server.link().port).await;
    let mut link = server.link().clone();
    link.port = between.port;
    let mut viewer = TestViewer::start(watch(&link));
    assert_eq!(viewer.connected().await.transport, "quic");
    // Until TLS stands by.
    viewer.frames(50).await;
    between.udp(false);
    let down = switched(&mut viewer).await;
    assert_eq!((down.from, down.to), ("quic", "tls"), "{down:?}");
    viewer.frames(30).await;
    between.udp(true);
    let up = switched(&mut viewer).await;
    assert_eq!((up.from, up.to), ("tls", "quic"), "{up:?}");
    viewer.frames(30).await;
    let summary = viewer.stop().await;
    println!("{down:?} {up:?}");
    // To the server it was one viewer all the time.
    let mut told = vec![server.notice().await];
    while !told.iter().any(|line| line.starts_with("viewer 1 left")) {
        told.push(server.notice().await);
    }
    let mut viewers = told.iter().filter(|line| line.starts_with("viewer"));
    assert!(
        viewers.all(|line| line.starts_with("viewer 1 ")),
        "{told:?}"
    );
    assert_eq!(summary.switches, 2);
    assert_eq!(summary.transport.as_deref(), Some("quic"));
    assert_eq!(summary.audio_lost, 0, "{summary:?}");
    server.shutdown().await;
}

/// The picture is on TLS since UDP never got through; when it does, the viewer finds out by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_began_over_tls_moves_to_quic_when_udp_gets_through() {
    let server = TestServer::start(serve(CARD)).await;
    let between = Between::start(server.link().port).await;
    between.udp(false);
    let mut link = server.link().clone();
    link.port = between.port;
    let mut viewer = TestViewer::start(watch(&link));
    assert_eq!(viewer.connected().await.transport, "tls");
    between.udp(true);
    let up = switched(&mut viewer).await;
    assert_eq!((up.from, up.to), ("tls", "quic"), "{up:?}");
    viewer.frames(10).await;
    let summary = viewer.stop().await;
    assert_eq!(summary.audio_lost, 0, "{summary:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_is_cut_changes_nothing_and_is_there_again_when_it_is_needed() {
    let server = TestServer::start(serve(CARD)).await;
    let between = Between::start(server.link().port).await;
    let mut link = server.link().clone();
    link.port = between.port;
    let mut viewer = TestViewer::start(watch(&link));
    viewer.connected().await;
    viewer.frames(50).await;
    between.tcp(false);
    between.tcp(true);
    viewer.frames(50).await;
    between.udp(false);
    let down = switched(&mut viewer).await;
    assert_eq!(down.to, "tls");
    viewer.frames(20).await;
    let summary = viewer.stop().await;
    assert_eq!(
        (summary.switches, summary.audio_lost),
        (1, 0),
        "{summary:?}"
    );
    server.shutdown().await;
}

/// Nothing gets through for a while: it is said, and it goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_both_are_dead_the_viewer_waits_and_goes_on() {
    let server = TestServer::start(serve(CARD)).await;
    let between = Between::start(server.link().port).await;
    let mut link = server.link().clone();
    link.port = between.port;
    let mut viewer = TestViewer::start(watch(&link));
    viewer.connected().await;
    viewer.frames(50).await;
    between.udp(false);
    between.tcp(false);
    viewer.disconnected().await;
    between.udp(true);
    between.tcp(true);
    viewer.frames(20).await;
    viewer.stop().await;
    server.shutdown().await;
}
