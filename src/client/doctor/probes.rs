//! What lies under the ways: name, TCP, certificate, UDP, packet size.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::super::reach::Target;
use super::{Name, Proxied, Reply, Tcp, Udp};
use crate::transport::dial::{self, DialError, Progress, Timeouts};
use crate::trust::{Pin, Policy, Rejection, Seen, client_config, printable};

/// See [`Facts`](super::Facts).
#[derive(Debug)]
pub(super) struct Under {
    pub(super) name: Name,
    pub(super) tcp: Vec<Tcp>,
    pub(super) certificate: Result<Seen, String>,
    pub(super) proxy: Option<Proxied>,
    pub(super) udp: Udp,
    pub(super) datagram: Option<usize>,
}

pub(super) async fn all(target: &Target) -> Under {
    let addresses = async {
        // Behind a proxy nobody here may know the name, and connections beside it say nothing of the ways through it.
        if target.proxy.is_some() {
            return (Name::Proxied, Vec::new());
        }
        let name = name(&target.host, target.port).await;
        let tcp = tcp(&name, target).await;
        (name, tcp)
    };
    let ((name, tcp), certificate, proxy, (udp, datagram)) =
        tokio::join!(addresses, certificate(target), proxied(target), udp(target));
    Under {
        name,
        tcp,
        certificate,
        proxy,
        udp,
        datagram,
    }
}

async fn name(host: &str, port: u16) -> Name {
    if host.parse::<IpAddr>().is_ok() {
        return Name::Literal;
    }
    let began = Instant::now();
    let unknown = |why: &io::Error| Name::Unknown {
        why: printable(&why.to_string(), MOST_WORDS),
    };
    match timeout(PATIENCE, lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let found = found.take(MOST_ADDRESSES).map(|address| address.ip());
            let addresses: Vec<IpAddr> = found.collect();
            if addresses.is_empty() {
                return unknown(&io::Error::other("it has no address"));
            }
            Name::Known {
                addresses,
                took: began.elapsed(),
            }
        }
        Ok(Err(why)) => unknown(&why),
        Err(late) => unknown(&late.into()),
    }
}

/// The first address of each family.
async fn tcp(name: &Name, target: &Target) -> Vec<Tcp> {
    let addresses = match name {
        Name::Literal => target.host.parse().into_iter().collect(),
        Name::Known { addresses, .. } => addresses.clone(),
        Name::Proxied | Name::Unknown { .. } => Vec::new(),
    };
    let reply = |wanted: fn(&IpAddr) -> bool| {
        let address = addresses.iter().copied().find(wanted);
        async move {
            let address = address?;
            let reply = reply(SocketAddr::new(address, target.port)).await;
            Some(Tcp { address, reply })
        }
    };
    let (six, four) = tokio::join!(reply(IpAddr::is_ipv6), reply(IpAddr::is_ipv4));
    [six, four].into_iter().flatten().collect()
}

async fn reply(address: SocketAddr) -> Reply {
    let began = Instant::now();
    let done = timeout(PATIENCE, TcpStream::connect(address)).await;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest has one variant")]
    match done.map_err(io::Error::from).flatten() {
        Ok(_) => Reply::Takes(began.elapsed()),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Reply::Refuses,
            io::ErrorKind::TimedOut => Reply::Silent,
            _ => Reply::No(printable(&error.to_string(), MOST_WORDS)),
        },
    }
}

/// What the proxy does when it is asked for the server.
async fn proxied(target: &Target) -> Option<Proxied> {
    let name = target.proxy.as_ref()?.name();
    let began = Instant::now();
    let led = dial::tcp(target.whom(), Timeouts::default()).await;
    Some(Proxied {
        name,
        leads: match led {
            Ok(()) => Ok(began.elapsed()),
            Err(why) => Err(why.to_string()),
        },
    })
}

/// What whoever answers there shows. It is looked at, and turned down whatever it is: nothing is said to it.
async fn certificate(target: &Target) -> Result<Seen, String> {
    // No key has this hash that anybody could find.
    let nobody = Policy::Pinned(Pin::from([0; 32]));
    let config = client_config(nobody, &target.host, target.port).map_err(|err| err.to_string())?;
    match dial::tls(target.whom(), config, &NOTHING, Timeouts::default()).await {
        Err(DialError::Rejected { rejection, .. }) => match *rejection {
            Rejection::OtherKey { seen, .. }
            | Rejection::Changed { seen, .. }
            | Rejection::Untrusted { seen, .. }
            | Rejection::Private { seen } => Ok(seen),
            damaged @ Rejection::Damaged => Err(damaged.to_string()),
        },
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("the certificate could not be looked at".to_owned()),
    }
}

/// Whether UDP is answered, and how large a datagram gets through: by a connection that carries nothing.
async fn udp(target: &Target) -> (Udp, Option<usize>) {
    let (progress, heard) = watch::channel(Progress::default());
    let timeouts = Timeouts::default();
    // Whoever has named a proxy wants neither to ask for names himself nor to be seen by the server.
    if target.proxy.is_some() {
        return (Udp::Untried, None);
    }
    let dialled = dial::quic(target.whom(), &target.quic, &NOTHING, timeouts, &progress).await;
    let room = match dialled {
        Ok(link) => {
            sleep(DISCOVERY).await;
            link.datagram_room().filter(|room| *room > 0)
        }
        Err(_) => None,
    };
    let udp = match *heard.borrow() {
        Progress::Silent => Udp::Silent,
        Progress::Refused => Udp::Refused,
        Progress::Heard => Udp::Answers,
    };
    (udp, room)
}

/// What is said to somebody who is only looked at.
const NOTHING: [u8; 0] = [];
/// For the resolver, and for each address to take a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// In which QUIC finds out how large a packet may be.
const DISCOVERY: Duration = Duration::from_millis(1500);
/// No name needs more, and whoever runs its name server may say anything.
const MOST_ADDRESSES: usize = 16;
const MOST_WORDS: usize = 120;
