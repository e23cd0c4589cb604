//! Viewers that cost little: the real session over the real link, and nothing behind it.

use std::{
    error::Error,
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{runtime::Runtime, task::JoinSet, time::timeout_at};
use tunnelcast::{
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
                if let Err(err) = watch(&link, &counts).await {
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
async fn watch(link: &Link, counts: &Counts) -> Result<(), Box<dyn Error>> {
    let pin = link.pin.ok_or("a link without a key")?;
    let config = client_config(Policy::Pinned(pin), &link.host, link.port)?;
    let want = Want {
        agent: Text::new("fanout benchmark"),
        stream: Some(link.stream.parse::<StreamName>()?),
        video: true,
        audio: false,
        max_bps: None,
    };
    let mut session = Session::new(want, Instant::now());
    let (mut received, mut pending) = (BytesMut::new(), BytesMut::new());
    while session.poll(Instant::now(), &mut pending) == Output::Send {}
    let mut link = dial::tls(
        dial::Target {
            host: &link.host,
            port: link.port,
            stream: &link.stream,
        },
        config,
        &pending,
        dial::Timeouts::default(),
    )
    .await?;
    session.linked(Instant::now());
    pending.clear();
    loop {
        let deadline = loop {
            match session.poll(Instant::now(), &mut pending) {
                Output::Send => {}
                Output::Event(Event::FrameEnd { .. }) => {
                    counts.frames.fetch_add(1, Ordering::Relaxed);
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
            Err(_) | Ok(Ok(Ready::Wrote(_))) => {}
            Ok(Ok(Ready::Eof)) => return Err("the server has ended the connection".into()),
            Ok(Err(err)) => return Err(err.into()),
            Ok(Ok(Ready::Read(count))) => {
                counts.bytes.fetch_add(count.try_into()?, Ordering::Relaxed);
                session.handle(&mut received, Instant::now())?;
            }
        }
    }
}
