//! Who a session is, and the proof of it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Names a session; no secret. 16 random bytes, base64url without padding in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// The caller draws the bytes at random.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for SessionId {
    type Error = IdentError;

    fn try_from(text: String) -> Result<Self, IdentError> {
        decode(&text).map(Self)
    }
}

/// Whoever has it may go on with the session over another link. 32 random bytes, base64url without padding on the wire;
/// never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResumeSecret([u8; 32]);

impl ResumeSecret {
    /// The caller draws the bytes at random.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ResumeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeSecret(..)")
    }
}

impl From<ResumeSecret> for String {
    fn from(secret: ResumeSecret) -> Self {
        URL_SAFE_NO_PAD.encode(secret.0)
    }
}

impl TryFrom<String> for ResumeSecret {
    type Error = IdentError;

    fn try_from(text: String) -> Result<Self, IdentError> {
        decode(&text).map(Self)
    }
}

/// What proves that a link is of a viewer who has, or had, another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The session on the other link.
    pub session: SessionId,
    /// Its secret, which works once.
    pub secret: ResumeSecret,
}

/// A text that is not the base64url of the right number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the base64url of {bytes} bytes")]
pub struct IdentError {
    /// How many it should be.
    pub bytes: usize,
}

pub(super) fn decode<const N: usize>(text: &str) -> Result<[u8; N], IdentError> {
    let mut bytes = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(len) if len == N => Ok(bytes),
        Ok(_) | Err(_) => Err(IdentError { bytes: N }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_never_shown() {
        let secret = ResumeSecret::from_bytes([7; 32]);
        assert_eq!(format!("{secret:?}"), "ResumeSecret(..)");
        let text = String::from(secret.clone());
        assert_eq!(ResumeSecret::try_from(text), Ok(secret));
    }

    #[test]
    fn an_id_of_another_length_is_none() {
        for bad in ["", "AAAA", "not base64 at all!!!!!", &"A".repeat(43)] {
            assert_eq!(
                SessionId::try_from(bad.to_owned()),
                Err(IdentError { bytes: 16 }),
                "{bad}"
            );
        }
    }
}
