//! From a name to a TCP connection, by whichever of its addresses answers first.

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
    let addresses = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => resolve(host, port, deadline).await?,
    };
    let stream = race(addresses, each, deadline)
        .await
        .map_err(|error| DialError::connect(server, error))?;
    tcp::tune(&stream).map_err(|source| DialError::Lost {
        server: server.into(),
        source,
    })?;
    Ok(stream)
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

/// The first connection that stands; otherwise the failure that says most.
async fn race(
    addresses: Vec<SocketAddr>,
    each: Duration,
    deadline: Instant,
) -> Result<TcpStream, io::Error> {
    let mut addresses = Addresses::new(addresses, Instant::now().into_std());
    let mut running = JoinSet::new();
    let mut failure: Option<io::Error> = None;
    loop {
        let wake = match addresses.poll(Instant::now().into_std()) {
            Step::Try(address) => {
                running.spawn(async move { timeout(each, TcpStream::connect(address)).await? });
                continue;
            }
            Step::Wait(wake) => wake.map_or(deadline, |wake| deadline.min(wake.into())),
            Step::Exhausted => {
                return Err(failure.unwrap_or_else(|| io::ErrorKind::TimedOut.into()));
            }
        };
        tokio::select! {
            biased;
            Some(done) = running.join_next() => {
                match done.unwrap_or_else(|lost| Err(io::Error::other(lost))) {
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
                    return Err(failure.unwrap_or_else(|| io::ErrorKind::TimedOut.into()));
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
        let second = Duration::from_secs(1);
        let stream = race(addresses, second, Instant::now() + second)
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.local_addr().unwrap());
    }
}
