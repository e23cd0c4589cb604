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

use bytes::BytesMut;
use tokio::{runtime::Runtime, task::JoinSet, time::timeout_at};
use tunnelcast::{
    client::Words,
    session::{
        Output,
        client::{Event, Session, Want},
    },
    transport::{Ready, dial},
    trust::{Link, Policy, client_config},
    wire::{StreamName, Text},
};

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

/// One viewer, for as long as the server is there.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the driver of a session: it reads the clock"
)]
async fn watch(link: &Link, counts: &Counts, first: bool) -> Result<(), Box<dyn Error>> {
    let pin = link.pin.ok_or("a link without a key")?;
    let config = client_config(Policy::Pinned(pin), &link.host, link.port)?;
    let want = Want {
        agent: Text::new("fanout benchmark"),
        stream: Some(link.stream.parse::<StreamName>()?),
        video: true,
        audio: false,
        ..Want::default()
    };
    let mut session = Session::new(want, Instant::now());
    let (mut received, mut pending) = (BytesMut::new(), BytesMut::new());
    let opening = session
        .opening(Instant::now())
        .ok_or("a session without first words")?;
    let token = link.token.as_deref().map(str::parse).transpose()?;
    let words = Words::new(opening, token);
    let mut link = dial::tls(
        dial::Target {
            host: &link.host,
            port: link.port,
            stream: &link.stream,
            proxy: None,
        },
        config,
        &words,
        dial::Timeouts::default(),
    )
    .await?;
    session.linked(Instant::now());
    loop {
        while first && counts.stalled.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let deadline = loop {
            match session.poll(Instant::now(), &mut pending) {
                Output::Send => {}
                Output::Event(Event::FrameEnd { capture, .. }) => {
                    counts.frames.fetch_add(1, Ordering::Relaxed);
                    if let Some(time) = session.server_time(Instant::now()).filter(|_| !first) {
                        let ages = counts.ages.lock();
                        let age = time.since(capture).as_secs_f64() * 1e3;
                        ages.unwrap_or_else(PoisonError::into_inner).push(age);
                    }
                }
                Output::Event(Event::Closed(reason)) => {
                    return Err(format!("closed: {reason:?}").into());
                }
                Output::Event(_) => {}
                Output::Idle(deadline) => break deadline,
            }
        };
        let deadline = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        match timeout_at(deadline.into(), link.ready(&mut received, &mut pending)).await {
            Err(_)
            | Ok(Ok(Ready::Wrote(_) | Ready::Datagram(_) | Ready::Frame(_) | Ready::Room)) => {}
            Ok(Ok(Ready::Eof)) => return Err("the server has ended the connection".into()),
            Ok(Err(err)) => return Err(err.into()),
            Ok(Ok(Ready::Read(count))) => {
                counts.bytes.fetch_add(count.try_into()?, Ordering::Relaxed);
                session.handle(&mut received, Instant::now())?;
            }
        }
    }
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
