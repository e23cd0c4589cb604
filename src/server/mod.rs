//! Assembly of the serving side: listen, admit, feed.

mod accept;
mod address;
mod gate;
mod groups;
mod ingest;
mod peer;
mod pictures;
mod relay;
mod share;
mod sounds;
mod sources;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::AtomicU32},
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{sync::mpsc, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, info_span, warn};

use crate::{
    capture::CaptureError,
    config::{AGENT, IdentitySource, Serve},
    drive,
    error::Error,
    hub::{Hub, Status, Stream},
    media::is_stream_name,
    session,
    transport::{self, Link, ListenError, Listener, Protocol, forwarded::Proxies, plain, quic},
    trust::{self, Identity},
    wire::{CloseCode, ResumeSecret, SessionId, StreamInfo, StreamName, Text},
};

pub use self::relay::Publisher;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use self::relay::fuzz_relay;
use self::{
    accept::{accept, accept_plain, accept_quic},
    gate::Gate,
    groups::Groups,
    peer::Peer,
    relay::Relays,
};
pub(crate) use self::{ingest::Ingest, share::Share, sources::Sources};

/// A running server. Dropping it stops it without a goodbye; [`Server::shutdown`] is the polite way.
#[derive(Debug)]
pub struct Server {
    link: trust::Link,
    publish_link: Option<trust::Link>,
    addresses: Vec<SocketAddr>,
    udp: Vec<SocketAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// `None` where it has no source of its own.
    sources: Option<Sources>,
}

/// Something a person may want to know.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A viewer came or went.
    Viewer(Viewer),
    /// A publisher came or went.
    Publisher(Publisher),
    /// A source changed its state.
    Source(Source),
}

/// A viewer, as `--json` tells it.
#[derive(Clone, Debug, Serialize)]
pub struct Viewer {
    /// Counts up from 1.
    pub id: u64,
    /// Where it is.
    pub addr: SocketAddr,
    /// How its bytes come.
    pub transport: &'static str,
    /// `watching` or `left`.
    pub state: &'static str,
    /// What it watches.
    pub stream: Option<String>,
    /// Why it left.
    pub reason: Option<String>,
    /// Which picture its line takes, from 0 for the best; told when that changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// How many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
}

impl std::fmt::Display for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, addr, .. } = self;
        match (self.step, self.steps) {
            (Some(0), _) => write!(f, "viewer {id} gets the best picture again"),
            (Some(step), Some(steps)) => write!(
                f,
                "viewer {id} gets picture {} of {steps}: its line takes no better one",
                step + 1
            ),
            _ => write!(
                f,
                "viewer {id} {} from {addr} over {}",
                self.state, self.transport
            ),
        }
    }
}

/// A source, as `--json` tells it.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// The stream's name.
    pub name: String,
    /// `idle`, `opening`, `live`, `lost` or `ended`.
    pub state: &'static str,
    /// Why, where there is a reason.
    pub why: Option<String>,
}

/// What all connections share.
struct Shared {
    hub: Arc<Hub>,
    identity: Identity,
    epoch: Instant,
    stop: CancellationToken,
    notices: mpsc::Sender<Notice>,
    groups: Arc<Groups>,
    relays: Arc<Relays>,
    gate: Arc<Gate>,
    /// The most for each viewer, in bits a second.
    max_bps: Option<u64>,
}

impl Server {
    /// Checks the source, makes or reads the key, listens, and serves until [`Self::shutdown`].
    ///
    /// Notices are told for as long as they are read; they are left out, never waited for, when they are not.
    ///
    /// # Errors
    /// What keeps it from starting: the source, the key, the address.
    #[expect(
        clippy::disallowed_methods,
        reason = "the epoch of the media clock is the moment the server starts"
    )]
    pub async fn start(config: Serve) -> Result<(Self, mpsc::Receiver<Notice>), Error> {
        let sources = if config.is_relay() {
            None
        } else {
            Some(Sources::look(&config.video, &config.audio).await?)
        };
        let names: Vec<String> = config.host.iter().cloned().collect();
        let identity = match &config.identity {
            IdentitySource::Directory(dir) => Identity::load_or_create(dir, &names)?,
            IdentitySource::Files { cert, key } => Identity::load(cert, key)?,
            IdentitySource::Fresh => Identity::fresh()?,
        };
        let quic = config.quic.then(|| identity.quic_server_config());
        let (listeners, endpoints) = listen(&config.listen, quic).await?;
        let proxies: Proxies = config.trusted_proxies.iter().copied().collect();
        let addresses: Vec<SocketAddr> = listeners.iter().map(Listener::local).collect();
        let udp: Vec<SocketAddr> = endpoints.iter().map(quic::Endpoint::local).collect();
        let (gate, own) = Gate::start(&config.access)?;
        let gate = Arc::new(gate);
        let mut link = link(&config, &addresses, &identity);
        let publish_link = own.publish.map(|token| trust::Link {
            token: Some(token.to_string()),
            // Whoever publishes names his stream himself.
            stream: String::new(),
            ..link.clone()
        });
        link.token = own.watch.map(|token| token.to_string());
        let hub = Arc::new(Hub::new());
        let (notices, told) = mpsc::channel(NOTICES);
        let epoch = Instant::now();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let rungs = Arc::new(AtomicU32::new(1));
        let pictures = pictures::Settings {
            epoch,
            quality: config.quality,
            rungs: Arc::clone(&rungs),
        };
        let settings = relay::Settings::new(
            pictures,
            (config.limits, config.linger),
            notices.clone(),
            (Arc::clone(&gate), stop.clone()),
        );
        let relays = Relays::new(
            Arc::clone(&hub),
            config.max_streams,
            settings,
            tasks.clone(),
        );
        if let Some(sources) = &sources {
            let stream = Stream::new(config.name.clone(), sources.tracks, config.limits);
            hub.insert(Arc::clone(&stream));
            let follower = follow(Arc::clone(&stream), notices.clone(), stop.clone());
            tasks.spawn(follower.instrument(info_span!("source", name = stream.name())));
            let span = info_span!("ingest", name = stream.name());
            let ingest = Ingest {
                stream,
                video: config.video,
                audio: config.audio,
                quality: config.quality,
                max_fps: config.max_fps,
                linger: config.linger,
                epoch,
                rungs,
                keeper: Arc::clone(&sources.keeper),
            };
            tasks.spawn(ingest.run(stop.clone()).instrument(span));
        }
        let shared = Arc::new(Shared {
            hub,
            identity,
            epoch,
            stop: stop.clone(),
            notices,
            groups: Arc::new(Groups::new(config.max_viewers)),
            relays: Arc::new(relays),
            gate: Arc::clone(&gate),
            max_bps: config.max_bitrate,
        });
        tasks.spawn(gate.follow(stop.clone()).instrument(info_span!("tokens")));
        let (table, opened) = plain::Table::new();
        tasks.spawn(accept_plain(opened, Arc::clone(&shared), tasks.clone()));
        for listener in listeners {
            let listener = listener
                .with_sessions(table.clone())
                .trusting(proxies.clone());
            let span = info_span!("listener", addr = %listener.local());
            tasks.spawn(accept(listener, Arc::clone(&shared), tasks.clone()).instrument(span));
        }
        for endpoint in endpoints {
            let span = info_span!("endpoint", addr = %endpoint.local());
            let accepts = accept_quic(endpoint, Arc::clone(&shared), tasks.clone());
            tasks.spawn(accepts.instrument(span));
        }
        Ok((
            Self {
                link,
                publish_link,
                addresses,
                udp,
                stop,
                tasks,
                sources,
            },
            told,
        ))
    }

    /// Resolves when the source turns out to be none, with the reason: standard input that holds no pictures.
    ///
    /// May be dropped and asked again.
    pub async fn failed(&mut self) -> CaptureError {
        match &mut self.sources {
            Some(sources) => sources.failed().await,
            None => std::future::pending().await,
        }
    }

    /// The link to send to viewers. It has a token unless anybody may watch, or the one that was made at the first start
    /// was taken back.
    pub const fn link(&self) -> &trust::Link {
        &self.link
    }

    /// The link by which a stream is published, as long as the token that was made for it at the first start is good.
    pub const fn publish_link(&self) -> Option<&trust::Link> {
        self.publish_link.as_ref()
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Where it listens for QUIC.
    pub fn udp_addresses(&self) -> Vec<SocketAddr> {
        self.udp.clone()
    }

    /// Says goodbye to every viewer, closes the source, and waits until that is done, but not for long.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if time::timeout(peer::DRAIN, self.tasks.wait()).await.is_err() {
            warn!("some viewers did not take their goodbye");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub use address::host;

/// Checks a stream's name.
///
/// # Errors
/// A line for a person.
pub fn stream_name(name: &str) -> Result<String, String> {
    if is_stream_name(name) {
        Ok(name.to_owned())
    } else {
        Err("1 to 64 letters, digits, '-', '_' and '.', the first a letter or a digit".to_owned())
    }
}

/// Where viewers come: over TLS, and, with `quic`, over QUIC on the same port numbers. A server that was there a moment
/// ago may still be saying goodbye over UDP, so that port is waited for, a little.
async fn listen(
    addresses: &[SocketAddr],
    quic: Option<Arc<rustls::ServerConfig>>,
) -> Result<(Vec<Listener>, Vec<quic::Endpoint>), Error> {
    for _ in 0..TRIES {
        match bind(addresses, quic.clone()) {
            Err(Error::Listen(ListenError::InUse {
                protocol: Protocol::Udp,
                ..
            })) => time::sleep(BETWEEN).await,
            done => return done,
        }
    }
    bind(addresses, quic)
}

fn bind(
    addresses: &[SocketAddr],
    quic: Option<Arc<rustls::ServerConfig>>,
) -> Result<(Vec<Listener>, Vec<quic::Endpoint>), Error> {
    let Some(quic) = quic else {
        if addresses.is_empty() {
            return Ok((vec![Listener::bind_all(trust::DEFAULT_PORT)?], Vec::new()));
        }
        let bound: Result<Vec<Listener>, _> =
            addresses.iter().map(|addr| Listener::bind(*addr)).collect();
        return Ok((bound?, Vec::new()));
    };
    let congestion = quic::Congestion::default();
    if addresses.is_empty() {
        let (tcp, udp) = transport::both::bind_all(trust::DEFAULT_PORT, &quic, congestion)?;
        return Ok((vec![tcp], vec![udp]));
    }
    let bound: Result<Vec<(Listener, quic::Endpoint)>, _> = addresses
        .iter()
        .map(|addr| transport::both::bind(*addr, &quic, congestion))
        .collect();
    Ok(bound?.into_iter().unzip())
}

fn link(config: &Serve, addresses: &[SocketAddr], identity: &Identity) -> trust::Link {
    let first = addresses
        .first()
        .copied()
        .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    trust::Link {
        host: config.host.clone().unwrap_or_else(|| host(first)),
        port: first.port(),
        prefix: String::new(),
        // Without a source of its own there is none to name.
        stream: if config.is_relay() {
            String::new()
        } else {
            config.name.clone()
        },
        pin: Some(identity.pin()),
        token: None,
    }
}

/// Tells how the source is, as it changes from now on, also before this is first polled.
fn follow(
    stream: Arc<Stream>,
    notices: mpsc::Sender<Notice>,
    stop: CancellationToken,
) -> impl Future<Output = ()> {
    let mut status = stream.status();
    async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = status.changed() => if changed.is_err() { return },
            }
            let status: Status = status.borrow_and_update().clone();
            let why = status.why().map(str::to_owned);
            let source = Source {
                name: stream.name().to_owned(),
                state: status.word(),
                why,
            };
            if notices.try_send(Notice::Source(source)).is_err() {
                debug!("a notice was left out");
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a session begins now")]
async fn serve(link: Link, shared: &Shared) {
    let (Some(session), Some(resume)) = (random(), random()) else {
        warn!("the system has no random numbers");
        return;
    };
    let offer = session::server::Offer {
        agent: Text::new(AGENT),
        // Whoever is let in is told.
        streams: Vec::new(),
        session: SessionId::from_bytes(session),
        resume: ResumeSecret::from_bytes(resume),
        max_bps: shared.max_bps,
    };
    let ident = (offer.session, offer.resume.clone());
    let now = Instant::now();
    let mut session = session::server::Session::new(offer, shared.epoch, now).asking();
    if let Some(round_trip) = link.round_trip() {
        session = session.with_round_trip(round_trip);
    }
    if link.kind().has_datagrams() {
        session = session.with_datagrams(now);
    }
    let place = shared.groups.link();
    if place.is_none() {
        warn!("twice as many connections as --max-viewers allows: one more is sent away");
        session.close(CloseCode::Busy, now);
    }
    let (kind, addr) = (link.kind(), link.peer());
    let hub = Arc::clone(&shared.hub);
    // A token of his own, since every viewer looks at it whenever he is driven.
    let stop = shared.stop.child_token();
    let mut peer = Peer::new(
        session,
        hub,
        stop,
        shared.notices.clone(),
        (Arc::clone(&shared.groups), ident),
        (Arc::clone(&shared.relays), Arc::clone(&shared.gate)),
        &link,
    );
    let Some(lane) = drive::run(link, &mut peer).await else {
        return;
    };
    let Some(leaving) = peer.leave() else {
        return;
    };
    let arrival = relay::Arrival {
        lane,
        kind,
        addr,
        publisher: leaving.ticket.publisher,
        pass: leaving.pass,
        place,
    };
    if leaving.ticket.links.send(arrival).await.is_err() {
        debug!("the stream is gone by now");
    }
}

pub(crate) fn info(stream: &Stream) -> Option<StreamInfo> {
    let name = stream.name().parse::<StreamName>().ok()?;
    Some(StreamInfo {
        name,
        video: stream.tracks().video,
        audio: stream.tracks().audio,
    })
}

pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

const NOTICES: usize = 256;
/// For a UDP port that is in use.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(50);
