//! A client's first message.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::ident::{IdentError, decode};
use super::{LevelName, Resume, StreamName, Text};
use crate::media::{Role, TokenId};

/// The first message of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Versions of the protocol that it speaks, at most 16.
    pub versions: Vec<u16>,
    /// What program it is.
    #[serde(default)]
    pub agent: Text,
    /// What it wants to be on this link.
    #[serde(default, skip_serializing_if = "is_watch")]
    pub role: Role,
    /// By what right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenProof>,
    /// What it sends, where it wants to publish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<PublishInfo>,
    /// Of another session of the same viewer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

impl Hello {
    /// The name that the proof of a token is bound to: that of the stream that is published, or else none.
    pub fn bound_name(&self) -> &str {
        let publish = self.publish.as_ref();
        publish.map_or("", |publish| publish.stream.as_str())
    }
}

/// Says that somebody has a token, on this link alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenProof {
    /// Which.
    pub id: TokenId,
    /// That he has it.
    pub proof: Proof,
}

/// Is worth nothing on another link. 32 bytes, base64url without padding on the wire.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Proof([u8; 32]);

impl Proof {
    /// Of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever has it and what the server keeps has the key.
        f.write_str("Proof(..)")
    }
}

impl From<Proof> for String {
    fn from(proof: Proof) -> Self {
        URL_SAFE_NO_PAD.encode(proof.0)
    }
}

impl TryFrom<String> for Proof {
    type Error = IdentError;

    fn try_from(text: String) -> Result<Self, IdentError> {
        decode(&text).map(Self)
    }
}

/// What a publisher sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishInfo {
    /// Under this name.
    pub stream: StreamName,
    /// Whether there is a picture.
    pub video: bool,
    /// Whether there is sound.
    pub audio: bool,
    /// In the place of whoever publishes it now, who has the same token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub take_over: bool,
    /// The same on all links of one publisher, and nobody else's.
    pub key: PublisherKey,
    /// This link is for one of the levels below the best picture alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<LevelName>,
}

/// Whoever has it is the publisher of a stream, over whatever link. 16 random bytes, base64url without padding on the
/// wire; never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublisherKey([u8; 16]);

impl PublisherKey {
    /// The caller draws the bytes at random.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes; they are a secret, so compare them in constant time.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublisherKey(..)")
    }
}

impl From<PublisherKey> for String {
    fn from(key: PublisherKey) -> Self {
        URL_SAFE_NO_PAD.encode(key.0)
    }
}

impl TryFrom<String> for PublisherKey {
    type Error = IdentError;

    fn try_from(text: String) -> Result<Self, IdentError> {
        decode(&text).map(Self)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_watch(role: &Role) -> bool {
    *role == Role::Watch
}
