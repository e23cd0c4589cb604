//! What can be wrong with a proxy, in words.

use std::io;

use crate::transport::dial::{Looks, quoted};

/// What a failure is about, for those who decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The proxy itself cannot be reached, or went away.
    Unreachable,
    /// What is there is no proxy of this kind, or not one that is to be trusted.
    NotProxy,
    /// The proxy wants a user and a password, and has been given none.
    NeedsCredentials,
    /// The proxy does not take this user and password. They must not be sent again.
    WrongCredentials,
    /// The proxy is well, and does not connect to the server: by its rules, or because it cannot.
    Target,
}

/// Why there is no way through a proxy. Each is one line for a person; `proxy` and `target` are `HOST:PORT`, and no
/// user or password is ever in one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy's name has no address.
    #[error(
        "the name of the proxy {proxy} cannot be resolved ({source}): check --proxy, HTTPS_PROXY and ALL_PROXY"
    )]
    NoName {
        /// Which.
        proxy: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Nobody listens there.
    #[error(
        "the proxy {proxy} refused the connection: nothing listens on that port; check --proxy, HTTPS_PROXY and ALL_PROXY"
    )]
    Refused {
        /// Which.
        proxy: String,
    },
    /// Nothing came back.
    #[error("the proxy {proxy} did not answer: it is off, or this network does not lead to it")]
    TimedOut {
        /// Which.
        proxy: String,
    },
    /// There is no way there.
    #[error("the proxy {proxy} cannot be reached from this network ({source})")]
    Unreachable {
        /// Which.
        proxy: String,
        /// What the system says.
        source: io::Error,
    },
    /// It stood and was cut.
    #[error("the proxy {proxy} ended the connection before it had answered ({source})")]
    Lost {
        /// Which.
        proxy: String,
        /// What the system says.
        source: io::Error,
    },
    /// It took the connection and said nothing, or went on for ever.
    #[error(
        "the proxy {proxy} took the connection but did not finish connecting to {target} in time: the server may be off, or this is no proxy"
    )]
    Slow {
        /// Which.
        proxy: String,
        /// Where to.
        target: String,
    },
    /// It was to speak TLS.
    #[error("the proxy {proxy} does not speak TLS: try http:// instead of https://")]
    NotTls {
        /// Which.
        proxy: String,
    },
    /// TLS with it went wrong.
    #[error("TLS with the proxy {proxy} failed: {why}")]
    Tls {
        /// Which.
        proxy: String,
        /// How, safe to print.
        why: String,
    },
    /// The system does not trust its certificate.
    #[error(
        "the certificate of the proxy {proxy}, issued by {issuer}, is not trusted ({why}): add that issuer to this system's trusted certificates"
    )]
    Untrusted {
        /// Which.
        proxy: String,
        /// As the certificate says, safe to print.
        issuer: String,
        /// What the system's verifier says.
        why: String,
    },
    /// It spoke something else.
    #[error("{proxy} is no {wanted} proxy, it speaks {looks}: check the port, and try {other}")]
    NotProxy {
        /// Which.
        proxy: String,
        /// What was asked for.
        wanted: &'static str,
        /// What its first bytes look like.
        looks: Looks,
        /// What else there is.
        other: &'static str,
    },
    /// It wants to know who is there.
    #[error(
        "the proxy {proxy} asks for a user and a password{of} ({schemes}): set TUNNELCAST_PROXY_USER and TUNNELCAST_PROXY_PASSWORD, or run it on a terminal to be asked",
        of = of(.realm)
    )]
    NeedsCredentials {
        /// Which.
        proxy: String,
        /// What it calls the place that they are for, safe to print; empty if it does not say.
        realm: String,
        /// How they may be given, in its own words, safe to print.
        schemes: String,
    },
    /// It does not take these.
    #[error("the proxy {proxy} does not accept this user and password{of} (tried {scheme}): check them", of = of(.realm))]
    WrongCredentials {
        /// Which.
        proxy: String,
        /// As for [`NeedsCredentials`](Self::NeedsCredentials).
        realm: String,
        /// How they were given.
        scheme: &'static str,
    },
    /// It wants them in a way that is not known here.
    #[error(
        "the proxy {proxy} takes a user and a password only by {schemes}, in a way that tunnelcast does not speak"
    )]
    NoScheme {
        /// Which.
        proxy: String,
        /// In its own words, safe to print.
        schemes: String,
    },
    /// They cannot be said in this proxy's protocol.
    #[error("this user or password cannot be given to the proxy {proxy}: {why}")]
    Unsayable {
        /// Which.
        proxy: String,
        /// Without the user and the password.
        why: &'static str,
    },
    /// It answered, and not with a tunnel.
    #[error(
        "the proxy {proxy} did not connect to {target}: it answered {status}{title}{hint}",
        title = quoted(.title), hint = hint(*.status)
    )]
    Status {
        /// Which.
        proxy: String,
        /// Where to.
        target: String,
        /// The HTTP status.
        status: u16,
        /// The page's title, safe to print; empty if there is none.
        title: String,
    },
    /// It answered, and not with a connection.
    #[error("the proxy {proxy} did not connect to {target}: {reply}")]
    Socks {
        /// Which.
        proxy: String,
        /// Where to.
        target: String,
        /// Its reply (RFC 1928, 6) in words.
        reply: &'static str,
    },
    /// The server has a name that no proxy can be told.
    #[error("{target} cannot be asked of a proxy: that is no name or address")]
    Target {
        /// Safe to print.
        target: String,
    },
}

impl ProxyError {
    /// What it is about.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoName { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::Unreachable { .. }
            | Self::Lost { .. } => ErrorKind::Unreachable,
            Self::NotTls { .. }
            | Self::Tls { .. }
            | Self::Untrusted { .. }
            | Self::NotProxy { .. } => ErrorKind::NotProxy,
            Self::NeedsCredentials { .. } => ErrorKind::NeedsCredentials,
            Self::WrongCredentials { .. } | Self::NoScheme { .. } | Self::Unsayable { .. } => {
                ErrorKind::WrongCredentials
            }
            Self::Slow { .. } | Self::Status { .. } | Self::Socks { .. } | Self::Target { .. } => {
                ErrorKind::Target
            }
        }
    }
}

fn of(realm: &str) -> String {
    if realm.is_empty() {
        String::new()
    } else {
        format!(" for \"{realm}\"")
    }
}

const fn hint(status: u16) -> &'static str {
    match status {
        400 | 404 | 405 | 501 => ": is it a proxy at all?",
        401 | 403 => ": its administrator has to allow that address and port",
        500 | 502..=504 => ": it cannot reach the server; check the link",
        _ => "",
    }
}
