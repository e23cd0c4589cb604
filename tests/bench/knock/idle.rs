//! Viewers that have said hello, watch nothing, and answer when they are asked whether they live.

use std::{
    error::Error,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Runtime, sync::Semaphore, task::JoinSet};
use tunnelcast::{
    session::client::{Event, Session, Want},
    transport::Kind,
    trust::Link,
    wire::Text,
};

use crate::viewer::{Failure, Viewer};

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
                let mut turn = Some((turn, Drops(arrived)));
                let mut here = None;
                let stayed = stay(&link, || {
                    there.fetch_add(1, Ordering::Relaxed);
                    here = Some(Here(Arc::clone(&there)));
                    turn = None;
                });
                if let Err(err) = stayed.await {
                    eprintln!("an idle viewer: {err}");
                }
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
struct Drops(Arc<AtomicUsize>);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counted until dropped.
struct Here(Arc<AtomicUsize>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn stay(link: &Link, mut welcome: impl FnMut() + Send) -> Result<(), Failure> {
    let want = Want {
        agent: Text::new("knock benchmark"),
        ..Want::default()
    };
    let see = |_: &Session, event: &Event| {
        if matches!(event, Event::Welcome(_)) {
            welcome();
        }
    };
    let viewer = Viewer::come(link, Kind::Tls, want, see).await?;
    viewer.watch(&AtomicBool::new(false), pending()).await
}
