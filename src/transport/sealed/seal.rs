//! The inner TLS session: directly inside it come the session's bytes, without any HTTP.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::transport::Kind;
use crate::transport::base::Base;
use crate::transport::dial::DialError;
use crate::transport::incoming::AcceptError;
use crate::transport::link::{Link, RECORD};
use crate::trust::Rejection;

/// Seals `base` from the viewer's side, for the server that `config` accepts
/// ([`sealed_client_config`](crate::trust::sealed_client_config)).
///
/// `first`, at most 16 KiB, goes out together with the end of the handshake, and not before the server's key was
/// accepted. `server` is for errors: [`DialError::Rejected`] for another key, [`DialError::Unsealed`] otherwise.
pub(in crate::transport) async fn client(
    base: Base,
    kind: Kind,
    host: &str,
    config: Arc<ClientConfig>,
    first: &[u8],
    deadline: Instant,
    server: &str,
) -> Result<Link, DialError> {
    let failed = |source: io::Error| match Rejection::within(&source) {
        Some(rejection) => DialError::Rejected {
            server: server.into(),
            rejection: Box::new(rejection.clone()),
        },
        None => DialError::Unsealed {
            server: server.into(),
            kind,
            source,
        },
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
    let peer = base.peer().map_err(failed)?;
    let mut early = 0;
    let hello = TlsConnector::from(config).connect_with(name, base, |session| {
        session.set_buffer_limit(Some(RECORD));
        // Kept inside until the handshake is done.
        early = session.writer().write(first).unwrap_or_default();
    });
    let sealed = async {
        let mut tls = hello.await?;
        // Nothing, unless it was more than is kept.
        tls.write_all(first.get(early..).unwrap_or_default())
            .await?;
        tls.flush().await?;
        Ok(tls)
    };
    let tls = timeout_at(deadline, sealed)
        .await
        .map_err(io::Error::from)
        .flatten()
        .map_err(failed)?;
    Ok(Link::tls(tls.into(), BytesMut::new(), peer, kind))
}

/// Seals `base` from the server's side ([`Identity::sealed_server_config`](crate::trust::Identity::sealed_server_config)),
/// for the viewer at `peer`, within `within`.
pub(in crate::transport) async fn server(
    base: Base,
    kind: Kind,
    peer: SocketAddr,
    config: Arc<ServerConfig>,
    within: Duration,
) -> Result<Link, AcceptError> {
    let accept = TlsAcceptor::from(config)
        .accept_with(base, |session| session.set_buffer_limit(Some(RECORD)));
    let tls = timeout(within, accept)
        .await
        .map_err(|_| AcceptError::Slow)?
        .map_err(AcceptError::Sealed)?;
    Ok(Link::tls(tls.into(), BytesMut::new(), peer, kind))
}
