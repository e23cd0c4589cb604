//! Reaching the server through a proxy: HTTP `CONNECT`, over TLS where the proxy has it, or SOCKS5.
//!
//! The server's name is always given to the proxy and never resolved here. What comes out is a
//! `Base`, over which TLS with the server runs as over TCP, so a proxy sees a name, a port and
//! sealed bytes.

mod environment;
mod error;
mod http;
mod socks;
#[cfg(test)]
mod tests;
mod tls;
mod url;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub use self::environment::of_environment;
pub use self::error::{ErrorKind, ProxyError};
pub use self::url::ProxyUrlError;
use super::base::Base;
use super::dial::connect::{Unreached, reach};
use super::dial::{Port, authority};
use crate::trust::printable;

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `CONNECT` in plain HTTP/1.1.
    Http,
    /// The same in TLS.
    Https,
    /// SOCKS version 5 (RFC 1928). Called `socks5` or `socks5h`: the proxy resolves the name in both.
    Socks5,
}

/// A proxy, and how it is spoken to.
#[derive(Clone)]
pub struct Proxy {
    scheme: Scheme,
    /// Without brackets.
    host: String,
    port: u16,
    credentials: Option<Credentials>,
    /// Made when it is first needed, for it is read from disk.
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Proxy {
    /// Reads `http://USER:PASSWORD@HOST:PORT`, `HOST:PORT` (which is HTTP), `https://…` or `socks5://…`.
    ///
    /// `%` is decoded in the user and the password. Without a port it is curl's: 443 for `https`, else 1080. What
    /// follows the port is not looked at.
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        url::parse(url)
    }

    fn new(scheme: Scheme, host: String, port: u16, credentials: Option<Credentials>) -> Self {
        Self {
            scheme,
            host,
            port,
            credentials,
            tls: Arc::default(),
        }
    }

    /// The same, with this user and password instead of any other.
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Whether it comes with a user and a password.
    pub const fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// How it is spoken to.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// `HOST:PORT`, for people.
    pub fn name(&self) -> String {
        authority(&self.host, self.port, Port::Always)
    }

    const fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("scheme", &self.scheme)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// Who one is to a proxy. The user may have a Windows domain in front: `DOMAIN\user`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// Any text will do; a proxy's protocol may refuse some.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
        }
    }

    fn user(&self) -> &str {
        &self.user
    }

    fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What a proxy is asked for.
#[derive(Clone, Copy, Debug)]
struct Target<'a> {
    host: &'a str,
    port: u16,
    /// Both, as HTTP writes them.
    name: &'a str,
}

/// Connects to the proxy and has it connect to `host` (a name or an address, without brackets) and `port`.
///
/// Each of the proxy's own addresses has as long as `each`, everything together until `deadline`. Whoever drops the
/// future drops the connection.
pub(in crate::transport) async fn connect(
    proxy: &Proxy,
    host: &str,
    port: u16,
    each: Duration,
    deadline: Instant,
) -> Result<Base, ProxyError> {
    let name = authority(host, port, Port::Always);
    let target = checked(host, port, &name)?;
    let through = async {
        match proxy.scheme {
            Scheme::Http => {
                let open = || async {
                    let tcp = tcp(proxy, each, deadline).await?;
                    Ok(Base::from(tcp))
                };
                let (base, early) = http::connect(open, proxy, target).await?;
                Ok(base.with_early(early))
            }
            Scheme::Https => {
                let open = || async {
                    let tcp = tcp(proxy, each, deadline).await?;
                    tls::over(tcp, proxy).await
                };
                let (base, early) = http::connect(open, proxy, target).await?;
                Ok(base.with_early(early))
            }
            Scheme::Socks5 => {
                let tcp = tcp(proxy, each, deadline).await?;
                socks::connect(tcp.into(), proxy, target).await
            }
        }
    };
    // What is told apart below has the same deadline, and comes first.
    timeout_at(deadline, through).await.unwrap_or_else(|_| {
        Err(ProxyError::Slow {
            proxy: proxy.name(),
            target: name.clone(),
        })
    })
}

/// A name with a blank or a line's end in it would be a request of its own.
fn checked<'a>(host: &'a str, port: u16, name: &'a str) -> Result<Target<'a>, ProxyError> {
    let sayable = host.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || host.len() > MOST_HOST || !sayable {
        return Err(ProxyError::Target {
            target: printable(name, 80),
        });
    }
    Ok(Target { host, port, name })
}

async fn tcp(proxy: &Proxy, each: Duration, deadline: Instant) -> Result<TcpStream, ProxyError> {
    let reached = reach(&proxy.host, proxy.port, each, deadline).await;
    reached.map_err(|unreached| {
        let proxy = proxy.name();
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest has one variant")]
        match unreached {
            Unreached::NoName(source) => ProxyError::NoName { proxy, source },
            Unreached::Lost(source) => ProxyError::Lost { proxy, source },
            Unreached::Failed(source) => match source.kind() {
                io::ErrorKind::ConnectionRefused => ProxyError::Refused { proxy },
                io::ErrorKind::TimedOut => ProxyError::TimedOut { proxy },
                _ => ProxyError::Unreachable { proxy, source },
            },
        }
    })
}

/// Asks whatever is at the other end of `stream`, as [`connect`] would ask the proxy; and what it has said beyond its
/// answer. There is no second connection.
#[cfg(fuzzing)]
#[doc(hidden)]
pub async fn connect_over<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: S,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(S, bytes::Bytes), ProxyError> {
    let name = authority(host, port, Port::Always);
    let target = checked(host, port, &name)?;
    match proxy.scheme {
        Scheme::Http | Scheme::Https => {
            let stream = std::cell::Cell::new(Some(stream));
            let open = || {
                let next = stream.take().ok_or_else(|| ProxyError::Refused {
                    proxy: proxy.name(),
                });
                std::future::ready(next)
            };
            http::connect(open, proxy, target).await
        }
        Scheme::Socks5 => {
            let mut stream = stream;
            match socks::ask(&mut stream, proxy, target).await {
                Ok(()) => Ok((stream, bytes::Bytes::new())),
                Err(error) => Err(socks::failed(error, &[], proxy, target)),
            }
        }
    }
}

/// The longest name that SOCKS can say, and longer than the name system has any.
const MOST_HOST: usize = 255;
