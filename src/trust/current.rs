//! The certificate that a server shows now: another one may take its place at any time.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Pin, TrustError, der};

/// What all configurations of a server share.
#[derive(Debug)]
pub(super) struct Current(RwLock<Shown>);

/// A certificate, its key, and what is said of them.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) pin: Pin,
    pub(super) valid_until: Option<SystemTime>,
    pub(super) certified: Arc<CertifiedKey>,
}

impl Current {
    pub(super) fn new(certified: Arc<CertifiedKey>) -> Result<Self, TrustError> {
        let leaf = certified.end_entity_cert()?;
        Ok(Self(RwLock::new(Shown {
            pin: Pin::of_certificate(leaf)?,
            valid_until: der::not_after(leaf).map(SystemTime::from),
            certified,
        })))
    }

    pub(super) fn get(&self) -> Shown {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What was shown before.
    pub(super) fn set(&self, new: Shown) -> Shown {
        let mut shown = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut shown, new)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().certified)
    }
}
