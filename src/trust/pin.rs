//! The name of a key: a hash that fits a link.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::CertificateError;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

/// SHA-256 of a certificate's SubjectPublicKeyInfo; in text base64url without padding, 43 characters.
///
/// It names the key and not the certificate, so a renewed certificate keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pin([u8; 32]);

impl Pin {
    /// The key in a certificate; an error if the bytes are no X.509 v3 certificate.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let parsed = EndEntityCert::try_from(certificate)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        Ok(Self::of_key(&parsed.subject_public_key_info()))
    }

    /// The key whose SubjectPublicKeyInfo in DER this is.
    pub(super) fn of_key(spki: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, spki).as_ref());
        Self(hash)
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Pin {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        if text.len() != PIN_TEXT {
            return Err(PinError::Length { got: text.len() });
        }
        let mut hash = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut hash) {
            Ok(32) => Ok(Self(hash)),
            Ok(_) | Err(_) => Err(PinError::Characters),
        }
    }
}

/// A text that names no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Cut short, or something added.
    #[error(
        "the key's hash has {got} characters instead of 43: was the link cut when it was copied?"
    )]
    Length {
        /// Characters found.
        got: usize,
    },
    /// Not base64url.
    #[error("the key's hash holds characters that do not belong there")]
    Characters,
}

/// Characters of 32 bytes in base64 without padding.
const PIN_TEXT: usize = 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back_is_the_same_pin() {
        let pin = Pin::from([0xfb; 32]);
        assert_eq!(pin.to_string().len(), PIN_TEXT);
        assert_eq!(pin.to_string().parse(), Ok(pin));
    }

    #[test]
    fn other_lengths_and_alphabets_are_refused() {
        assert_eq!("abc".parse::<Pin>(), Err(PinError::Length { got: 3 }));
        assert_eq!("+".repeat(43).parse::<Pin>(), Err(PinError::Characters));
        // 43 characters carry 258 bits: the two beyond 256 must be zero, or two texts would be one pin.
        assert_eq!("_".repeat(43).parse::<Pin>(), Err(PinError::Characters));
    }

    #[test]
    fn what_is_no_certificate_has_no_pin() {
        assert!(Pin::of_certificate(&CertificateDer::from(vec![0x30, 0x80, 1])).is_err());
    }
}
