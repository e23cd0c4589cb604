//! Who is who: the server's identity, the pin of its key, servers that a person has accepted, the link.
//!
//! Everything here is TLS 1.3 by rustls with aws-lc-rs, and there is no way to switch verification off: a [`Policy`]
//! is either one key ([`Policy::Pinned`]), or the system's trust store and the keys that a person has accepted
//! ([`Policy::SystemOrKnown`]). Only an [`OuterClient`] asks for nothing: inside its connections is another.

mod config;
mod current;
mod der;
mod error;
mod identity;
mod known;
mod link;
mod outer;
mod pem;
mod pin;
mod proxy;
mod qr;
mod quic;
mod store;
mod token;
mod verify;

pub use config::{
    ALPN, SEALED_ALPN, classical_client_config, client_config, sealed_client_config, server_config,
};
pub(crate) use der::printable;
pub use error::TrustError;
pub use identity::Identity;
pub use known::KnownServers;
pub use link::{DEFAULT_PORT, Link, LinkError, MAX_LINK, MAX_TOKEN};
pub use outer::{Outer, OuterClient, Vouched, outer_client_config};
pub use pin::{Pin, PinError};
pub use proxy::proxy_client_config;
#[cfg(test)]
pub(crate) use proxy::proxy_client_config_trusting;
pub use qr::qr;
pub use quic::{QUIC_ALPN, QuicClient, quic_client_config, quic_initial_suite};
pub use token::{
    MOST_TOKEN_NAME, MOST_TOKENS, OwnLinks, Secret, SecretError, Stamp, StoredKey, TOKEN_TEXT,
    Token, TokenStore, Tokens,
};
pub use verify::{Policy, Rejection, Seen};
