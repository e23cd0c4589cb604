//! TLS with the proxy itself.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Proxy, ProxyError};
use crate::transport::base::Base;
use crate::trust::{Rejection, printable, proxy_client_config};

/// Speaks TLS over a connection to the proxy.
pub(super) async fn over(tcp: TcpStream, proxy: &Proxy) -> Result<Base, ProxyError> {
    let config = config(proxy)?;
    let name = ServerName::try_from(proxy.host.clone()).map_err(|_| ProxyError::NoName {
        proxy: proxy.name(),
        source: io::ErrorKind::InvalidInput.into(),
    })?;
    let tls = TlsConnector::from(config).connect(name, tcp).await;
    tls.map(Base::nested)
        .map_err(|error| failed(error, proxy.name()))
}

fn config(proxy: &Proxy) -> Result<Arc<ClientConfig>, ProxyError> {
    if let Some(config) = proxy.tls.get() {
        return Ok(Arc::clone(config));
    }
    let config = proxy_client_config().map_err(|error| ProxyError::Tls {
        proxy: proxy.name(),
        why: printable(&error.to_string(), 200),
    })?;
    Ok(Arc::clone(proxy.tls.get_or_init(|| config)))
}

fn failed(error: io::Error, proxy: String) -> ProxyError {
    if let Some(rejection) = Rejection::within(&error) {
        return match rejection {
            Rejection::Untrusted { seen, why } => ProxyError::Untrusted {
                proxy,
                issuer: seen.issuer.clone(),
                why: why.clone(),
            },
            // Of pins and known servers, which proxies have none of.
            Rejection::OtherKey { .. }
            | Rejection::Changed { .. }
            | Rejection::Private { .. }
            | Rejection::Damaged => ProxyError::Tls {
                proxy,
                why: String::from("its certificate is damaged"),
            },
        };
    }
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => ProxyError::NotTls { proxy },
        Some(error) => ProxyError::Tls {
            proxy,
            why: printable(&error.to_string(), 200),
        },
        None => ProxyError::Lost {
            proxy,
            source: error,
        },
    }
}
