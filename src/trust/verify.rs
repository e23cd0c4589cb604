//! Whether the server at the other end is the one that was meant.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use super::outer::{is_public, public_roots};
use super::{KnownServers, Pin, der};

/// Which servers are accepted.
#[derive(Clone, Debug)]
pub enum Policy {
    /// Exactly this key, and nothing else matters: neither names nor dates nor who signed.
    Pinned(Pin),
    /// A key that a person has accepted for this host and port; for servers that nobody has been asked about, a
    /// certificate that the operating system trusts.
    SystemOrKnown(KnownServers),
}

/// What a server that was not accepted has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its key.
    pub pin: Pin,
    /// Who issued its certificate, as that calls itself; safe to print.
    pub issuer: String,
    /// The certificate was issued by the one that it names: nobody else vouches for it.
    pub self_issued: bool,
}

/// Why a server was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The link says another key. Somebody between reads along, or the server has been set up anew.
    #[error(
        "the server's key is {pin}, not {expected} as in the link (certificate issued by {issuer}): this is another server or somebody in between; ask for a new link",
        pin = .seen.pin, issuer = .seen.issuer
    )]
    OtherKey {
        /// As the link has it.
        expected: Pin,
        /// What came.
        seen: Seen,
    },
    /// The server was known by another key.
    #[error(
        "THE SERVER'S KEY HAS CHANGED from {known} to {pin} (certificate issued by {issuer}): somebody may be reading along; if the change was meant, delete the line of {server} in {path}",
        pin = .seen.pin, issuer = .seen.issuer, path = .path.display()
    )]
    Changed {
        /// `HOST:PORT`.
        server: String,
        /// As it was remembered.
        known: Pin,
        /// What came.
        seen: Seen,
        /// The list of known servers.
        path: PathBuf,
    },
    /// Nobody vouches for the server: ask the person, then [`KnownServers::remember`].
    #[error("the server's certificate, issued by {issuer}, is not trusted ({why}); its key is {pin}", pin = .seen.pin, issuer = .seen.issuer)]
    Untrusted {
        /// What came.
        seen: Seen,
        /// What the system's verifier says.
        why: String,
    },
    /// Only this system's own authorities vouch for the server, on a connection that anybody with such an authority could
    /// end: it may be the server's own, or that of a box that reads along. What is inside the connection can tell.
    #[error("only this system vouches for the server, whose certificate was issued by {issuer}: that may be the server's own authority, or somebody who reads along", issuer = .seen.issuer)]
    Private {
        /// What came.
        seen: Seen,
    },
    /// What the server sent is no certificate.
    #[error("the server's certificate is damaged")]
    Damaged,
}

impl Rejection {
    /// Finds the rejection inside an error of rustls or of a TLS stream.
    pub fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.get_ref().and_then(|inner| Self::within(inner));
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "only one way leads to ours")]
        match error.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                inner.downcast_ref()
            }
            _ => None,
        }
    }
}

impl From<Rejection> for rustls::Error {
    fn from(rejection: Rejection) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(rejection))))
    }
}

/// Applies a policy to one host and port.
#[derive(Debug)]
pub(super) struct Verifier {
    policy: Policy,
    host: String,
    port: u16,
    /// None where the system trusts nobody, or need not be asked.
    system: Option<rustls_platform_verifier::Verifier>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Those whom every browser believes, where nobody else may vouch for a server.
    public: Option<Arc<RootCertStore>>,
    /// The last rejection, for those who get nothing but its words.
    refused: Mutex<Option<Rejection>>,
}

impl Verifier {
    pub(super) fn new(
        policy: Policy,
        host: &str,
        port: u16,
        provider: &Arc<CryptoProvider>,
    ) -> Self {
        let system = match &policy {
            Policy::Pinned(_) => None,
            Policy::SystemOrKnown(known) if known.pin_of(host, port).is_some() => None,
            // A system without any trusted certificate is no error: it trusts nobody.
            Policy::SystemOrKnown(_) => {
                rustls_platform_verifier::Verifier::new(Arc::clone(provider))
                    .inspect_err(|error| tracing::debug!(%error, "no trust store"))
                    .ok()
            }
        };
        Self {
            policy,
            host: host.to_owned(),
            port,
            system,
            algorithms: provider.signature_verification_algorithms,
            public: None,
            refused: Mutex::new(None),
        }
    }

    /// For a connection that a box which inspects may end: only public authorities, and keys that are known, will do.
    pub(super) fn wary(mut self) -> Self {
        self.public = Some(Arc::new(public_roots()));
        self
    }

    /// The last rejection.
    pub(super) fn refused(&self) -> Option<Rejection> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.clone()
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        by_system: impl FnOnce(
            &rustls_platform_verifier::Verifier,
        ) -> Result<ServerCertVerified, rustls::Error>,
        by_public: impl FnOnce(&Arc<RootCertStore>) -> bool,
    ) -> Result<ServerCertVerified, Box<Rejection>> {
        let seen = seen(end_entity).ok_or(Rejection::Damaged)?;
        Err(Box::new(match &self.policy {
            Policy::Pinned(pin) if *pin == seen.pin => return Ok(ServerCertVerified::assertion()),
            Policy::Pinned(pin) => Rejection::OtherKey {
                expected: *pin,
                seen,
            },
            // What was accepted goes before what the system trusts: an inspecting proxy whose certificate the system
            // was made to trust would otherwise pass for a server that is known by its own key.
            Policy::SystemOrKnown(known) => match known.pin_of(&self.host, self.port) {
                Some(pin) if pin == seen.pin => return Ok(ServerCertVerified::assertion()),
                Some(pin) => Rejection::Changed {
                    server: format!("{}:{}", self.host, self.port),
                    known: pin,
                    seen,
                    path: known.path().to_path_buf(),
                },
                None => {
                    let why = match &self.system {
                        Some(system) => match by_system(system) {
                            Ok(_)
                                if self
                                    .public
                                    .as_ref()
                                    .is_some_and(|public| !by_public(public)) =>
                            {
                                return Err(Box::new(Rejection::Private { seen }));
                            }
                            Ok(verified) => return Ok(verified),
                            Err(error) => reason(&error),
                        },
                        None => String::from("this system trusts no certificates at all"),
                    };
                    Rejection::Untrusted { seen, why }
                }
            },
        }))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let by_system = |system: &rustls_platform_verifier::Verifier| {
            system.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let by_public = |public: &Arc<RootCertStore>| {
            is_public(public, end_entity, intermediates, server_name, now)
        };
        self.judge(end_entity, by_system, by_public)
            .map_err(|rejection| {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                *refused = Some((*rejection).clone());
                (*rejection).into()
            })
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
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

/// What a certificate shows; `None` if it is damaged.
pub(super) fn seen(certificate: &CertificateDer<'_>) -> Option<Seen> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    Some(Seen {
        pin: Pin::of_key(&parsed.subject_public_key_info()),
        issuer: der::name(parsed.issuer()),
        self_issued: parsed.issuer() == parsed.subject(),
    })
}

/// The verifier's words, without what a person cannot use.
pub(super) fn reason(error: &rustls::Error) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the rest speak for themselves"
    )]
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            String::from("its issuer is unknown")
        }
        rustls::Error::InvalidCertificate(error) => der::printable(&error.to_string(), 200),
        other => der::printable(&other.to_string(), 200),
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::provider;
    use super::*;

    fn certificate() -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([String::from("cam")]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Proxy\u{1b}[31m");
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "Corp");
        params.self_signed(&key).unwrap().der().clone()
    }

    #[expect(clippy::result_large_err, reason = "a test's")]
    fn verdict(policy: Policy, cert: &CertificateDer<'_>) -> Result<(), Rejection> {
        let verifier = Verifier::new(policy, "cam", 443, &provider());
        let name = ServerName::try_from("cam").unwrap();
        match verifier.verify_server_cert(cert, &[], &name, &[], UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(error) => {
                let wrapped = io::Error::new(io::ErrorKind::InvalidData, error);
                Err(Rejection::within(&wrapped).unwrap().clone())
            }
        }
    }

    #[test]
    fn the_pinned_key_passes_and_no_other() {
        let (right, wrong) = (certificate(), certificate());
        let pin = Pin::of_certificate(&right).unwrap();
        assert_eq!(verdict(Policy::Pinned(pin), &right), Ok(()));
        let Err(Rejection::OtherKey { expected, seen }) = verdict(Policy::Pinned(pin), &wrong)
        else {
            panic!("another key was not refused");
        };
        assert_eq!(expected, pin);
        assert_eq!(seen.pin, Pin::of_certificate(&wrong).unwrap());
        assert_eq!(seen.issuer, "Proxy[31m (Corp)");
        assert!(seen.self_issued);
    }

    #[test]
    fn unknown_is_for_asking_known_passes_changed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut known = KnownServers::open(&dir.path().join("known")).unwrap();
        let (one, two) = (certificate(), certificate());
        let pin = Pin::of_certificate(&one).unwrap();
        let asked = verdict(Policy::SystemOrKnown(known.clone()), &one);
        let Err(Rejection::Untrusted { seen, .. }) = asked else {
            panic!("an unknown key was not asked about");
        };
        assert_eq!(seen.pin, pin);
        known.remember("cam", 443, seen.pin).unwrap();
        assert_eq!(verdict(Policy::SystemOrKnown(known.clone()), &one), Ok(()));
        let error = verdict(Policy::SystemOrKnown(known), &two).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("THE SERVER'S KEY HAS CHANGED"),
            "{error}"
        );
    }

    #[test]
    fn garbage_is_no_certificate() {
        let garbage = CertificateDer::from(vec![0x30, 3, 1, 2, 3]);
        assert_eq!(
            verdict(Policy::Pinned(Pin::from([0; 32])), &garbage),
            Err(Rejection::Damaged)
        );
    }
}
