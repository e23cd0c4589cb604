//! From a name to a connection: the addresses tried in turn, each with a head start (RFC 8305, lightly).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::DialError;
use crate::transport::race::{Addresses, Step};
use crate::transport::tcp;

pub(super) async fn connect(
    host: &str,
    port: u16,
    each: Duration,
    deadline: Instant,
    server: &str,
) -> Result<TcpStream, DialError> {
    reach(host, port, each, deadline)
        .await
        .map_err(|unreached| match unreached {
            Unreached::NoName(source) => no_name(host, source),
            Unreached::Failed(source) => DialError::connect(server, source),
            Unreached::Lost(source) => DialError::Lost {
                server: server.into(),
                source,
            },
        })
}

/// Why there is no connection to a name or address.
#[derive(Debug)]
pub(in crate::transport) enum Unreached {
    /// The name has no address.
    NoName(io::Error),
    /// None of the addresses took the connection; the error that says most.
    Failed(io::Error),
    /// One took it, and it was gone again.
    Lost(io::Error),
}

/// Connects to whatever is at a name or address. Each address has so much time, all together have until `deadline`.
pub(in crate::transport) async fn reach(
    host: &str,
    port: u16,
    each: Duration,
    deadline: Instant,
) -> Result<TcpStream, Unreached> {
    let addresses = lookup(host, port, deadline)
        .await
        .map_err(Unreached::NoName)?;
    let attempt = |address| async move { timeout(each, TcpStream::connect(address)).await? };
    let stream = race(addresses, attempt, telling, deadline)
        .await
        .map_err(|error| {
            Unreached::Failed(error.unwrap_or_else(|| io::ErrorKind::TimedOut.into()))
        })?;
    tcp::tune(&stream).map_err(Unreached::Lost)?;
    Ok(stream)
}

/// The addresses of a name, as the system gives them.
pub(super) async fn addresses(
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, DialError> {
    lookup(host, port, deadline)
        .await
        .map_err(|source| no_name(host, source))
}

async fn lookup(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = timeout_at(deadline, lookup_host((host, port))).await??;
    let found: Vec<SocketAddr> = found.take(MOST_ADDRESSES).collect();
    if found.is_empty() {
        return Err(io::Error::other("it has no address"));
    }
    Ok(found)
}

fn no_name(host: &str, source: io::Error) -> DialError {
    DialError::NoName {
        host: host.into(),
        source,
    }
}

/// The first connection that stands; otherwise the failure that says most, or none if there was none in time.
pub(super) async fn race<T, E, F>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
    telling: impl Fn(&E) -> u8,
    deadline: Instant,
) -> Result<T, Option<E>>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let mut addresses = Addresses::new(addresses, Instant::now().into_std());
    let mut running = JoinSet::new();
    let mut failure: Option<E> = None;
    loop {
        let wake = match addresses.poll(Instant::now().into_std()) {
            Step::Try(address) => {
                running.spawn(attempt(address));
                continue;
            }
            Step::Wait(wake) => wake.map_or(deadline, |wake| deadline.min(wake.into())),
            Step::Exhausted => return Err(failure),
        };
        tokio::select! {
            biased;
            Some(done) = running.join_next() => {
                match done.unwrap_or_else(|lost| Err(io::Error::other(lost).into())) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => {
                        if failure.as_ref().is_none_or(|old| telling(&error) > telling(old)) {
                            failure = Some(error);
                        }
                        addresses.failed(Instant::now().into_std());
                    }
                }
            }
            () = sleep_until(wake) => {
                if Instant::now() >= deadline {
                    return Err(failure);
                }
            }
        }
    }
}

/// How much a failure says about the server: a refusal comes from it, no route from near it, silence from nowhere.
fn telling(error: &io::Error) -> u8 {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is alike")]
    match error.kind() {
        io::ErrorKind::ConnectionRefused => 2,
        io::ErrorKind::TimedOut => 0,
        _ => 1,
    }
}

/// No name needs more, and whoever runs its name server may say anything.
const MOST_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hold_up_the_next() {
        let open = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let shut = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let refuses = shut.local_addr().unwrap();
        drop(shut);
        let addresses = vec![refuses, open.local_addr().unwrap()];
        let deadline = Instant::now() + Duration::from_secs(1);
        let stream = race(addresses, TcpStream::connect, telling, deadline)
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.local_addr().unwrap());
    }
}
