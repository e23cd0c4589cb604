//! From a name to a connection: the addresses tried in turn, each with a head start (RFC 8305, lightly).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::DialError;
use crate::transport::tcp;

pub(super) async fn connect(
    host: &str,
    port: u16,
    each: Duration,
    deadline: Instant,
    server: &str,
) -> Result<TcpStream, DialError> {
    let addresses = addresses(host, port, deadline).await?;
    let attempt = |address| async move { timeout(each, TcpStream::connect(address)).await? };
    let stream = race(addresses, attempt, telling, deadline)
        .await
        .map_err(|error| {
            let error = error.unwrap_or_else(|| io::ErrorKind::TimedOut.into());
            DialError::connect(server, error)
        })?;
    tcp::tune(&stream).map_err(|source| DialError::Lost {
        server: server.into(),
        source,
    })?;
    Ok(stream)
}

/// The addresses of a name, in the order in which they are tried.
pub(super) async fn addresses(
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, DialError> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
        Err(_) => Ok(interleave(resolve(host, port, deadline).await?)),
    }
}

async fn resolve(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |source| DialError::NoName {
        host: host.into(),
        source,
    };
    let found: Vec<SocketAddr> = match timeout_at(deadline, lookup_host((host, port))).await {
        Ok(found) => found.map_err(failed)?.take(MOST_ADDRESSES).collect(),
        Err(late) => return Err(failed(late.into())),
    };
    if found.is_empty() {
        return Err(failed(io::Error::other("it has no address")));
    }
    Ok(found)
}

/// The families in turn, beginning with the one that the system prefers; each in the system's order.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().copied() else {
        return addresses;
    };
    let (mut preferred, mut other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|a| a.is_ipv6() == first.is_ipv6());
    let mut order = Vec::with_capacity(preferred.len() + other.len());
    preferred.reverse();
    other.reverse();
    while !(preferred.is_empty() && other.is_empty()) {
        order.extend(preferred.pop());
        order.extend(other.pop());
    }
    order
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
    let mut left = addresses.into_iter();
    let mut running = JoinSet::new();
    let mut next = Instant::now();
    let mut failure: Option<E> = None;
    loop {
        if next <= Instant::now()
            && let Some(address) = left.next()
        {
            running.spawn(attempt(address));
            next = Instant::now() + HEAD_START;
        }
        if running.is_empty() && left.len() == 0 {
            return Err(failure);
        }
        tokio::select! {
            biased;
            Some(done) = running.join_next() => {
                match done.unwrap_or_else(|lost| Err(io::Error::other(lost).into())) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => {
                        if failure.as_ref().is_none_or(|old| telling(&error) > telling(old)) {
                            failure = Some(error);
                        }
                        next = Instant::now();
                    }
                }
            }
            () = sleep_until(next), if left.len() > 0 => {}
            () = sleep_until(deadline) => return Err(failure),
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

/// Before the next address is tried beside the last.
const HEAD_START: Duration = Duration::from_millis(250);
/// No name needs more, and whoever runs its name server may say anything.
const MOST_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 443))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), 443))
    }

    #[test]
    fn families_take_turns() {
        let order = interleave(vec![v6(1), v6(2), v6(3), v4(1)]);
        assert_eq!(order, [v6(1), v4(1), v6(2), v6(3)]);
        assert_eq!(interleave(vec![v4(1), v6(1)]), [v4(1), v6(1)]);
        assert_eq!(interleave(Vec::new()), []);
    }

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
