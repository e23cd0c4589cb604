//! What can be wrong with a server, in words.

use std::fmt;
use std::io;

use rustls::AlertDescription;

use crate::transport::Kind;
use crate::transport::proxy::{ErrorKind, ProxyError};
use crate::trust::{Rejection, printable};

/// Why there is no link. Each is one line for a person; `server` is `HOST:PORT`, with `/udp` behind it where it
/// matters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address.
    #[error(
        "the name {host} cannot be resolved ({source}): check the link, and that this machine is online"
    )]
    NoName {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Nobody listens there.
    #[error(
        "{server} refused the connection: nothing listens on that port; is the server running?"
    )]
    Refused {
        /// Where.
        server: String,
    },
    /// Nothing came back.
    #[error("{server} did not answer: the machine is off, or a firewall drops the connection")]
    TimedOut {
        /// Where.
        server: String,
    },
    /// There is no way there.
    #[error("{server} cannot be reached from this network, or a firewall forbids it ({source})")]
    Unreachable {
        /// Where.
        server: String,
        /// What the system says.
        source: io::Error,
    },
    /// It is connected, and says nothing.
    #[error(
        "{server} took the connection but says nothing: whatever listens there does not speak TLS"
    )]
    Silent {
        /// Where.
        server: String,
    },
    /// TLS was begun and not finished.
    #[error("{server} began TLS but was too slow to finish it")]
    Slow {
        /// Where.
        server: String,
    },
    /// Something else than TLS.
    #[error("{server} does not speak TLS but {looks}: check the port")]
    NotTls {
        /// Where.
        server: String,
        /// What its first bytes look like.
        looks: Looks,
    },
    /// TLS, but not 1.3.
    #[error(
        "{server} does not speak TLS 1.3, so it is no tunnelcast server, or something old stands in between"
    )]
    OldTls {
        /// Where.
        server: String,
    },
    /// It ended TLS on purpose.
    #[error("{server} refused to speak TLS with us (alert: {alert:?})")]
    Alert {
        /// Where.
        server: String,
        /// As it says.
        alert: AlertDescription,
    },
    /// TLS went wrong in some other way.
    #[error("TLS with {server} failed: {source}")]
    Tls {
        /// Where.
        server: String,
        /// How.
        source: rustls::Error,
    },
    /// The server is not the one that was meant. Do not try again; ask the person where the rejection is
    /// [`Rejection::Untrusted`].
    #[error("{server}: {rejection}")]
    Rejected {
        /// Where.
        server: String,
        /// Why.
        rejection: Box<Rejection>,
    },
    /// The same, and what answers there does not lead to the server either.
    #[error(
        "{server}: {rejection}; what answers there lets nothing through to it: it says {status}{title}", title = quoted(.title)
    )]
    Blocked {
        /// Where.
        server: String,
        /// Why it is not the server itself.
        rejection: Box<Rejection>,
        /// The HTTP status.
        status: u16,
        /// The page's title, safe to print; empty if there is none.
        title: String,
    },
    /// TLS, but no HTTP in it.
    #[error("{server} speaks TLS but no HTTP inside it, so it is no tunnelcast server")]
    NotHttp {
        /// Where.
        server: String,
    },
    /// No answer to the request.
    #[error(
        "{server} speaks TLS but does not answer an HTTP request, so it is no tunnelcast server"
    )]
    NoAnswer {
        /// Where.
        server: String,
    },
    /// A web server, but not ours.
    #[error("{server} is a web server without tunnelcast: it answered {status}{title}", title = quoted(.title))]
    NoTunnel {
        /// Where.
        server: String,
        /// The HTTP status.
        status: u16,
        /// The page's title, safe to print; empty if there is none.
        title: String,
    },
    /// TLS, but what ends it does not let WebSocket through.
    #[error(
        "no WebSocket gets through to {server}: what ends TLS there answered {status}{title} instead of upgrading", title = quoted(.title)
    )]
    Stripped {
        /// Where.
        server: String,
        /// The HTTP status.
        status: u16,
        /// The page's title, safe to print; empty if there is none.
        title: String,
    },
    /// TLS, but what ends it does not let plain requests and answers through as they are.
    #[error("{server} {why}")]
    Plain {
        /// Where.
        server: String,
        /// What happened, safe to print.
        why: String,
    },
    /// There is no way through the proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// What ends TLS there reads along, and that was not to be put up with.
    #[error(
        "this network inspects what goes to {server} (the certificate there is issued by {by}), and --inspected refuse says not to go on: ask its administrator to leave that server out, or allow it, since all would be sealed inside"
    )]
    Inspected {
        /// Where.
        server: String,
        /// By whom, safe to print.
        by: String,
    },
    /// The network wants its own page visited first.
    #[error(
        "this network wants a visit to its own page first: open {page} in a browser, sign in, and try again"
    )]
    Portal {
        /// Its address, safe to print.
        page: String,
    },
    /// The way inside HTTP stands, but not the TLS session in it.
    #[error(
        "{server} was reached over {kind}, but no TLS session in it ({source}): something in between holds back or changes what it carries, or no tunnelcast server is behind it"
    )]
    Unsealed {
        /// Where.
        server: String,
        /// Inside what.
        kind: Kind,
        /// How it failed.
        source: io::Error,
    },
    /// UDP gets through, but QUIC's handshake was not finished.
    #[error("{server} answered, but the QUIC handshake was not finished in time")]
    Unfinished {
        /// Where.
        server: String,
    },
    /// QUIC, but somebody else's.
    #[error("{server} speaks QUIC but not tunnelcast over it, so it is no tunnelcast server")]
    NotOurs {
        /// Where.
        server: String,
    },
    /// QUIC went wrong in some other way.
    #[error("QUIC with {server} failed: {why}")]
    Quic {
        /// Where.
        server: String,
        /// How, safe to print.
        why: String,
    },
    /// It stood and was cut.
    #[error("the connection to {server} was cut before it was ready ({source})")]
    Lost {
        /// Where.
        server: String,
        /// What the system says.
        source: io::Error,
    },
    /// It was ready, and the server went away before its first word.
    #[error("{server} took the connection and ended it before its first word ({source})")]
    Wordless {
        /// Where.
        server: String,
        /// What the system says.
        source: io::Error,
    },
}

impl DialError {
    /// Whether the right server was there: it is worth trying again.
    pub const fn is_from_server(&self) -> bool {
        matches!(self, Self::Wordless { .. })
    }

    /// Why the server's key was refused, if that is the reason.
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected { rejection, .. } | Self::Blocked { rejection, .. } => Some(rejection),
            Self::NoName { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Slow { .. }
            | Self::NotTls { .. }
            | Self::OldTls { .. }
            | Self::Alert { .. }
            | Self::Tls { .. }
            | Self::NotHttp { .. }
            | Self::NoAnswer { .. }
            | Self::NoTunnel { .. }
            | Self::Stripped { .. }
            | Self::Plain { .. }
            | Self::Proxy(_)
            | Self::Inspected { .. }
            | Self::Portal { .. }
            | Self::Unsealed { .. }
            | Self::Unfinished { .. }
            | Self::NotOurs { .. }
            | Self::Quic { .. }
            | Self::Lost { .. }
            | Self::Wordless { .. } => None,
        }
    }

    /// Whether somebody is there who speaks TLS, so that another way inside it may do.
    pub const fn is_answered(&self) -> bool {
        match self {
            Self::OldTls { .. }
            | Self::Alert { .. }
            | Self::Tls { .. }
            | Self::Rejected { .. }
            | Self::Blocked { .. }
            | Self::NotHttp { .. }
            | Self::NoAnswer { .. }
            | Self::NoTunnel { .. }
            | Self::Stripped { .. }
            | Self::Plain { .. }
            | Self::Unsealed { .. }
            | Self::Lost { .. }
            | Self::Wordless { .. } => true,
            Self::NoName { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Slow { .. }
            | Self::NotTls { .. }
            | Self::Inspected { .. }
            | Self::Proxy(_)
            | Self::Portal { .. }
            | Self::Unfinished { .. }
            | Self::NotOurs { .. }
            | Self::Quic { .. } => false,
        }
    }

    /// Whether it is a refusal, which trying again does not change.
    pub const fn is_refusal(&self) -> bool {
        if let Self::Proxy(error) = self {
            let kind = error.kind();
            return matches!(
                kind,
                ErrorKind::NeedsCredentials | ErrorKind::WrongCredentials
            );
        }
        matches!(
            self,
            Self::Rejected { .. } | Self::Blocked { .. } | Self::Inspected { .. }
        )
    }

    pub(super) fn connect(server: &str, source: io::Error) -> Self {
        let server = server.to_owned();
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest has one variant")]
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { server },
            io::ErrorKind::TimedOut => Self::TimedOut { server },
            // A rule of this system's, or ICMPv6's "administratively prohibited".
            io::ErrorKind::PermissionDenied => {
                let source = io::Error::new(source.kind(), FORBIDDEN);
                Self::Unreachable { server, source }
            }
            _ => Self::Unreachable { server, source },
        }
    }
}

/// What the system says of UDP that was refused, in words.
pub(super) fn udp_refused(kind: io::ErrorKind) -> io::Error {
    // Of a host that is merely not there Linux tells UDP nothing; what it does tell so is ICMP's "administratively
    // prohibited". To TCP both are the same.
    if cfg!(target_os = "linux") && kind == io::ErrorKind::HostUnreachable {
        return io::Error::new(kind, "a firewall on the way forbids it");
    }
    kind.into()
}

/// Here or on the way: the system does not say.
const FORBIDDEN: &str = "a firewall forbids it";

/// A title behind a status, if there is one.
pub(in crate::transport) fn quoted(title: &str) -> String {
    if title.is_empty() {
        String::new()
    } else {
        format!(", \"{title}\"")
    }
}

/// What a stranger's first bytes look like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Looks {
    /// `HTTP/`.
    Http,
    /// `SSH-`.
    Ssh,
    /// `220 ` or `220-`: a greeting of mail or file servers.
    Greeting,
    /// Some other text, safe to print.
    Text(String),
    /// No text.
    Binary,
}

impl Looks {
    pub(in crate::transport) fn of(head: &[u8]) -> Self {
        let line = head
            .split(|byte| matches!(byte, b'\r' | b'\n'))
            .next()
            .unwrap_or_default();
        match head {
            [b'H', b'T', b'T', b'P', b'/', ..] => Self::Http,
            [b'S', b'S', b'H', b'-', ..] => Self::Ssh,
            [b'2', b'2', b'0', b' ' | b'-', ..] => Self::Greeting,
            _ if !line.is_empty() && line.iter().all(|b| matches!(b, b' '..=b'~')) => {
                Self::Text(printable(&String::from_utf8_lossy(line), 32))
            }
            _ => Self::Binary,
        }
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("plain HTTP"),
            Self::Ssh => f.write_str("ssh"),
            Self::Greeting => f.write_str("a mail or file protocol (it greets with 220)"),
            Self::Text(text) => write!(f, "something that begins with \"{text}\""),
            Self::Binary => f.write_str("something unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_called_by_name() {
        assert_eq!(Looks::of(b"HTTP/1.1 400 Bad"), Looks::Http);
        assert_eq!(Looks::of(b"SSH-2.0-OpenSSH"), Looks::Ssh);
        assert_eq!(Looks::of(b"220 mail ESMTP"), Looks::Greeting);
        assert_eq!(Looks::of(b"+OK ready\r\n"), Looks::Text("+OK ready".into()));
        assert_eq!(Looks::of(b"\x1b[2J"), Looks::Binary);
        assert_eq!(Looks::of(b""), Looks::Binary);
    }
}
