//! TCP and UDP on one port number, so that one link says where both are.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;

use super::quic::{Congestion, Endpoint};
use super::{ListenError, Listener};

/// Listens for TLS and for QUIC on an address. Port 0 takes a number that is free for both.
///
/// `config` is from [`Identity::quic_server_config`](crate::trust::Identity::quic_server_config). Call inside tokio.
pub fn bind(
    addr: SocketAddr,
    config: &Arc<ServerConfig>,
    congestion: Congestion,
) -> Result<(Listener, Endpoint), ListenError> {
    pair(addr.port(), || Listener::bind(addr), config, congestion)
}

/// Listens for TLS and for QUIC on every address of this machine, as [`Listener::bind_all`] does.
pub fn bind_all(
    port: u16,
    config: &Arc<ServerConfig>,
    congestion: Congestion,
) -> Result<(Listener, Endpoint), ListenError> {
    pair(port, || Listener::bind_all(port), config, congestion)
}

fn pair(
    asked: u16,
    listen: impl Fn() -> Result<Listener, ListenError>,
    config: &Arc<ServerConfig>,
    congestion: Congestion,
) -> Result<(Listener, Endpoint), ListenError> {
    // Kept until a number is found, so that the system gives another one each time.
    let mut taken = Vec::new();
    loop {
        let listener = listen()?;
        match Endpoint::bind(listener.local(), config, congestion) {
            Err(ListenError::InUse { .. }) if asked == 0 && taken.len() < TRIES => {
                taken.push(listener);
            }
            done => return done.map(|endpoint| (listener, endpoint)),
        }
    }
}

/// Hardly any UDP port is taken of those that are given out.
const TRIES: usize = 16;

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;
    use crate::trust::Identity;

    #[tokio::test]
    async fn a_number_that_udp_does_not_have_is_not_taken() {
        let config = Identity::fresh().unwrap().quic_server_config();
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // What the system gives first is taken from UDP before it can be had.
        let squatters = std::sync::Mutex::new(Vec::new());
        let listen = || {
            let listener = Listener::bind(local)?;
            let mut squatters = squatters.lock().unwrap();
            if squatters.len() < 3 {
                squatters.push(match UdpSocket::bind(listener.local()) {
                    // Somebody else on this machine was there before.
                    Err(err) if err.kind() == io::ErrorKind::AddrInUse => None,
                    bound => Some(bound.unwrap()),
                });
            }
            Ok(listener)
        };
        let (listener, endpoint) = pair(0, listen, &config, Congestion::default()).unwrap();
        assert_eq!(listener.local(), endpoint.local());
        assert_eq!(squatters.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_udp_port_in_use_is_named_where_that_number_was_asked_for() {
        let config = Identity::fresh().unwrap().quic_server_config();
        let squatter = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = squatter.local_addr().unwrap();
        let error = bind(addr, &config, Congestion::default()).unwrap_err();
        let text = error.to_string();
        let words = format!("UDP port {} on 127.0.0.1 is in use", addr.port());
        assert!(text.starts_with(&words), "{text}");
    }
}
