//! Viewers that have said hello, watch nothing, and answer when they are asked whether they live.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{runtime::Runtime, sync::Semaphore, task::JoinSet, time::timeout_at};
use tunnelcast::{
    client::Words,
    session::{
        Output,
        client::{Event, Session, Want},
    },
    transport::{Ready, dial},
    trust::{Link, Policy, client_config},
    wire::Text,
};

/// All of them; gone when dropped.
pub(crate) struct Crowd {
    there: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
    _runtime: Runtime,
}

impl Crowd {
    /// Until each has had its welcome, or has failed.
    pub(crate) fn gather(count: usize, link: &Link) -> Result<Self, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let (there, arrived) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        // So many shake hands at a time.
        let turns = Arc::new(Semaphore::new(32));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (link, there) = (link.clone(), Arc::clone(&there));
            let (turns, arrived) = (Arc::clone(&turns), Arc::clone(&arrived));
            let viewer = async move {
                let Ok(turn) = turns.acquire_owned().await else {
                    return;
                };
                let mut turn = Some((turn, Arrival(arrived)));
                let stayed = stay(&link, || {
                    there.fetch_add(1, Ordering::Relaxed);
                    turn = None;
                });
                if let Err(err) = stayed.await {
                    eprintln!("an idle viewer: {err}");
                }
                there.fetch_sub(1, Ordering::Relaxed);
            };
            tasks.spawn_on(viewer, runtime.handle());
        }
        while arrived.load(Ordering::Relaxed) < count {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self {
            there,
            _tasks: tasks,
            _runtime: runtime,
        })
    }

    /// How many have had their welcome and are still there.
    pub(crate) fn there(&self) -> usize {
        self.there.load(Ordering::Relaxed)
    }
}

/// Counted when dropped, whatever came of it.
struct Arrival(Arc<AtomicUsize>);

impl Drop for Arrival {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the driver of a session: it reads the clock"
)]
async fn stay(link: &Link, mut welcome: impl FnMut()) -> Result<(), Box<dyn Error>> {
    let pin = link.pin.ok_or("a link without a key")?;
    let config = client_config(Policy::Pinned(pin), &link.host, link.port)?;
    let want = Want {
        agent: Text::new("knock benchmark"),
        ..Want::default()
    };
    let mut session = Session::new(want, Instant::now());
    let (mut received, mut pending) = (BytesMut::new(), BytesMut::new());
    let opening = session
        .opening(Instant::now())
        .ok_or("a session without first words")?;
    let token = link.token.as_deref().map(str::parse).transpose()?;
    let words = Words::new(opening, token);
    let target = dial::Target {
        host: &link.host,
        port: link.port,
        stream: &link.stream,
        proxy: None,
    };
    let mut link = dial::tls(target, config, &words, dial::Timeouts::default()).await?;
    session.linked(Instant::now());
    loop {
        let deadline = loop {
            match session.poll(Instant::now(), &mut pending) {
                Output::Send => {}
                Output::Event(Event::Welcome(_)) => welcome(),
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
            Ok(Ok(Ready::Read(_))) => session.handle(&mut received, Instant::now())?,
        }
    }
}
