//! The ports: bound here, or handed over by whoever starts this program.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
    time::Duration,
};

use rustls::ServerConfig;
use tokio::time;
use tracing::warn;

use crate::{
    error::Error,
    transport::{self, ListenError, Listener, Protocol, quic},
    trust,
};

/// Sockets that somebody else has bound for us: systemd, which may take ports that we may not.
#[derive(Debug, Default)]
pub struct Sockets {
    /// They listen already.
    pub tcp: Vec<TcpListener>,
    /// For QUIC.
    pub udp: Vec<UdpSocket>,
}

impl Sockets {
    fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty()
    }
}

/// What viewers come to.
type Ports = (Vec<Listener>, Vec<quic::Endpoint>);

/// Where viewers come: over TLS, and, with `quic`, over QUIC on the same port numbers. What was handed over is taken
/// instead of the default port, and beside any that is named.
pub(super) async fn listen(
    addresses: &[SocketAddr],
    quic: Option<Arc<ServerConfig>>,
    sockets: Sockets,
) -> Result<Ports, Error> {
    if sockets.is_empty() {
        return patiently(addresses, quic).await;
    }
    let (mut listeners, mut endpoints) = match addresses {
        [] => Ports::default(),
        named => patiently(named, quic.clone()).await?,
    };
    if quic.is_some() && sockets.udp.is_empty() {
        warn!(
            "no UDP socket was handed over, so there is no QUIC: add ListenDatagram=443 beside ListenStream=443"
        );
    }
    for tcp in sockets.tcp {
        listeners.push(Listener::on(tcp).map_err(Error::Runtime)?);
    }
    for udp in sockets.udp {
        if let Some(quic) = &quic {
            let congestion = quic::Congestion::default();
            endpoints.push(quic::Endpoint::on(udp, quic, congestion).map_err(Error::Runtime)?);
        }
    }
    Ok((listeners, endpoints))
}

/// A server that was there a moment ago may still be saying goodbye over UDP, so that port is waited for, a little.
async fn patiently(
    addresses: &[SocketAddr],
    quic: Option<Arc<ServerConfig>>,
) -> Result<Ports, Error> {
    for _ in 0..TRIES {
        match bind(addresses, quic.clone()) {
            Err(Error::Listen(ListenError::InUse {
                protocol: Protocol::Udp,
                ..
            })) => time::sleep(BETWEEN).await,
            done => return done,
        }
    }
    bind(addresses, quic)
}

fn bind(addresses: &[SocketAddr], quic: Option<Arc<ServerConfig>>) -> Result<Ports, Error> {
    let Some(quic) = quic else {
        if addresses.is_empty() {
            return Ok((vec![Listener::bind_all(trust::DEFAULT_PORT)?], Vec::new()));
        }
        let bound: Result<Vec<Listener>, _> =
            addresses.iter().map(|addr| Listener::bind(*addr)).collect();
        return Ok((bound?, Vec::new()));
    };
    let congestion = quic::Congestion::default();
    if addresses.is_empty() {
        let (tcp, udp) = transport::both::bind_all(trust::DEFAULT_PORT, &quic, congestion)?;
        return Ok((vec![tcp], vec![udp]));
    }
    let bound: Result<Vec<(Listener, quic::Endpoint)>, _> = addresses
        .iter()
        .map(|addr| transport::both::bind(*addr, &quic, congestion))
        .collect();
    Ok(bound?.into_iter().unzip())
}

/// For a UDP port that is in use.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(50);
