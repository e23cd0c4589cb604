//! Certificates and keys as PEM files have them.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{TrustError, store};

/// Reads a chain and its key, and makes sure that they belong together.
pub(super) fn load(
    cert: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TrustError> {
    let missing = |path: &Path| TrustError::Missing {
        path: path.to_path_buf(),
    };
    let chain = store::read(cert)?.ok_or_else(|| missing(cert))?;
    let secret = store::read(key)?.ok_or_else(|| missing(key))?;
    let chain = chain_in(cert, &chain)?;
    let secret = key_in(key, &secret)?;
    let signing = provider
        .key_provider
        .load_private_key(secret)
        .map_err(|_| TrustError::BadKey {
            path: key.to_path_buf(),
        })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TrustError::Mismatch {
            cert: cert.to_path_buf(),
            key: key.to_path_buf(),
        }),
        Err(source) => Err(TrustError::BadCertificate {
            path: cert.to_path_buf(),
            source,
        }),
    }
}

fn chain_in(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let none = || TrustError::NoCertificate {
        path: path.to_path_buf(),
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| none())?;
    if chain.is_empty() {
        Err(none())
    } else {
        Ok(chain)
    }
}

fn key_in(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TrustError> {
    let has = |needle: &[u8]| pem.windows(needle.len()).any(|window| window == needle);
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let path = path.to_path_buf();
        if has(b"BEGIN ENCRYPTED PRIVATE KEY") {
            TrustError::EncryptedKey { path }
        } else if has(b"PRIVATE KEY-----") {
            TrustError::BadKey { path }
        } else {
            TrustError::NoKey { path }
        }
    })
}
