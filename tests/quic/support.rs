//! A server, a viewer, and a way between them that can be cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::ServerConfig;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tunnelcast::transport::dial::{self, DialError, Progress, Target, Timeouts};
use tunnelcast::transport::quic::{Congestion, Endpoint};
use tunnelcast::transport::{Link, Ready};
use tunnelcast::trust::{Identity, Policy, QuicClient, quic_client_config};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// For peers that are meant to fail.
pub(crate) const SHORT: Timeouts = Timeouts {
    connect: SECOND,
    silence: SECOND,
    overall: Duration::from_secs(2),
};

/// A server on a port of its own, with a fresh identity.
pub(crate) struct Server {
    pub(crate) identity: Identity,
    pub(crate) endpoint: Endpoint,
}

impl Server {
    pub(crate) fn new() -> Self {
        let identity = Identity::fresh().unwrap();
        Self::with(identity.quic_server_config(), identity)
    }

    pub(crate) fn with(config: Arc<ServerConfig>, identity: Identity) -> Self {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            identity,
            endpoint: Endpoint::bind(local, &config, Congestion::default()).unwrap(),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.endpoint.local().port()
    }

    pub(crate) fn viewer(&self) -> QuicClient {
        quic_client_config(
            Policy::Pinned(self.identity.pin()),
            "127.0.0.1",
            self.port(),
        )
        .unwrap()
    }

    pub(crate) async fn link(&self) -> Link {
        let incoming = self.endpoint.accept().await;
        incoming.handshake(5 * SECOND).await.unwrap()
    }

    /// Both ends of a link that begins with `first`, which must not be empty.
    pub(crate) async fn pair(&self, first: &[u8]) -> (Link, Link) {
        let viewer = self.viewer();
        let dial = dial(self.port(), &viewer, first, Timeouts::default());
        let (server, viewer) = tokio::join!(self.link(), dial);
        (server, viewer.unwrap())
    }
}

/// Dials a port of this machine.
pub(crate) async fn dial(
    port: u16,
    config: &QuicClient,
    first: &[u8],
    timeouts: Timeouts,
) -> Result<Link, DialError> {
    let progress = watch::Sender::new(Progress::Silent);
    dial::quic(
        at("127.0.0.1", port),
        config,
        &Bytes::copy_from_slice(first),
        timeouts,
        &progress,
    )
    .await
}

pub(crate) const fn at(host: &str, port: u16) -> Target<'_> {
    Target {
        host,
        port,
        stream: "cam",
        proxy: None,
    }
}

/// What the link does next of itself.
pub(crate) async fn next(link: &mut Link) -> Ready {
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    link.ready(&mut got, &mut nothing).await.unwrap()
}

/// Reads until `wanted` bytes are there.
pub(crate) async fn read(link: &mut Link, wanted: usize) -> BytesMut {
    let (mut got, mut nothing) = (BytesMut::new(), BytesMut::new());
    while got.len() < wanted {
        link.ready(&mut got, &mut nothing).await.unwrap();
    }
    got
}

/// Writes all of it.
pub(crate) async fn write(link: &mut Link, bytes: &[u8]) {
    let (mut got, mut pending) = (BytesMut::new(), BytesMut::from(bytes));
    while !(pending.is_empty() && link.is_clear()) {
        link.ready(&mut got, &mut pending).await.unwrap();
    }
}

/// Carries packets between one viewer and a server.
pub(crate) struct Relay {
    port: u16,
    task: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        back.connect(server).await.unwrap();
        let port = front.local_addr().unwrap().port();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (mut up, mut down) = ([0; 2048], [0; 2048]);
            let mut viewer = None;
            loop {
                tokio::select! {
                    Ok((n, from)) = front.recv_from(&mut up) => {
                        viewer = Some(from);
                        let _ = back.send(&up[..n]).await;
                    }
                    Ok(n) = back.recv(&mut down) => {
                        if let Some(viewer) = viewer {
                            let _ = front.send_to(&down[..n], viewer).await;
                        }
                    }
                }
            }
        });
        Self { port, task }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Carries nothing from now on.
    pub(crate) async fn cut(mut self) {
        self.task.shutdown().await;
    }
}
