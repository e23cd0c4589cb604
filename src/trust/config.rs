//! How TLS is spoken: version 1.3 only, aws-lc-rs, a protocol named inside, resumption.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::ResolvesServerCert;
use rustls::version::TLS13;
use rustls::{ClientConfig, NamedGroup, ServerConfig};

use super::verify::Verifier;
use super::{Policy, TrustError};

/// The protocol named inside TLS: what follows starts as HTTP/1.1, and is honest about it.
pub const ALPN: &[u8] = b"http/1.1";

/// The protocol named where TLS is inside a connection that ends elsewhere: what follows are the session's bytes.
pub const SEALED_ALPN: &[u8] = super::quic::QUIC_ALPN;

/// How a viewer speaks to the server at `host` and `port`.
///
/// Keep it for as long as that server is used: it holds the tickets that make the next connection cheaper. It reads
/// the system's trust store from disk when the policy needs it. Fails only if TLS cannot be set up at all.
///
/// The first message offers a key exchange that a quantum computer does not break (X25519MLKEM768), which makes it longer
/// than a packet; [`classical_client_config`] is for networks that lose such messages. Whoever only this system vouches
/// for is [`Rejection::Private`](super::Rejection::Private): behind the same policy such a server is to be sought
/// [inside](sealed_client_config) the connection.
pub fn client_config(
    policy: Policy,
    host: &str,
    port: u16,
) -> Result<Arc<ClientConfig>, TrustError> {
    direct(hybrid(), policy, host, port)
}

/// The same with a first message that fits into a packet.
pub fn classical_client_config(
    policy: Policy,
    host: &str,
    port: u16,
) -> Result<Arc<ClientConfig>, TrustError> {
    direct(provider(), policy, host, port)
}

fn direct(
    provider: Arc<CryptoProvider>,
    policy: Policy,
    host: &str,
    port: u16,
) -> Result<Arc<ClientConfig>, TrustError> {
    let verifier = Verifier::new(policy, host, port, &provider).wary();
    client(provider, Arc::new(verifier), ALPN)
}

/// How a viewer speaks to the server at `host` and `port` inside a connection that ends elsewhere.
///
/// What is said of [`client_config`] is true of it as well.
pub fn sealed_client_config(
    policy: Policy,
    host: &str,
    port: u16,
) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = hybrid();
    let verifier = Arc::new(Verifier::new(policy, host, port, &provider));
    client(provider, verifier, SEALED_ALPN)
}

/// How a viewer speaks with these ciphers and this judge of servers.
pub(super) fn client(
    provider: Arc<CryptoProvider>,
    verifier: Arc<Verifier>,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>, TrustError> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}

/// How a server speaks with these keys and certificates.
pub fn server_config(keys: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, TrustError> {
    server(hybrid(), keys, ALPN)
}

/// How a server speaks with these keys and certificates inside a connection that ends elsewhere.
pub(super) fn sealed_server_config(
    keys: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, TrustError> {
    server(hybrid(), keys, SEALED_ALPN)
}

/// How a server speaks with these ciphers.
pub(super) fn server(
    provider: Arc<CryptoProvider>,
    keys: Arc<dyn ResolvesServerCert>,
    alpn: &[u8],
) -> Result<Arc<ServerConfig>, TrustError> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(keys);
    config.alpn_protocols = vec![alpn.to_vec()];
    // Tickets hold the session themselves, so viewers who never return cost no memory; one each is enough.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// The one library of ciphers, always named, so that no other crate can choose another; and of those the ones of TLS 1.3,
/// since the older are there for outer connections alone.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_some());
    Arc::new(provider)
}

/// The same, preferring what a quantum computer does not break. Not for QUIC: there the first message had better be one
/// packet, which either arrives or does not.
fn hybrid() -> Arc<CryptoProvider> {
    let mut provider = Arc::unwrap_or_clone(provider());
    let groups = &mut provider.kx_groups;
    groups.sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768);
    Arc::new(provider)
}
