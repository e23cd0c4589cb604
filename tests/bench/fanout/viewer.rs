//! Viewers that cost little: the real session over the real link, and nothing behind it.

use std::{
    error::Error,
    io::{self, ErrorKind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::{runtime::Runtime, sync::watch, task::JoinSet};
use tunnelcast::{
    client::Words,
    drive::{Beside, Drained, Endpoint, Lane, Turn},
    session::{
        Output, SessionError,
        client::{Event, Session, Want},
    },
    transport::{
        self, First, Kind,
        dial::{self, Ahead, Progress, Timeouts},
        plain::Held,
    },
    trust::{
        Link, Policy, client_config, outer_client_config, quic_client_config, sealed_client_config,
    },
    wire::{CloseCode, StreamName, Text},
};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// To watch the link's stream.
pub(crate) fn picture(link: &Link) -> Result<Want, Failure> {
    Ok(Want {
        agent: Text::new("benchmark"),
        stream: Some(link.stream.parse::<StreamName>()?),
        video: true,
        audio: false,
        ..Want::default()
    })
}

/// One viewer, until he is to leave; an error if the server ends it before.
pub(crate) struct Viewer<F> {
    session: Session,
    lane: Lane,
    watching: Watching<F>,
}

/// What he does with what comes.
struct Watching<F> {
    see: F,
    ended: Option<String>,
}

impl<F: FnMut(&Session, &Event) + Send> Viewer<F> {
    /// Comes this way.
    #[expect(clippy::disallowed_methods, reason = "a session begins now")]
    pub(crate) async fn come(link: &Link, kind: Kind, want: Want, see: F) -> Result<Self, Failure> {
        let mut session = Session::new(want, Instant::now());
        let opening = session
            .opening(Instant::now())
            .ok_or("a session without first words")?;
        let token = link.token.as_deref().map(str::parse).transpose()?;
        let link = dial(link, kind, &Words::new(opening, token)).await?;
        if kind.has_datagrams() {
            session.with_datagrams();
        }
        session.linked(Instant::now());
        Ok(Self {
            session,
            lane: Lane::new(link, INBOX),
            watching: Watching { see, ended: None },
        })
    }

    /// Watches until `leave`, and says goodbye. While he is `deaf` he reads nothing.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the driver of a session: it reads the clock"
    )]
    pub(crate) async fn watch(
        mut self,
        deaf: &AtomicBool,
        leave: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let mut leave = std::pin::pin!(leave);
        let mut leaving = false;
        loop {
            while deaf.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let mut end = End(&mut self.session, &mut self.watching);
            let deadline = match self.lane.drain(&mut end) {
                Drained::Idle(deadline) => deadline,
                Drained::Over | Drained::Left => break,
            };
            let deadline = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
            tokio::select! {
                biased;
                came = self.lane.ready() => self.lane.take(came, &mut end, Instant::now()),
                () = tokio::time::sleep_until(deadline.into()) => {}
                () = &mut leave, if !leaving => {
                    leaving = true;
                    self.session.close(CloseCode::Done, Instant::now());
                }
            }
        }
        self.lane.farewell().await;
        match self.watching.ended {
            Some(why) if !leaving => Err(why.into()),
            Some(_) | None => Ok(()),
        }
    }
}

/// The session, as what is driven.
struct End<'a, F>(&'a mut Session, &'a mut Watching<F>);

impl<F: FnMut(&Session, &Event) + Send> Endpoint for End<'_, F> {
    const INBOX: usize = INBOX;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.0.handle(bytes, now)
    }

    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        self.0.handle_datagram(datagram, now)
    }

    fn handle_frame(&mut self, frame: Bytes, now: Instant) -> Result<(), SessionError> {
        self.0.handle_whole(frame, now)
    }

    fn end(&mut self) {
        self.0.end();
    }

    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn {
        match self.0.poll(now, out) {
            Output::Send => Turn::Sent,
            Output::Event(Event::Closed(reason)) => {
                self.1.ended = Some(format!("closed: {reason:?}"));
                Turn::Closed
            }
            Output::Event(event) => {
                (self.1.see)(self.0, &event);
                Turn::Again
            }
            Output::Idle(deadline) => Turn::Idle(deadline),
        }
    }

    fn beside(&mut self, now: Instant, _room: usize, out: &mut BytesMut) -> Beside {
        match self.0.datagram(now, out) {
            true => Beside::Datagram,
            false => Beside::Nothing,
        }
    }

    async fn woken(&mut self) {
        std::future::pending().await
    }
}

/// A link of this kind.
pub(crate) async fn dial(
    link: &Link,
    kind: Kind,
    first: &dyn First,
) -> Result<transport::Link, Failure> {
    let (host, port) = (link.host.as_str(), link.port);
    let policy = Policy::Pinned(link.pin.ok_or("a link without a key")?);
    let timeouts = Timeouts::default();
    let target = dial::Target {
        host,
        port,
        stream: &link.stream,
        proxy: None,
    };
    match kind {
        Kind::Quic => {
            let progress = watch::Sender::new(Progress::default());
            let config = quic_client_config(policy, host, port)?;
            return Ok(dial::quic(target, &config, first, timeouts, &progress).await?);
        }
        Kind::Tls => {
            let config = client_config(policy, host, port)?;
            return Ok(dial::tls(target, config, first, timeouts).await?);
        }
        Kind::WebSocket | Kind::Http => {}
    }
    let inner = sealed_client_config(policy, host, port)?;
    let outer = outer_client_config(host)?;
    if kind == Kind::WebSocket {
        let dialled = dial::websocket(target, &outer, inner, first, timeouts);
        return Ok(dialled.await?.0);
    }
    let (held, ahead) = (Held::default(), Ahead::default());
    let dialled = dial::http(target, &outer, inner, first, &held, &ahead, timeouts);
    Ok(dialled.await?.0)
}

/// All viewers of a run; gone when dropped.
pub(crate) struct Crowd {
    tasks: JoinSet<()>,
    counts: Arc<Counts>,
    expected: usize,
    /// Dropped last.
    _runtime: Runtime,
}

/// What all of them have read so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
}

#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    frames: AtomicU64,
    /// From capture until a whole frame was there, in milliseconds, of all but the first viewer.
    ages: Mutex<Vec<f64>>,
    /// The first viewer reads nothing.
    stalled: AtomicBool,
}

impl Crowd {
    /// Connects them all, 20 ms apart.
    pub(crate) fn gather(count: usize, link: &Link) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (link, counts) = (link.clone(), Arc::clone(&counts));
            let viewer = async move {
                if let Err(err) = watch(&link, &counts, number == 0).await {
                    eprintln!("viewer {number}: {err}");
                }
            };
            tasks.spawn_on(viewer, runtime.handle());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            tasks,
            counts,
            expected: count,
            _runtime: runtime,
        })
    }

    /// From now on the first of them reads nothing, or again all there is.
    pub(crate) fn stall(&self, stalled: bool) {
        self.counts.stalled.store(stalled, Ordering::Relaxed);
    }

    /// How old frames were, in milliseconds, when the others had them, since this was asked last.
    pub(crate) fn ages(&self) -> Vec<f64> {
        let ages = self.counts.ages.lock();
        std::mem::take(&mut ages.unwrap_or_else(PoisonError::into_inner))
    }

    /// What they have read; an error if one of them has left.
    pub(crate) fn read(&mut self) -> io::Result<Totals> {
        if let Some(left) = self.tasks.try_join_next() {
            let of = self.expected;
            return Err(io::Error::new(
                ErrorKind::ConnectionAborted,
                format!("a viewer of {of} left: {left:?}"),
            ));
        }
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Ok(Totals {
            bytes: load(&self.counts.bytes),
            frames: load(&self.counts.frames),
        })
    }
}

/// One viewer over TLS, for as long as the server is there.
#[expect(clippy::disallowed_methods, reason = "how old a frame is, is seen now")]
async fn watch(link: &Link, counts: &Counts, first: bool) -> Result<(), Failure> {
    let mut read = 0;
    let see = |session: &Session, event: &Event| {
        let bytes = session.bytes_received();
        counts
            .bytes
            .fetch_add(bytes.saturating_sub(read), Ordering::Relaxed);
        read = bytes;
        if let Event::FrameEnd { capture, .. } = event {
            counts.frames.fetch_add(1, Ordering::Relaxed);
            if let Some(time) = session.server_time(Instant::now()).filter(|_| !first) {
                let age = time.since(*capture).as_secs_f64() * 1e3;
                let ages = counts.ages.lock();
                ages.unwrap_or_else(PoisonError::into_inner).push(age);
            }
        }
    };
    let never = AtomicBool::new(false);
    let deaf = if first { &counts.stalled } else { &never };
    let viewer = Viewer::come(link, Kind::Tls, picture(link)?, see).await?;
    viewer.watch(deaf, std::future::pending()).await
}

/// Connections that have shaken hands in TLS and say nothing; gone when dropped.
pub(crate) struct Silent {
    _connections: Vec<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>,
    _runtime: Runtime,
}

impl Silent {
    pub(crate) fn gather(count: usize, link: &Link) -> Result<Self, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let pin = link.pin.ok_or("a link without a key")?;
        let config = client_config(Policy::Pinned(pin), &link.host, link.port)?;
        let name = rustls::pki_types::ServerName::try_from(link.host.clone())?;
        let connect = async {
            let mut connections = Vec::with_capacity(count);
            for _ in 0..count {
                let tcp = tokio::net::TcpStream::connect((link.host.as_str(), link.port)).await?;
                let connector = tokio_rustls::TlsConnector::from(Arc::clone(&config));
                connections.push(connector.connect(name.clone(), tcp).await?);
            }
            Ok::<_, io::Error>(connections)
        };
        let connections = runtime.block_on(connect)?;
        Ok(Self {
            _connections: connections,
            _runtime: runtime,
        })
    }
}

/// Of some ages, in milliseconds.
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Percentiles {
    pub(crate) fn of(mut ages: Vec<f64>) -> Self {
        ages.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let age = ages.get(ages.len() * percent / 100);
            age.copied().unwrap_or(f64::NAN)
        };
        Self {
            p50: at(50),
            p99: at(99),
        }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, r#"{{"p50": {:.1}, "p99": {:.1}}}"#, self.p50, self.p99)
    }
}

/// As much as comes at once on a good line.
const INBOX: usize = 64 << 10;
