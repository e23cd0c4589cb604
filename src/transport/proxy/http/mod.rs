//! HTTP `CONNECT` (RFC 9110, 9.3.6), with whatever has to be said before a proxy agrees.

mod challenge;
mod digest;
#[cfg(feature = "kerberos")]
mod kerberos;
mod line;
mod login;
mod ntlm;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use self::challenge::Challenge;
use self::line::{Failure, Line};
use self::login::{Login, Refusal};
use super::{Proxy, ProxyError, Scheme, Target};
use crate::trust::printable;

/// Has the proxy connect to the target. What comes out is the connection, on which the target now is, and what it has
/// said already.
///
/// `open` makes a connection to the proxy. A second one is made where the proxy has ended the first, which some do
/// with every answer but the last.
pub(super) async fn connect<S, F>(
    open: impl Fn() -> F,
    proxy: &Proxy,
    target: Target<'_>,
) -> Result<(S, Bytes), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Result<S, ProxyError>>,
{
    let mut login = Login::new(proxy.credentials(), target.name);
    let mut line = Line::new(open().await?);
    let mut moved = 0;
    for _ in 0..MOST_REQUESTS {
        let request = request(target, login.header());
        let reply = match line.ask(request.as_bytes()).await {
            Ok(reply) => reply,
            Err(Failure::Gone(_)) if moved < MOST_MOVES && login.can_move() => {
                moved += 1;
                line = Line::new(open().await?);
                continue;
            }
            Err(failure) => return Err(failed(failure, proxy)),
        };
        match reply.status {
            200..=299 => return Ok(line.into_parts()),
            407 => {
                // Without credentials there is no next request, and nothing to make room for.
                let stays = proxy.has_credentials() && line.drain(&reply).await;
                let state = if stays {
                    login::Line::Kept
                } else {
                    login::Line::Lost
                };
                #[cfg(feature = "kerberos")]
                if let Some(credentials) = login.wants_ticket(&reply.challenges) {
                    match kerberos::ask(credentials, &proxy.host).await {
                        kerberos::Asked::Ticket(ticket) => login.has_ticket(ticket),
                        kerberos::Asked::WrongPassword => {
                            let refusal = Refusal::Wrong("Kerberos");
                            return Err(refused(refusal, &reply.challenges, proxy));
                        }
                        kerberos::Asked::Nothing => {}
                    }
                }
                login
                    .challenged(&reply.challenges, state)
                    .map_err(|refusal| refused(refusal, &reply.challenges, proxy))?;
                if !stays {
                    moved += 1;
                    if moved > MOST_MOVES {
                        break;
                    }
                    line = Line::new(open().await?);
                }
            }
            status => {
                // A proxy's refusal is 407, but tinyproxy's of a password is this.
                if let (401, Some(scheme)) = (status, login.given()) {
                    let refusal = Refusal::Wrong(scheme);
                    return Err(refused(refusal, &reply.challenges, proxy));
                }
                return Err(other(status, line, proxy, target).await);
            }
        }
    }
    Err(ProxyError::NoScheme {
        proxy: proxy.name(),
        schemes: String::from("asking over and over again"),
    })
}

fn request(target: Target<'_>, login: Option<&str>) -> String {
    let name = target.name;
    let login = login.map(|said| format!("Proxy-Authorization: {said}\r\n"));
    format!(
        "CONNECT {name} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: {AGENT}\r\n\
         Proxy-Connection: keep-alive\r\n{}\r\n",
        login.unwrap_or_default()
    )
}

async fn other<S: AsyncRead + AsyncWrite + Unpin>(
    status: u16,
    line: Line<S>,
    proxy: &Proxy,
    target: Target<'_>,
) -> ProxyError {
    ProxyError::Status {
        proxy: proxy.name(),
        target: target.name.to_owned(),
        status,
        title: line.title().await,
    }
}

fn failed(failure: Failure, proxy: &Proxy) -> ProxyError {
    let name = proxy.name();
    match failure {
        Failure::Gone(source) | Failure::Lost(source) => ProxyError::Lost {
            proxy: name,
            source,
        },
        Failure::NotHttp(looks) => ProxyError::NotProxy {
            proxy: name,
            wanted: "HTTP",
            looks,
            other: match proxy.scheme() {
                Scheme::Http => "https:// or socks5://",
                Scheme::Https | Scheme::Socks5 => "socks5://",
            },
        },
    }
}

fn refused(refusal: Refusal, offered: &[Challenge], proxy: &Proxy) -> ProxyError {
    let proxy = proxy.name();
    let realm = offered
        .iter()
        .find_map(|challenge| challenge.param("realm"));
    let realm = printable(realm.unwrap_or_default(), 80);
    let schemes: Vec<&str> = offered.iter().map(|one| one.scheme.as_str()).collect();
    let schemes = match schemes.as_slice() {
        [] => String::from("no way that it names"),
        some => printable(&some.join(", "), 80),
    };
    match refusal {
        Refusal::NoCredentials => ProxyError::NeedsCredentials {
            proxy,
            realm,
            schemes,
        },
        Refusal::Wrong(scheme) => ProxyError::WrongCredentials {
            proxy,
            realm,
            scheme,
        },
        Refusal::NoScheme => ProxyError::NoScheme { proxy, schemes },
    }
}

const AGENT: &str = concat!("tunnelcast/", env!("CARGO_PKG_VERSION"));
/// Nothing, Negotiate three times, NTLM twice, Digest twice, Basic: more is not to be said.
const MOST_REQUESTS: usize = 9;
/// How often a proxy may end the connection and be asked again.
const MOST_MOVES: usize = 3;
