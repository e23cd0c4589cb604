//! The inner TLS session: directly inside it come the session's bytes, without any HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::transport::base::Base;
use crate::transport::dial::DialError;
use crate::transport::incoming::AcceptError;
use crate::transport::link::{Link, RECORD};
use crate::transport::{First, Kind, first as binding};
use crate::trust::Rejection;

/// Seals `base` from the viewer's side, for the server that `config` accepts
/// ([`sealed_client_config`](crate::trust::sealed_client_config)).
///
/// `first`, at most 16 KiB, goes out together with the end of the handshake, and not before the server's key was
/// accepted. `server` is for errors: [`DialError::Rejected`] for another key, [`DialError::Unsealed`] otherwise.
pub(in crate::transport) async fn client(
    mut base: Base,
    kind: Kind,
    host: &str,
    config: Arc<ClientConfig>,
    first: &dyn First,
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
    // The end of the handshake waits for what can only be made when that is done.
    base.hold();
    let hello = TlsConnector::from(config).connect_with(name, base, |session| {
        session.set_buffer_limit(Some(RECORD));
    });
    let sealed = async {
        let mut tls = match hello.into_fallible().await {
            Ok(tls) => tls,
            Err((error, mut base)) => {
                base.let_go();
                // What the server is told of that is a courtesy.
                let _untold = base.flush().await;
                return Err(error);
            }
        };
        let session = tls.get_ref().1;
        let exporter = session.export_keying_material([0; 32], binding::LABEL, None);
        tls.write_all(&first.bytes(exporter.ok())).await?;
        tls.get_mut().0.let_go();
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
