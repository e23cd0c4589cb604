//! Assembly of the serving side: listen, admit, feed.

mod accept;
mod address;
mod descriptors;
mod gate;
mod groups;
mod ingest;
mod keys;
mod listen;
mod notices;
mod peer;
mod pictures;
mod relay;
mod reload;
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
use tracing::{Instrument, info_span, warn};

use crate::{
    capture::CaptureError,
    config::{Bounds, Serve},
    error::Error,
    hub::{Hub, Status, Stream},
    media::is_stream_name,
    transport::{Listener, Seldom, door::Door, forwarded::Proxies, plain, quic},
    trust::{self, Identity},
    wire::{StreamInfo, StreamName},
};

pub use self::relay::Publisher;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use self::relay::fuzz_relay;
use self::{
    accept::{accept, accept_plain, accept_quic},
    gate::Gate,
    groups::Groups,
    notices::Notices,
    relay::Relays,
    reload::Reload,
};
pub(crate) use self::{ingest::Ingest, share::Share, sources::Sources};

pub use self::{keys::check_config, listen::Sockets};

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
    reload: Reload,
    drain: Duration,
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
    notices: Notices,
    groups: Arc<Groups>,
    relays: Arc<Relays>,
    gate: Arc<Gate>,
    /// The most for each viewer, in bits a second.
    max_bps: Option<u64>,
    bounds: Bounds,
    /// Of those who are told that they are too many.
    turned_away: Seldom,
}

impl Server {
    /// Checks the source, makes or reads the key, listens, and serves until [`Self::shutdown`].
    ///
    /// Notices are told for as long as they are read; they are left out, never waited for, when they are not.
    ///
    /// # Errors
    /// What keeps it from starting: the source, the key, the address.
    pub async fn start(config: Serve) -> Result<(Self, mpsc::Receiver<Notice>), Error> {
        Self::start_on(config, Sockets::default()).await
    }

    /// The same on sockets that somebody else has bound.
    ///
    /// # Errors
    /// As [`Self::start`].
    #[expect(
        clippy::disallowed_methods,
        reason = "the epoch of the media clock is the moment the server starts"
    )]
    pub async fn start_on(
        config: Serve,
        sockets: Sockets,
    ) -> Result<(Self, mpsc::Receiver<Notice>), Error> {
        let mut bounds = config.bounds;
        descriptors::account_for(&mut bounds.door);
        let sources = if config.is_relay() {
            None
        } else {
            Some(Sources::look(&config.video, &config.audio).await?)
        };
        let names: Vec<String> = config.host.iter().cloned().collect();
        let reload = Reload::default();
        let files = keys::files(&config.identity, &reload);
        let identity = keys::load(&config.identity, &names)?;
        let quic = config.quic.then(|| identity.quic_server_config());
        let (listeners, endpoints) = listen::listen(&config.listen, quic, sockets).await?;
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
        let (notices, told) = Notices::new();
        let epoch = Instant::now();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let source = (config.identity, files);
        tasks.spawn(keys::keep(identity.clone(), source, names, stop.clone()));
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
            bounds,
            turned_away: Seldom::default(),
        });
        let door = Door::new(bounds.door, proxies.clone());
        let tokens = gate.follow(reload.said(), stop.clone());
        tasks.spawn(tokens.instrument(info_span!("tokens")));
        let (table, opened) = plain::Table::new(door.clone());
        tasks.spawn(accept_plain(opened, Arc::clone(&shared), tasks.clone()));
        for listener in listeners {
            let listener = listener
                .behind(door.clone())
                .with_sessions(table.clone())
                .trusting(proxies.clone());
            let span = info_span!("listener", addr = %listener.local());
            let (shared, table) = (Arc::clone(&shared), table.clone());
            tasks.spawn(accept(listener, table, shared, tasks.clone()).instrument(span));
        }
        for endpoint in endpoints {
            let span = info_span!("endpoint", addr = %endpoint.local());
            let endpoint = endpoint.behind(door.clone());
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
                reload,
                drain: bounds.drain,
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

    /// Reads again what is kept in files: the key, the certificate and the tokens. Nobody's session ends for it, unless
    /// his token is gone.
    pub fn reload(&self) {
        self.reload.now();
    }

    /// Says goodbye to every viewer, closes the source, and waits until that is done, but not for long.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if time::timeout(self.drain, self.tasks.wait()).await.is_err() {
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
    notices: Notices,
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
            notices.tell(Notice::Source(source));
        }
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
