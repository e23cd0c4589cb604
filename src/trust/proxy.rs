//! TLS to a proxy: the operating system decides whom to trust, and TLS 1.2 will do.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::version::{TLS12, TLS13};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::config::ALPN;
use super::outer::provider;
use super::verify::{reason, seen};
use super::{Rejection, TrustError};

/// How TLS is spoken to a proxy, which carries sealed bytes and is told a password at most.
///
/// Its certificate must be trusted by the operating system. Unlike our own servers it may be of another decade, so
/// TLS 1.2 is spoken as well. Reads the system's trust store from disk. Fails only if TLS cannot be set up at all.
pub fn proxy_client_config() -> Result<Arc<ClientConfig>, TrustError> {
    // A system without any trusted certificate is no error: it trusts nobody.
    let system = rustls_platform_verifier::Verifier::new(provider())
        .inspect_err(|error| tracing::debug!(%error, "no trust store"))
        .ok();
    config(system)
}

/// The same where the system trusts these as well.
#[cfg(test)]
pub(crate) fn proxy_client_config_trusting(
    root: CertificateDer<'static>,
) -> Result<Arc<ClientConfig>, TrustError> {
    let system = rustls_platform_verifier::Verifier::new_with_extra_roots([root], provider())?;
    config(Some(system))
}

fn config(
    system: Option<rustls_platform_verifier::Verifier>,
) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = provider();
    let verifier = Arc::new(SystemOnly {
        system,
        algorithms: provider.signature_verification_algorithms,
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The system's verifier, with words for a person.
#[derive(Debug)]
struct SystemOnly {
    system: Option<rustls_platform_verifier::Verifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for SystemOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let why = match &self.system {
            Some(system) => {
                let judged = system.verify_server_cert(
                    end_entity,
                    intermediates,
                    server_name,
                    ocsp_response,
                    now,
                );
                match judged {
                    Ok(verified) => return Ok(verified),
                    Err(error) => reason(&error),
                }
            }
            None => String::from("this system trusts no certificates at all"),
        };
        let seen = seen(end_entity).ok_or(Rejection::Damaged)?;
        Err(Rejection::Untrusted { seen, why }.into())
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
