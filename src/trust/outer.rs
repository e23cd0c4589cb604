//! How the outer connection is spoken, where another one, to the server's own key, is inside it.
//!
//! **Whatever certificate comes is accepted here**: a box that inspects shows its own, and so does a reverse proxy. The
//! connection is a carrier and keeps nothing secret: nothing may be written into it but an honest HTTP request and sealed
//! bytes. It is TLS all the same, since nothing else gets through, and what was shown is told ([`Outer`]).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::config::ALPN;
use super::verify::seen;
use super::{Rejection, Seen, TrustError};

/// How a viewer opens outer connections to one host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OuterClient {
    config: Arc<ClientConfig>,
    host: Arc<str>,
    /// Those whom every browser believes.
    public: Arc<RootCertStore>,
}

/// What an outer connection has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Its certificate.
    pub seen: Seen,
    /// Who answers for that certificate, under the name of the host.
    pub vouched: Vouched,
}

/// Who answers for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// Mozilla's authorities: the host's owner runs a reverse proxy there, or uses a CDN.
    Public,
    /// Only this system's trust store: an office's authority, so somebody inspects.
    Private,
    /// Nobody that is known here.
    Nobody,
}

impl OuterClient {
    /// How TLS is spoken: 1.3, or 1.2 since some boxes know nothing newer.
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// What to think of a connection that has shown these certificates, its own first; `None` if that is none.
    ///
    /// May read the system's trust store from disk.
    pub fn verdict(&self, chain: &[CertificateDer<'_>]) -> Option<Outer> {
        self.judge(chain, |end_entity, rest, name, now| {
            rustls_platform_verifier::Verifier::new(provider())
                .and_then(|system| system.verify_server_cert(end_entity, rest, name, &[], now))
                .is_ok()
        })
    }

    fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        by_system: impl FnOnce(
            &CertificateDer<'_>,
            &[CertificateDer<'_>],
            &ServerName<'_>,
            UnixTime,
        ) -> bool,
    ) -> Option<Outer> {
        let (end_entity, rest) = chain.split_first()?;
        let seen = seen(end_entity)?;
        let now = UnixTime::now();
        let vouched = match ServerName::try_from(&*self.host) {
            Ok(name) if is_public(&self.public, end_entity, rest, &name, now) => Vouched::Public,
            Ok(name) if by_system(end_entity, rest, &name, now) => Vouched::Private,
            _ => Vouched::Nobody,
        };
        Some(Outer { seen, vouched })
    }
}

/// Whether these authorities vouch for a certificate under this name.
pub(super) fn is_public(
    public: &Arc<RootCertStore>,
    end_entity: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    now: UnixTime,
) -> bool {
    WebPkiServerVerifier::builder_with_provider(Arc::clone(public), provider())
        .build()
        .is_ok_and(|public| {
            public
                .verify_server_cert(end_entity, rest, name, &[], now)
                .is_ok()
        })
}

/// Mozilla's.
pub(super) fn public_roots() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

/// How a viewer opens outer connections to `host`. Fails only if TLS cannot be set up at all.
pub fn outer_client_config(host: &str) -> Result<OuterClient, TrustError> {
    outer(host, public_roots())
}

fn outer(host: &str, public: RootCertStore) -> Result<OuterClient, TrustError> {
    let provider = provider();
    let carrier = Arc::new(Carrier {
        algorithms: provider.signature_verification_algorithms,
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(carrier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(OuterClient {
        config: Arc::new(config),
        host: host.into(),
        public: Arc::new(public),
    })
}

/// With the ciphers of TLS 1.2, which nothing else of ours has.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Accepts every certificate whose key signs the handshake.
#[derive(Debug)]
struct Carrier {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Carrier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match seen(end_entity) {
            Some(_) => Ok(ServerCertVerified::assertion()),
            None => Err(Rejection::Damaged.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::super::Pin;
    use super::*;

    /// An authority's certificate, and one for `cam` that it has signed.
    fn authority() -> (CertificateDer<'static>, CertificateDer<'static>) {
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name = rcgen::DistinguishedName::new();
        ca.distinguished_name
            .push(rcgen::DnType::CommonName, "Office");
        let root = ca.self_signed(&ca_key).unwrap().der().clone();
        let leaf = CertificateParams::new([String::from("cam")]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        (root, leaf.der().clone())
    }

    #[test]
    fn whoever_vouches_is_told_apart_and_only_under_the_hosts_name() {
        let (root, leaf) = authority();
        let mut public = RootCertStore::empty();
        public.add(root).unwrap();
        let chain = std::slice::from_ref(&leaf);
        let here = outer("cam", public.clone()).unwrap();
        let verdict = here.judge(chain, |_, _, _, _| panic!("need not be asked"));
        let verdict = verdict.unwrap();
        assert_eq!(verdict.vouched, Vouched::Public);
        assert_eq!(verdict.seen.pin, Pin::of_certificate(&leaf).unwrap());
        assert_eq!(verdict.seen.issuer, "Office");
        assert!(!verdict.seen.self_issued);

        let elsewhere = outer("example.org", public).unwrap();
        let vouched = |client: &OuterClient, system: bool| {
            let verdict = client.judge(chain, |_, _, _, _| system).unwrap();
            verdict.vouched
        };
        assert_eq!(vouched(&elsewhere, false), Vouched::Nobody);
        let real = outer_client_config("cam").unwrap();
        assert_eq!(vouched(&real, true), Vouched::Private);
        assert_eq!(vouched(&real, false), Vouched::Nobody);
        assert_eq!(real.verdict(chain).unwrap().vouched, Vouched::Nobody);
    }

    #[test]
    fn no_certificate_gives_no_verdict() {
        let client = outer_client_config("cam").unwrap();
        assert_eq!(client.verdict(&[]), None);
        assert_eq!(client.verdict(&[vec![0x30, 3, 1, 2, 3].into()]), None);
    }

    #[test]
    fn only_the_outer_connection_knows_anything_but_tls_13() {
        use super::super::{Identity, Policy, client_config, sealed_client_config};
        let old = |config: &ClientConfig| {
            let provider = config.crypto_provider();
            provider
                .cipher_suites
                .iter()
                .any(|suite| suite.tls13().is_none())
        };
        let identity = Identity::fresh().unwrap();
        let policy = Policy::Pinned(identity.pin());
        assert!(old(&outer_client_config("cam").unwrap().tls()));
        assert!(!old(&client_config(policy.clone(), "cam", 443).unwrap()));
        assert!(!old(&sealed_client_config(policy, "cam", 443).unwrap()));
        for server in [identity.server_config(), identity.sealed_server_config()] {
            let suites = &server.crypto_provider().cipher_suites;
            assert!(suites.iter().all(|suite| suite.tls13().is_some()));
        }
    }
}
