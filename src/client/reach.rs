//! From a server's name to a link on which it has answered: the ways raced against each other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;
use tracing::{debug, info};

use crate::drive::Early;
use crate::transport::dial::{self, DialError, Progress, Timeouts};
use crate::transport::memory::{Memory, Network};
use crate::transport::race::{Beside, Event, Output, Plan, Race, Udp, Ways, Why};
use crate::transport::{Carrier, Link, Ready};
use crate::trust::QuicClient;

/// Whom to reach, and how.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) quic: QuicClient,
    pub(super) ways: Ways,
    pub(super) memory: Arc<Mutex<Memory>>,
}

/// A link on which the server has answered.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) link: Link,
    /// What it has said.
    pub(super) early: Early,
    /// How long it took.
    pub(super) took: Duration,
    /// Why not over QUIC.
    pub(super) why: Option<String>,
}

/// Tries every way that is allowed; the first on which the server answers wins. `first` goes with each.
#[expect(clippy::disallowed_methods, reason = "the race is against the clock")]
pub(super) async fn reach(target: &Target, first: Bytes) -> Result<Reached, DialError> {
    let network = Network::current(&target.host);
    let now = SystemTime::now();
    let broken = locked(&target.memory).is_broken(&network, now);
    let plan = Plan {
        ways: target.ways,
        udp: broken.map_or(Udp::Unknown, |broken| Udp::Broken {
            ago: now.duration_since(broken.since).unwrap_or_default(),
        }),
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
                    first.clone(),
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
                            Err(err) if err.rejection().is_some() => Event::Rejected(carrier, err),
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
                let Some(Answered { link, early }) = answered else {
                    return Err(timed_out(target));
                };
                info!(way = %report.winner, took = ?report.took, why = ?report.why, "reached");
                if report.winner == Carrier::Udp {
                    // What cannot be written is not remembered.
                    let _unwritten = locked(&target.memory).works(&network);
                } else if let Beside::GoesOn(Carrier::Udp) = report.beside {
                    tokio::spawn(listen(attempts, heard, target.clone()));
                }
                let why = report.why.filter(|why| !matches!(why, Why::NotAllowed));
                return Ok(Reached {
                    link,
                    early,
                    took: report.took,
                    why: why.map(|why| why.to_string()),
                });
            }
            Output::Failed(failure) => {
                let told = failure.into_told();
                return Err(told.map_or_else(|| timed_out(target), |(_, err)| err));
            }
            Output::Over => return Err(timed_out(target)),
        }
    }
}

/// A link, and what came over it by the time that the server had answered.
struct Answered {
    link: Link,
    early: Early,
}

async fn attempt(
    carrier: Carrier,
    target: Target,
    first: Bytes,
    progress: Arc<watch::Sender<Progress>>,
) -> (Carrier, Result<Answered, DialError>) {
    let whom = dial::Target {
        host: &target.host,
        port: target.port,
        stream: &target.path,
    };
    let timeouts = Timeouts::default();
    let linked = match carrier {
        Carrier::Udp => dial::quic(whom, &target.quic, &first, timeouts, &progress).await,
        Carrier::Tcp => dial::tls(whom, Arc::clone(&target.tls), &first, timeouts).await,
    };
    let answered = match linked {
        Ok(link) => answer(link, &target).await,
        Err(err) => Err(err),
    };
    (carrier, answered)
}

/// Waits for the server's first word: a link that stands is not yet one that carries anything.
async fn answer(mut link: Link, target: &Target) -> Result<Answered, DialError> {
    let mut early = Early::default();
    let mut nothing = BytesMut::new();
    loop {
        let ready = time::timeout(WORDLESS, link.ready(&mut early.stream, &mut nothing)).await;
        let lost = |source| DialError::Wordless {
            server: format!("{}:{}", target.host, target.port),
            source,
        };
        match ready.map_err(|late| lost(late.into()))?.map_err(lost)? {
            Ready::Read(_) => return Ok(Answered { link, early }),
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

fn timed_out(target: &Target) -> DialError {
    DialError::TimedOut {
        server: format!("{}:{}", target.host, target.port),
    }
}

fn locked(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a server may take for its first word.
const WORDLESS: Duration = Duration::from_secs(5);

/// What comes before the first word is little.
const MOST_EARLY: usize = 1024;

/// UDP that is silent for so long after TLS has won is dropped somewhere: by then three packets were sent.
const SILENCE: Duration = Duration::from_secs(1);
