//! The secret of a token, what the server keeps of it, and the proof.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::media::{Role, TokenId};

/// Characters of a token in a link.
pub const TOKEN_TEXT: usize = 22;

/// A token itself: 16 random bytes, shown in links and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 16]);

/// What a server keeps of a token: enough to check a proof, too little to make one.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoredKey([u8; 32]);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn fresh() -> Result<Self, SecretError> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SecretError::NoRandom)?;
        Ok(Self(bytes))
    }

    /// Of these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// What it is called, which tells nothing of it.
    pub fn id(&self) -> TokenId {
        let hash = sha256(&[ID, &self.0[..]].concat());
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        TokenId::from_bytes(id)
    }

    /// What a server keeps of it.
    pub fn stored_key(&self) -> StoredKey {
        StoredKey(sha256(&self.client_key()))
    }

    /// Proves it over the TLS session of `channel` (its exporter, RFC 9266), to be `role`; with the name of the stream
    /// that is published, or else none.
    pub fn prove(&self, channel: &[u8; 32], role: Role, name: &str) -> [u8; 32] {
        let signature = self.stored_key().signature(channel, role, name);
        xor(&self.client_key(), &signature)
    }

    fn client_key(&self) -> [u8; 32] {
        mac(&self.0, &[CLIENT])
    }
}

impl StoredKey {
    /// A key that no proof fits, since nobody knows what it is the hash of.
    pub const fn nobody() -> Self {
        Self([0; 32])
    }

    /// Whether `proof` is one. Takes the same time whatever is wrong with it.
    pub fn accepts(&self, proof: &[u8; 32], channel: &[u8; 32], role: Role, name: &str) -> bool {
        let client_key = xor(proof, &self.signature(channel, role, name));
        verify_slices_are_equal(&sha256(&client_key), &self.0).is_ok()
    }

    fn signature(&self, channel: &[u8; 32], role: Role, name: &str) -> [u8; 32] {
        let role = role.name().as_bytes();
        mac(&self.0, &[&channel[..], role, &[0], name.as_bytes()])
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let mut bytes = [0; 16];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(16) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(SecretError::Damaged { got: text.len() }),
        }
    }
}

impl fmt::Display for Secret {
    /// As it stands in a link.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredKey(..)")
    }
}

impl From<StoredKey> for String {
    fn from(key: StoredKey) -> Self {
        URL_SAFE_NO_PAD.encode(key.0)
    }
}

impl TryFrom<String> for StoredKey {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(&text, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(SecretError::Key),
        }
    }
}

/// A text that is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Cut short, or mistyped.
    #[error(
        "the token of the link (`t=`) has {got} characters and should have {TOKEN_TEXT} of the letters, digits, `-` and `_`: copy the link whole"
    )]
    Damaged {
        /// So many.
        got: usize,
    },
    /// In a file.
    #[error("a key is not the base64url of 32 bytes")]
    Key,
    /// The system's fault.
    #[error("the system has no random numbers")]
    NoRandom,
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

fn xor(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    let mut out = *a;
    for (byte, other) in out.iter_mut().zip(b) {
        *byte ^= other;
    }
    out
}

/// What these keys are for, so that none is good for anything else.
const CLIENT: &[u8] = b"tunnelcast token client 1";
const ID: &[u8] = b"tunnelcast token id 1";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHANNEL: [u8; 32] = [9; 32];

    #[test]
    fn a_proof_is_good_for_its_own_session_role_and_stream_alone() {
        let secret = Secret::from_bytes([7; 16]);
        let key = secret.stored_key();
        let proof = secret.prove(&CHANNEL, Role::Publish, "cam");
        assert!(key.accepts(&proof, &CHANNEL, Role::Publish, "cam"));
        assert!(!key.accepts(&proof, &[8; 32], Role::Publish, "cam"));
        assert!(!key.accepts(&proof, &CHANNEL, Role::Watch, "cam"));
        assert!(!key.accepts(&proof, &CHANNEL, Role::Publish, "cam2"));
        assert!(!key.accepts(&proof, &CHANNEL, Role::Publish, ""));
        let other = Secret::from_bytes([6; 16]).stored_key();
        assert!(!other.accepts(&proof, &CHANNEL, Role::Publish, "cam"));
        assert!(!StoredKey::nobody().accepts(&proof, &CHANNEL, Role::Publish, "cam"));
    }

    #[test]
    fn what_the_server_keeps_proves_nothing() {
        let secret = Secret::from_bytes([7; 16]);
        let key = secret.stored_key();
        let signature = key.signature(&CHANNEL, Role::Watch, "");
        for forged in [signature, [0; 32], key.0, xor(&key.0, &signature)] {
            assert!(!key.accepts(&forged, &CHANNEL, Role::Watch, ""));
        }
    }

    #[test]
    fn a_secret_is_read_as_it_is_written_and_never_shown() {
        let secret = Secret::fresh().unwrap();
        let text = secret.to_string();
        assert_eq!(text.len(), TOKEN_TEXT);
        assert_eq!(text.parse(), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_ne!(Secret::fresh().unwrap(), secret);
        for bad in ["", "x", &text[1..], &format!("{text}A")] {
            let got = bad.len();
            assert_eq!(bad.parse::<Secret>(), Err(SecretError::Damaged { got }));
        }
    }

    proptest! {
        #[test]
        fn no_proof_with_a_changed_bit_is_one(at in 0_usize..256, secret: [u8; 16], channel: [u8; 32]) {
            let secret = Secret::from_bytes(secret);
            let mut proof = secret.prove(&channel, Role::Watch, "");
            prop_assert!(secret.stored_key().accepts(&proof, &channel, Role::Watch, ""));
            proof[at / 8] ^= 1 << (at % 8);
            prop_assert!(!secret.stored_key().accepts(&proof, &channel, Role::Watch, ""));
        }
    }
}
