//! QUIC over UDP: one stream for what must arrive, datagrams for what is small, a stream of its own for each frame.
//!
//! The viewer opens the one stream; frames go from the server to the viewer alone. Whatever comes from the network is
//! bounded, and nothing is sent before the handshake is done.

mod frames;
mod link;
mod listen;
mod roomy;
mod settings;
mod socket;

pub use self::listen::{Endpoint, Incoming};
pub use self::settings::Congestion;

pub(super) use self::link::{Client, Link, exporter};
pub(super) use self::settings::client as client_settings;
pub(super) use self::socket::{Ear, Heard, Socket};

use quinn::VarInt;
use rustls::crypto::CryptoProvider;

/// The cipher that the two sides agree on, where there is no other that they could: quinn does not tell.
pub(super) fn only_cipher(provider: &CryptoProvider) -> Option<&'static str> {
    match provider.cipher_suites.as_slice() {
        [suite] => suite.suite().as_str(),
        _ => None,
    }
}

/// Said when a connection ends in good order.
const DONE: VarInt = VarInt::from_u32(0);
/// Said when a link is dropped.
const CUT: VarInt = VarInt::from_u32(1);
/// Said of a frame that has been given up.
const SUPERSEDED: VarInt = VarInt::from_u32(2);
