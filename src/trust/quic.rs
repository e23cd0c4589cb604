//! How QUIC is spoken: with the keys, certificates and verdicts of TLS, under a name of its own.
//!
//! There is one cipher, because QUIC's library does not tell which was chosen of several. It is the one that our TLS
//! chooses as well. Nothing is sent before the handshake is done (0-RTT): that could be replayed.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::quic::Suite;
use rustls::server::ResolvesServerCert;
use rustls::{ClientConfig, ServerConfig};

use super::config::{client, provider, server};
use super::verify::Verifier;
use super::{Policy, Rejection, TrustError};

/// The protocol named inside QUIC.
pub const QUIC_ALPN: &[u8] = b"tunnelcast/1";

/// How a viewer speaks QUIC to one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct QuicClient {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
}

impl QuicClient {
    /// The part that TLS plays in it.
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// Why the server was not accepted, given how rustls has worded its failure: all that QUIC's library hands on.
    pub fn rejection(&self, worded: &str) -> Option<Rejection> {
        let refused = self.verifier.refused()?;
        let ours = rustls::Error::from(refused.clone()).to_string();
        (ours == worded).then_some(refused)
    }
}

/// How a viewer speaks QUIC to the server at `host` and `port`.
///
/// What is said of [`client_config`](super::client_config) is true of it as well.
pub fn quic_client_config(policy: Policy, host: &str, port: u16) -> Result<QuicClient, TrustError> {
    let provider = one_cipher();
    let verifier = Arc::new(Verifier::new(policy, host, port, &provider));
    let config = client(provider, Arc::clone(&verifier), QUIC_ALPN)?;
    Ok(QuicClient { config, verifier })
}

/// How a server speaks QUIC with these keys and certificates.
pub(super) fn server_config(
    keys: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, TrustError> {
    server(one_cipher(), keys, QUIC_ALPN)
}

/// The cipher that the standard prescribes for the first packets, which are secret from nobody (RFC 9001, 5.2).
pub fn quic_initial_suite() -> Option<Suite> {
    TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()
}

fn one_cipher() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![TLS13_AES_256_GCM_SHA384],
        ..Arc::unwrap_or_clone(provider())
    })
}

#[cfg(test)]
mod tests {
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls_pki_types::{ServerName, UnixTime};

    use super::super::{Identity, Pin};
    use super::*;

    #[test]
    fn a_rejection_is_found_by_its_words_and_by_no_others() {
        let wrong = Pin::from([7; 32]);
        let client = quic_client_config(Policy::Pinned(wrong), "cam", 443).unwrap();
        assert_eq!(client.rejection(""), None);
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([String::from("cam")]).unwrap();
        let cert = params.self_signed(&key).unwrap().der().clone();
        let name = ServerName::try_from("cam").unwrap();
        let error = client
            .verifier
            .verify_server_cert(&cert, &[], &name, &[], UnixTime::now())
            .unwrap_err();
        let found = client.rejection(&error.to_string());
        assert_eq!(found.as_ref(), Rejection::within(&error));
        assert!(found.is_some());
        assert_eq!(client.rejection("invalid peer certificate: Expired"), None);
    }

    #[test]
    fn both_sides_name_one_protocol_and_one_cipher() {
        let identity = Identity::fresh().unwrap();
        let client = quic_client_config(Policy::Pinned(identity.pin()), "cam", 443).unwrap();
        let (client, server) = (client.tls(), identity.quic_server_config());
        assert_eq!(client.alpn_protocols, [QUIC_ALPN]);
        assert_eq!(server.alpn_protocols, [QUIC_ALPN]);
        assert_eq!(client.crypto_provider().cipher_suites.len(), 1);
        assert_eq!(server.crypto_provider().cipher_suites.len(), 1);
        assert_eq!(server.max_early_data_size, 0);
        assert!(!client.enable_early_data);
        assert!(quic_initial_suite().is_some());
    }
}
