//! What is said first on a link, made when it is known which link that is.

use bytes::Bytes;

/// 32 bytes that only the two ends of one TLS session have (RFC 9266, `tls-exporter`): what is signed together with
/// them is worth nothing on another.
pub type Exporter = [u8; 32];

/// Makes the first bytes that go out over a link, at most 16 KiB. Several links may be tried, so it may be asked several
/// times.
pub trait First: Send + Sync {
    /// The bytes for the link that has this exporter; `None` where it has none.
    fn bytes(&self, exporter: Option<Exporter>) -> Bytes;
}

impl<const N: usize> First for [u8; N] {
    fn bytes(&self, _exporter: Option<Exporter>) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl First for Bytes {
    fn bytes(&self, _exporter: Option<Exporter>) -> Bytes {
        self.clone()
    }
}

/// RFC 9266, section 2.
pub(super) const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
