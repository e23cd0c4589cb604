//! TLS from the viewer's side, with an eye on the first bytes: they tell who else might have answered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, ClientConfig, PeerIncompatible};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{DialError, Looks};
use crate::transport::link::RECORD;
use crate::trust::Rejection;

pub(super) async fn handshake(
    tcp: TcpStream,
    host: &str,
    config: Arc<ClientConfig>,
    silence: Duration,
    deadline: Instant,
    server: &str,
) -> Result<TlsStream<TcpStream>, DialError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| DialError::NoName {
        host: host.into(),
        source: io::ErrorKind::InvalidInput.into(),
    })?;
    // TLS's first message is taken out and written here, so that TLS itself does not read before we have looked.
    let mut greeting = Vec::new();
    let hello = TlsConnector::from(config).connect_with(name, tcp, |session| {
        session.set_buffer_limit(Some(RECORD));
        while session.wants_write() && session.write_tls(&mut greeting).is_ok() {}
    });
    let mut head = [0; HEAD];
    let look = async {
        match hello.get_ref() {
            Some(tcp) => {
                write(tcp, &greeting).await;
                tcp.peek(&mut head).await.unwrap_or(0)
            }
            None => 0,
        }
    };
    let hush = (Instant::now() + silence).min(deadline);
    let Ok(seen) = timeout_at(hush, look).await else {
        return Err(DialError::Silent {
            server: server.into(),
        });
    };
    let done = timeout_at(deadline, hello).await;
    let head = &head[..seen];
    match done {
        Ok(Ok(tls)) => Ok(tls),
        Ok(Err(error)) => Err(failed(error, head, server)),
        Err(_) if !head.is_empty() && !is_tls(head) => Err(DialError::NotTls {
            server: server.into(),
            looks: Looks::of(head),
        }),
        Err(_) => Err(DialError::Slow {
            server: server.into(),
        }),
    }
}

/// Writes all of it, unless the connection breaks, of which reading tells more.
async fn write(tcp: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() && tcp.writable().await.is_ok() {
        match tcp.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// What an error of the TLS stream means, given the first bytes that came (none, once TLS stands).
pub(super) fn failed(error: io::Error, head: &[u8], server: &str) -> DialError {
    let server = server.to_owned();
    if let Some(rejection) = Rejection::within(&error) {
        return DialError::Rejected {
            server,
            rejection: Box::new(rejection.clone()),
        };
    }
    if !head.is_empty() && !is_tls(head) {
        return DialError::NotTls {
            server,
            looks: Looks::of(head),
        };
    }
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        // All that we offer is TLS 1.3, so an older server finds nothing that it could agree to.
        Some(rustls::Error::AlertReceived(
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure,
        )) => DialError::OldTls { server },
        Some(rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )) => DialError::OldTls { server },
        Some(rustls::Error::AlertReceived(alert)) => DialError::Alert {
            server,
            alert: *alert,
        },
        Some(error) => DialError::Tls {
            server,
            source: error.clone(),
        },
        None => DialError::Lost {
            server,
            source: error,
        },
    }
}

/// Does it begin as every TLS record does (RFC 8446, 5.1: change_cipher_spec to application_data)?
fn is_tls(head: &[u8]) -> bool {
    matches!(head, [20..=23] | [20..=23, 3, ..])
}

/// Enough to tell what a stranger speaks.
const HEAD: usize = 32;
