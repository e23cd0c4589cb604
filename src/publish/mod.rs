//! Publishing: a source of this machine, served over links that are dialled instead of accepted.
//!
//! The stream, what fills it and the sessions are those of a server; what dials is a viewer's. Behind the server's
//! welcome the link turns, and the server is a viewer of what is here: so all that makes a slow line bearable works
//! upward as it does downward.

mod below;
mod end;
mod knock;
mod levels;
mod links;
mod schedule;
mod side;
mod welcome;

use std::sync::{Arc, atomic::AtomicU32};
use std::time::Instant;

use serde::Serialize;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, info_span};

use self::links::Links;
use crate::client::{Ask, Connected, Connector};
use crate::config::Publish;
use crate::error::Error;
use crate::hub::{Status, Stream};
use crate::media::LevelSet;
use crate::server::{Ingest, Sources};
use crate::transport::memory::Memory;

/// What a publisher has to do with the world.
pub struct Outside {
    /// Who is asked about strangers.
    pub ask: Arc<dyn Ask>,
    /// Told what happens; must not wait for long.
    pub news: Arc<dyn Fn(News) + Send + Sync>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

/// Something that a person or a script may want to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum News {
    /// The server has said welcome.
    Connected(Connected),
    /// The server takes the picture over another way.
    Switched(Switched),
    /// The source changed its state.
    Source(Source),
    /// Whether anybody watches.
    Watched(bool),
    /// Which levels below the best picture are sent beside it, for viewers on slow lines; the server makes the others.
    Levels(LevelSet),
    /// The connection is lost, and will be tried again.
    Lost {
        /// Why.
        why: String,
    },
    /// It is over for good.
    Closed {
        /// Why.
        reason: String,
    },
    /// A line for a person.
    Word(String),
}

/// A move from one way to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Switched {
    /// `quic`, `tls`, `websocket` or `http`.
    pub from: &'static str,
    /// The same.
    pub to: &'static str,
}

/// How the source is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The stream's name.
    pub name: String,
    /// `idle`, `opening`, `live`, `lost` or `ended`.
    pub state: &'static str,
    /// Why, where there is a reason.
    pub why: Option<String>,
}

/// Publishes until `stop`, or until the server will have no more of it.
///
/// A server that cannot be reached at first is an error. Once it was reached, it is tried again for ever, with growing
/// pauses.
///
/// # Errors
/// What kept it from beginning, or ended it.
#[expect(clippy::disallowed_methods, reason = "the media clock begins here")]
pub async fn publish(
    config: Publish,
    outside: Outside,
    stop: CancellationToken,
) -> Result<(), Error> {
    let epoch = Instant::now();
    let memory = match &config.networks {
        Some(path) => Memory::open(path),
        None => Memory::of_user(),
    };
    let connector = Connector::new(&config.dial(), Arc::clone(&outside.ask), memory)?;
    let mut sources = Sources::look(&config.video, &config.audio).await?;
    let stream = Stream::new(config.name.clone(), sources.tracks, config.limits);
    // All that belongs to this ends with it, however it ends.
    let ending = stop.child_token();
    let _guard = ending.clone().drop_guard();
    let tasks = TaskTracker::new();
    let ingest = Ingest {
        stream: Arc::clone(&stream),
        video: config.video.clone(),
        audio: config.audio.clone(),
        quality: config.quality,
        max_fps: config.max_fps,
        linger: config.linger,
        epoch,
        rungs: Arc::new(AtomicU32::new(1)),
        keeper: Arc::clone(&sources.keeper),
    };
    let name = stream.name().to_owned();
    tasks.spawn(
        ingest
            .run(ending.clone())
            .instrument(info_span!("ingest", name)),
    );
    let watch = tell(Arc::clone(&stream), Arc::clone(&outside.news));
    let watching = ending.clone();
    tasks.spawn(async move { watching.run_until_cancelled_owned(watch).await });
    let news = Arc::clone(&outside.news);
    let mut links = Links::new(&config, connector, (stream, epoch), news, ending)?;
    let ended = tokio::select! {
        ended = links.run() => ended,
        err = sources.failed() => Err(err.into()),
    };
    links.part().await;
    let reason = match &ended {
        Ok(()) => "done".to_owned(),
        Err(err) => err.to_string(),
    };
    (outside.news)(News::Closed { reason });
    ended
}

/// Tells how the source is, and whether anybody watches, as it changes.
async fn tell(stream: Arc<Stream>, news: Arc<dyn Fn(News) + Send + Sync>) {
    let (mut status, mut viewers) = (stream.status(), stream.viewers());
    let mut watched = false;
    loop {
        tokio::select! {
            Ok(()) = status.changed() => {
                let status: Status = status.borrow_and_update().clone();
                news(News::Source(Source {
                    name: stream.name().to_owned(),
                    state: status.word(),
                    why: status.why().map(str::to_owned),
                }));
            }
            Ok(()) = viewers.changed() => {
                let now = *viewers.borrow_and_update() > 0;
                if std::mem::replace(&mut watched, now) != now {
                    news(News::Watched(now));
                }
            }
            else => return,
        }
    }
}
