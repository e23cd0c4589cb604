//! From a server's name to a link on which it has answered: the ways raced against each other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;
use tracing::{debug, info};

use super::ladder::{self, Between, Found};
use crate::config::Inspected;
use crate::drive::Early;
use crate::transport::dial::{self, DialError, Progress, Timeouts};
use crate::transport::memory::{Memory, Network};
use crate::transport::plain::Held;
use crate::transport::proxy::Proxy;
use crate::transport::race::{Beside, Event, Output, Plan, Race, Udp, Ways, Why};
use crate::transport::{Carrier, First, Link, Ready};
use crate::trust::{OuterClient, QuicClient};

/// Whom to reach, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) tls: Arc<ClientConfig>,
    /// The same with a first message that fits into a packet.
    pub(crate) classical: Arc<ClientConfig>,
    /// For TLS to the server's own key inside a connection that ends elsewhere, and for that connection.
    pub(crate) inner: Arc<ClientConfig>,
    pub(crate) outer: OuterClient,
    pub(crate) quic: QuicClient,
    pub(crate) inspected: Inspected,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) ways: Ways,
    pub(crate) memory: Arc<Mutex<Memory>>,
    /// Whether long answers are held back on the network where that was last looked at.
    pub(crate) held: Arc<Mutex<Option<(Network, Held)>>>,
}

impl Target {
    /// `HOST:PORT` for a person.
    pub(crate) fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The same as a dialler wants it.
    pub(crate) fn whom(&self) -> dial::Target<'_> {
        dial::Target {
            host: &self.host,
            port: self.port,
            stream: &self.path,
            proxy: self.proxy.as_ref(),
        }
    }

    pub(crate) fn timed_out(&self) -> DialError {
        DialError::TimedOut {
            server: self.server(),
        }
    }
}

/// A link on which the server has answered.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) link: Link,
    /// Who stands between.
    pub(crate) between: Option<Between>,
    /// The proxy that leads there.
    pub(crate) proxy: Option<String>,
    /// Over HTTP: whether the answers come in pieces.
    pub(crate) pieces: Option<bool>,
    /// What it has said.
    pub(crate) early: Early,
    /// How long it took.
    pub(crate) took: Duration,
    /// Why not over QUIC.
    pub(crate) why: Option<String>,
}

impl Reached {
    /// Who inspects, if anybody does.
    pub(crate) fn inspected(&self) -> Option<String> {
        self.between.as_ref().and_then(Between::inspected)
    }

    /// Who vouches for what is in front of the server.
    pub(crate) fn front(&self) -> Option<String> {
        self.between.as_ref().and_then(Between::front)
    }
}

/// Tries every way that is allowed; the first on which the server answers wins. `first` goes with each.
#[expect(clippy::disallowed_methods, reason = "the race is against the clock")]
pub(crate) async fn reach(target: &Target, first: Arc<dyn First>) -> Result<Reached, DialError> {
    let network = Network::current(&target.host);
    let now = SystemTime::now();
    let broken = locked(&target.memory).is_broken(&network, now);
    let plan = Plan {
        ways: target.ways,
        udp: broken.map_or(Udp::Unknown, |broken| Udp::Broken {
            ago: now.duration_since(broken.since).unwrap_or_default(),
        }),
        proxied: target.proxy.is_some(),
        ..Plan::default()
    };
    let mut race: Race<DialError> = Race::new(plan, Instant::now());
    let (progress, mut heard) = watch::channel(Progress::Silent);
    let progress = Arc::new(progress);
    let mut attempts = JoinSet::new();
    let mut answered: Option<Answered> = None;
    loop {
        match race.poll(Instant::now()) {
            Output::Start(carrier) => {
                debug!(%carrier, "tried");
                let attempt = attempt(
                    carrier,
                    target.clone(),
                    Arc::clone(&first),
                    Arc::clone(&progress),
                );
                attempts.spawn(attempt);
            }
            Output::Wait(until) => {
                tokio::select! {
                    Some(done) = attempts.join_next() => {
                        // Nobody aborts one: it could only have panicked, which was told already.
                        let Ok((carrier, done)) = done else { continue };
                        let event = match done {
                            Ok(link) => {
                                answered = Some(link);
                                Event::Welcome(carrier)
                            }
                            Err(err) if err.is_refusal() => Event::Rejected(carrier, err),
                            Err(err) => Event::Failed(carrier, err),
                        };
                        race.handle(event, Instant::now());
                    }
                    Ok(()) = heard.changed() => {
                        let event = match *heard.borrow_and_update() {
                            Progress::Silent => continue,
                            Progress::Refused => Event::UdpRefused,
                            Progress::Heard => Event::Heard,
                        };
                        race.handle(event, Instant::now());
                    }
                    () = time::sleep_until(until.into()) => {}
                }
            }
            Output::Won(report) => {
                let Some(Answered {
                    link,
                    between,
                    pieces,
                    early,
                }) = answered
                else {
                    return Err(target.timed_out());
                };
                info!(way = %report.winner, took = ?report.took, why = ?report.why, "reached");
                if report.winner == Carrier::Udp {
                    // What cannot be written is not remembered.
                    let _unwritten = locked(&target.memory).works(&network);
                } else if let Beside::GoesOn(Carrier::Udp) = report.beside {
                    tokio::spawn(listen(attempts, heard, target.clone()));
                }
                let why = report.why.filter(|why| !matches!(why, Why::NotAllowed));
                let proxied = report.winner == Carrier::Tcp;
                let proxy = target.proxy.as_ref().filter(|_| proxied);
                return Ok(Reached {
                    link,
                    between,
                    proxy: proxy.map(Proxy::name),
                    pieces,
                    early,
                    took: report.took,
                    why: why.map(|why| why.to_string()),
                });
            }
            Output::Failed(failure) => {
                let told = failure.into_told();
                let err = told.map_or_else(|| target.timed_out(), |(_, err)| err);
                return Err(explained(err, target).await);
            }
            Output::Over => return Err(target.timed_out()),
        }
    }
}

/// The same, or what is behind it.
async fn explained(err: DialError, target: &Target) -> DialError {
    let like_a_portal = matches!(
        err,
        DialError::Rejected { .. }
            | DialError::TimedOut { .. }
            | DialError::Refused { .. }
            | DialError::Silent { .. }
            | DialError::NotTls { .. }
            | DialError::NoTunnel { .. }
            | DialError::Unreachable { .. }
            | DialError::Lost { .. }
    );
    if !like_a_portal || target.proxy.is_some() {
        return err;
    }
    match dial::portal(&target.host, HTTP, PORTAL).await {
        Some(page) => DialError::Portal { page },
        None => err,
    }
}

/// A link, and what came over it by the time that the server had answered.
struct Answered {
    link: Link,
    between: Option<Between>,
    pieces: Option<bool>,
    early: Early,
}

async fn attempt(
    carrier: Carrier,
    target: Target,
    first: Arc<dyn First>,
    progress: Arc<watch::Sender<Progress>>,
) -> (Carrier, Result<Answered, DialError>) {
    let linked = match carrier {
        Carrier::Udp => {
            let timeouts = Timeouts::default();
            let link = dial::quic(target.whom(), &target.quic, &*first, timeouts, &progress).await;
            link.map(|link| Found {
                link,
                between: None,
                pieces: None,
            })
        }
        Carrier::Tcp => ladder::tcp(&target, &*first).await,
    };
    let answered = match linked {
        Ok(found) => answer(found, &target).await,
        Err(err) => Err(err),
    };
    (carrier, answered)
}

/// Waits for the server's first word: a link that stands is not yet one that carries anything.
async fn answer(found: Found, target: &Target) -> Result<Answered, DialError> {
    let Found {
        mut link,
        between,
        pieces,
    } = found;
    let mut early = Early::default();
    let mut nothing = BytesMut::new();
    loop {
        let ready = time::timeout(WORDLESS, link.ready(&mut early.stream, &mut nothing)).await;
        let lost = |source| DialError::Wordless {
            server: target.server(),
            source,
        };
        match ready.map_err(|late| lost(late.into()))?.map_err(lost)? {
            Ready::Read(_) => {
                return Ok(Answered {
                    link,
                    between,
                    pieces,
                    early,
                });
            }
            Ready::Datagram(datagram) => early.datagrams.push(datagram),
            Ready::Frame(frame) => early.frames.push(frame),
            Ready::Wrote(_) | Ready::Room => {}
            Ready::Eof => return Err(lost(std::io::ErrorKind::UnexpectedEof.into())),
        }
        if early.datagrams.len() + early.frames.len() > MOST_EARLY {
            return Err(lost(std::io::ErrorKind::InvalidData.into()));
        }
    }
}

/// TLS has won, and QUIC is still under way: finds out whether UDP is answered at all, and remembers.
#[expect(
    clippy::disallowed_methods,
    reason = "what is remembered counts on the wall's clock"
)]
async fn listen(
    attempts: JoinSet<(Carrier, Result<Answered, DialError>)>,
    mut heard: watch::Receiver<Progress>,
    target: Target,
) {
    let answered = heard.wait_for(|progress| *progress == Progress::Heard);
    let silent = time::timeout(SILENCE, answered).await.is_err();
    drop(attempts);
    if silent {
        // Computed anew: the router's address may have become known meanwhile.
        let network = Network::current(&target.host);
        let remembered = locked(&target.memory).broken(&network, SystemTime::now());
        info!(?remembered, "UDP is not answered on this network");
    }
}

pub(crate) fn locked(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a captive portal is looked for, and for how long.
const HTTP: u16 = 80;
const PORTAL: Duration = Duration::from_secs(1);

/// How long a server may take for its first word.
const WORDLESS: Duration = Duration::from_secs(5);

/// What comes before the first word is little.
const MOST_EARLY: usize = 1024;

/// UDP that is silent for so long after TLS has won is dropped somewhere: by then three packets were sent.
const SILENCE: Duration = Duration::from_secs(1);
