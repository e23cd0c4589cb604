//! TLS from the viewer's side, with an eye on the first bytes: they tell who else might have answered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, ClientConfig, PeerIncompatible};
use rustls_pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{DialError, Looks};
use crate::transport::base::Base;
use crate::transport::link::RECORD;
use crate::trust::Rejection;

pub(super) async fn handshake(
    mut base: Base,
    host: &str,
    config: Arc<ClientConfig>,
    silence: Duration,
    deadline: Instant,
    server: &str,
) -> Result<TlsStream<Base>, DialError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| DialError::NoName {
        host: host.into(),
        source: io::ErrorKind::InvalidInput.into(),
    })?;
    let head = base.head();
    let mut hello = TlsConnector::from(config).connect_with(name, base, |session| {
        session.set_buffer_limit(Some(RECORD));
    });
    let hush = (Instant::now() + silence).min(deadline);
    let done = match timeout_at(hush, &mut hello).await {
        Ok(done) => done,
        Err(_) if head.bytes().is_empty() => {
            return Err(DialError::Silent {
                server: server.into(),
            });
        }
        Err(_) if !is_tls(head.bytes()) => {
            return Err(DialError::NotTls {
                server: server.into(),
                looks: Looks::of(head.bytes()),
            });
        }
        Err(_) => timeout_at(deadline, hello)
            .await
            .map_err(|_| DialError::Slow {
                server: server.into(),
            })?,
    };
    done.map_err(|error| failed(error, head.bytes(), server))
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
