//! The first words of a session, as they are said on one link or another.

use bytes::Bytes;

use crate::session::client::Opening;
use crate::transport::{Exporter, First};
use crate::trust::Secret;
use crate::wire::{Proof, TokenProof};

/// The first words of a session. Where there is a token, they prove it, bound to the link on which they are said.
#[derive(Clone, Debug)]
pub struct Words {
    opening: Opening,
    token: Option<Secret>,
}

impl Words {
    /// With the token of the server's link, if that has one.
    pub const fn new(opening: Opening, token: Option<Secret>) -> Self {
        Self { opening, token }
    }
}

impl First for Words {
    fn bytes(&self, exporter: Option<Exporter>) -> Bytes {
        let proof = self.token.as_ref().zip(exporter).map(|(token, channel)| {
            let (role, name) = (self.opening.role(), self.opening.bound_name());
            TokenProof {
                id: token.id(),
                proof: Proof::from_bytes(token.prove(&channel, role, name)),
            }
        });
        self.opening.words(proof)
    }
}
