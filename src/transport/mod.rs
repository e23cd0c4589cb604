//! Moves bytes, knows no messages.
//!
//! A [`Link`] is one reliable way in both directions between a viewer and a server, inside TLS, or inside QUIC, where
//! it has datagrams and frames beside. A viewer gets one from [`dial`], a server from [`Listener`],
//! [`Incoming::handshake`] and [`Secured::serve`], or from [`quic::Endpoint`] and [`quic::Incoming::handshake`], each
//! of which is bounded in time, and none of which keeps the next viewer waiting. [`both`] has both on one port number.

mod answer;
mod base;
pub mod both;
pub mod dial;
pub mod door;
mod first;
pub mod forwarded;
#[cfg(fuzzing)]
mod fuzz;
mod incoming;
mod link;
mod listen;
pub mod memory;
pub mod plain;
pub mod proxy;
pub mod quic;
pub mod race;
mod sealed;
mod seldom;
mod source;
mod tcp;
mod upgrade;

use std::fmt;

pub use first::{Exporter, First};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use fuzz::fuzz_http;
pub use incoming::{AcceptError, Incoming, Secured};
pub use link::{Link, Ready};
pub use listen::{ListenError, Listener, Protocol};
pub use seldom::Seldom;
pub use source::source_towards;
pub use upgrade::PROTOCOL;

/// The ways in which bytes get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// TLS 1.3 over TCP, then an HTTP/1.1 request to upgrade, then nothing but our bytes.
    Tls,
    /// QUIC over UDP, with our own protocol named inside.
    Quic,
    /// TLS that ends elsewhere, in a box that inspects or at a reverse proxy, inside it RFC 6455 WebSocket, and inside that
    /// TLS 1.3 to the server's own key.
    WebSocket,
    /// The same in plain requests and answers of HTTP.
    Http,
}

impl Kind {
    /// Every way there is, the best first.
    pub const ALL: [Self; 4] = [Self::Quic, Self::Tls, Self::WebSocket, Self::Http];

    /// What carries it.
    pub const fn carrier(self) -> Carrier {
        match self {
            Self::Tls | Self::WebSocket | Self::Http => Carrier::Tcp,
            Self::Quic => Carrier::Udp,
        }
    }

    /// As people and scripts write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::WebSocket => "websocket",
            Self::Http => "http",
        }
    }

    /// Whether it carries datagrams, and frames on streams of their own, beside its bytes.
    pub const fn has_datagrams(self) -> bool {
        match self {
            Self::Tls | Self::WebSocket | Self::Http => false,
            Self::Quic => true,
        }
    }

    /// The way of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What carries a way. Between the two a viewer is raced at the start, and moves while it plays; which of the ways
/// over TCP gets through is found out anew with each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Carrier {
    /// Both, the better one first.
    pub const ALL: [Self; 2] = [Self::Udp, Self::Tcp];
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
