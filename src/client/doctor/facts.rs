//! What was found out, before anybody judges it.

use std::net::IpAddr;
use std::time::Duration;

use crate::transport::Kind;
use crate::trust::{Pin, Seen};

/// A way to a server, as people and scripts know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// QUIC over UDP.
    Quic,
    /// TLS over TCP, then an upgrade to our own bytes.
    Tls,
    /// WebSocket inside somebody else's TLS, with our own TLS inside that.
    WebSocket,
    /// Plain requests and answers inside somebody else's TLS, with our own TLS inside those.
    Http,
}

impl Way {
    /// The way that a transport goes.
    pub const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Quic => Self::Quic,
            Kind::Tls => Self::Tls,
            Kind::WebSocket => Self::WebSocket,
            Kind::Http => Self::Http,
        }
    }

    /// As in `watch --transport`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tls => "tls",
            Self::WebSocket => "websocket",
            Self::Http => "http",
        }
    }
}

/// All that was found out about one server from one place.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name or address, as in the link.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its key, if the link has it.
    pub pin: Option<Pin>,
    /// What the system's resolver says.
    pub name: Name,
    /// One address of each family; none where a proxy leads there.
    pub tcp: Vec<Tcp>,
    /// The certificate that comes over TCP, or why none came.
    pub certificate: Result<Seen, String>,
    /// The proxy that the ways over TCP go through.
    pub proxy: Option<Proxied>,
    /// What became of the first UDP packets.
    pub udp: Udp,
    /// The most bytes of a datagram that gets to the server over QUIC.
    pub datagram: Option<usize>,
    /// Where plain HTTP is sent instead of to the server: the address of a login page, safe to print.
    pub portal: Option<String>,
    /// Every way, tried for real.
    pub rungs: Vec<Rung>,
}

/// A proxy that leads to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// `HOST:PORT`, never with a password.
    pub name: String,
    /// How long it took to connect to the server, or why it does not, safe to print.
    pub leads: Result<Duration, String>,
}

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// It is an address already.
    Literal,
    /// It is for the proxy to know.
    Proxied,
    /// It has these addresses, at least one.
    Known {
        /// In the system's order.
        addresses: Vec<IpAddr>,
        /// How long the resolver took.
        took: Duration,
    },
    /// It has none.
    Unknown {
        /// What the resolver says, safe to print.
        why: String,
    },
}

/// What an address says to TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Which.
    pub address: IpAddr,
    /// What it says.
    pub reply: Reply,
}

/// What somebody says to TCP's first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Yes, after so long.
    Takes(Duration),
    /// No.
    Refuses,
    /// Nothing.
    Silent,
    /// The packet did not get there, for this reason.
    No(String),
}

/// What became of the first UDP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Udp {
    /// None were sent: a proxy leads to the server, and nothing goes beside it.
    Untried,
    /// Nothing came back.
    Silent,
    /// Somebody said no by ICMP, or this machine itself does.
    Refused,
    /// Something came back.
    Answers,
}

/// One way, tried for real.
#[derive(Clone, Debug)]
pub struct Rung {
    /// Which.
    pub way: Way,
    /// What was measured.
    pub figures: Figures,
    /// Who stands in between, as far as it is known.
    pub through: Through,
    /// Why `watch` cannot use it; `None` if it can.
    pub fault: Option<Fault>,
}

impl Rung {
    /// Whether media came, and came on coming.
    pub const fn works(&self) -> bool {
        self.fault.is_none()
    }
}

/// What was measured of one way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// From when it was dialled until the server's first word.
    pub reached_ms: Option<f64>,
    /// From the start until the first picture.
    pub first_frame_ms: Option<f64>,
    /// Round trip, measured last.
    pub rtt_ms: Option<f64>,
    /// Between the delay of half of the pictures and of 95 of 100.
    pub jitter_ms: Option<f64>,
    /// Bits a second while it played.
    pub throughput_bps: Option<u64>,
    /// Pictures shown.
    pub frames: u64,
    /// Packets of sound that came.
    pub sounds: u64,
}

/// Who stands between, as the connection has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Through {
    /// Who inspects the outer TLS: the issuer of its certificate.
    pub inspected: Option<String>,
    /// A reverse proxy before the server: the issuer of its public certificate.
    pub front: Option<String>,
    /// The proxy that was asked for: `HOST:PORT`.
    pub proxy: Option<String>,
    /// How answers come, where they carry the media.
    pub body: Option<Body>,
}

/// How a box in between treats the body of an answer that does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// It hands on what has come.
    Streamed,
    /// It holds it back, so that many short ones take its place.
    HeldBack,
}

/// Why a way is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// By blame.
    pub trouble: Trouble,
    /// In words, safe to print.
    pub words: String,
}

/// What is wrong with a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The name has no address.
    NoName,
    /// Nobody listens, or a firewall says so.
    Refused,
    /// Nothing came back.
    Silent,
    /// There is no route.
    Unreachable,
    /// Something answered, and was not finished in time.
    Unfinished,
    /// Something else than a server of ours answers.
    Stranger,
    /// It was cut.
    Cut,
    /// Another key than the one that was meant.
    OtherKey(Box<Seen>),
    /// A certificate that is none, or a key that nobody would accept.
    NoKey,
    /// The request to upgrade did not get to the server.
    Stripped,
    /// The proxy that was asked for, for whatever reason.
    Proxy,
    /// The server is there and says no.
    Denied,
    /// Connected, and no picture came, or, where there is none, no sound.
    NoMedia,
    /// Media came and then came no more.
    Stalled,
    /// Something in this program or on this machine.
    Here,
}
