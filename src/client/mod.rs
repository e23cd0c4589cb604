//! Assembly of the watching side: connect, play, and connect again when the connection is lost.

mod backoff;
mod connect;
mod ctl;
mod desk;
pub mod doctor;
mod ladder;
mod list;
mod overlay;
mod play;
mod reach;
mod viewer;
mod words;

use std::{
    path::PathBuf,
    sync::{Arc, mpsc as std_mpsc},
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;

use self::{
    desk::{Desk, Inner},
    play::play,
    viewer::{Ended, Viewer},
};
use crate::{
    config::{AGENT, Watch},
    error::Error,
    playback::{Options, Playback, Summary},
    present::{AudioSink, Command, Notice, Null, ScreenWriter},
    session::client::Want,
    transport::memory::Memory,
    wire::{StreamName, Text},
};

#[cfg(fuzzing)]
#[doc(hidden)]
pub use crate::links::fuzz_moves;
pub use connect::Ask;
pub use ctl::ctl;
pub use list::list;
pub use words::Words;
pub(crate) use {
    backoff::Backoff,
    connect::Connector,
    reach::{Reached, reach},
};

/// What a viewer has to do with the world.
pub struct Outside {
    /// The window; `None` without one.
    pub screen: Option<ScreenWriter>,
    /// What the person at the window asks for.
    pub commands: std_mpsc::Receiver<Command>,
    /// Who is asked about strangers.
    pub ask: Arc<dyn Ask>,
    /// Told what happens; must not wait for long.
    pub news: Box<dyn Fn(News) + Send + Sync>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside")
            .field("screen", &self.screen)
            .finish_non_exhaustive()
    }
}

/// Something that a person or a script may want to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum News {
    /// The first picture is there, or, where none is wanted, the server has said welcome.
    Connected(Connected),
    /// The picture comes another way.
    Switched(Switched),
    /// Once a second: the figures of that second.
    Stats(Box<Summary>),
    /// The session is over for good.
    Closed {
        /// Why.
        reason: String,
    },
    /// The connection is lost, and will be tried again.
    Lost {
        /// Why.
        why: String,
    },
    /// A line for a person.
    Word(String),
}

/// How a viewer got through.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Connected {
    /// `quic`, `tls`, `websocket` or `http`.
    pub transport: &'static str,
    /// Who inspects this network's TLS, by what his certificate says; all is sealed inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspected: Option<String>,
    /// Who vouches for the reverse proxy or CDN in front of the server; all is sealed inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub front: Option<String>,
    /// The proxy that leads there, `HOST:PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Whether something on the way holds back answers that do not end, so that they come in pieces; for `http` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pieces: Option<bool>,
    /// From when it was dialled until the server's first word.
    pub reached_ms: Option<f64>,
    /// Why not over a better way, where it was tried and one is allowed.
    pub why: Option<String>,
    /// From the start until the first picture was shown.
    pub first_frame_ms: Option<f64>,
    /// SHA-256 of the server's public key, as in the link.
    pub server_key: Option<String>,
}

/// A move from one way to another while it plays.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Switched {
    /// As `transport` of [`Connected`].
    pub from: &'static str,
    /// As `transport` of [`Connected`].
    pub to: &'static str,
    /// Why, in words.
    pub reason: &'static str,
    /// Between the last picture that came before and the first behind it.
    pub video_gap_ms: Option<f64>,
    /// The same of packets of sound.
    pub audio_gap_ms: Option<f64>,
}

/// What became of watching.
#[derive(Debug)]
pub struct Outcome {
    /// The figures of the whole.
    pub summary: Summary,
    /// What went wrong; see [`Error::status`].
    pub error: Option<Error>,
}

/// Watches until the person, `stop`, the time given or the server ends it.
///
/// A server that cannot be reached at first is an error. Once it was reached, it is tried again for ever, with growing
/// pauses.
///
/// # Errors
/// What kept it from beginning at all: keys, threads, devices.
pub async fn watch(
    config: Watch,
    outside: Outside,
    stop: CancellationToken,
) -> Result<Outcome, Error> {
    let networks = config.networks.as_deref();
    let memory = networks.map_or_else(Memory::of_user, Memory::open);
    watch_with(config, memory, outside, stop).await
}

/// The same with this memory of networks.
#[expect(clippy::disallowed_methods, reason = "figures count from here")]
async fn watch_with(
    config: Watch,
    memory: Memory,
    outside: Outside,
    stop: CancellationToken,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let mut connector = Connector::new(&config, Arc::clone(&outside.ask), memory)?;
    let (inner, events) = mpsc::channel(INNER);
    relay(outside.commands, inner.clone())?;
    let told = inner.clone();
    let playback = Playback::start(Options {
        latency: config.latency,
        sink: sink(&config)?,
        screen: outside.screen.clone(),
        started,
        news: Box::new(move |news| {
            // A reader that is 64 events behind has more than this to worry about.
            let _full = told.try_send(Inner::Playback(news));
        }),
    })?;
    let (screen, news) = (outside.screen, outside.news);
    let desk = Desk::new(&config, playback, screen, news, inner, started);
    let until = config.duration.map(|duration| started + duration);
    let mut viewer = Viewer::new(desk, events, stop.clone(), until);
    let ended = follow(&config, &mut connector, &mut viewer, &stop).await;
    let (reason, error) = match ended {
        Ok(reason) => (reason, None),
        Err(err) => (err.to_string(), Some(err)),
    };
    let (summary, unfinished) = viewer.finish(&reason, Instant::now());
    Ok(Outcome {
        summary,
        error: error.or(unfinished),
    })
}

/// Connects, plays, and connects again; gives the reason for a good end.
#[expect(clippy::disallowed_methods, reason = "a session begins now")]
async fn follow(
    config: &Watch,
    connector: &mut Connector,
    viewer: &mut Viewer,
    stop: &CancellationToken,
) -> Result<String, Error> {
    let mut backoff = Backoff::new();
    let mut reached = false;
    let stream: Option<StreamName> = config.link.stream.parse().ok();
    loop {
        viewer.desk().words(Notice::Connecting {
            to: connector.server(),
        });
        let want = Want {
            agent: Text::new(AGENT),
            stream: stream.clone(),
            video: config.video,
            audio: config.audio,
            max_bps: config.max_bitrate,
            ..Want::default()
        };
        let Some(opening) = viewer.begin(want, Instant::now()) else {
            return Ok("done".to_owned());
        };
        let dialled = tokio::select! {
            dialled = connector.dial(opening) => dialled,
            () = viewer.end_of_waiting() => {
                if reached || stop.is_cancelled() || config.duration.is_none() {
                    return Ok("done".to_owned());
                }
                return Err(Error::NotReached { server: connector.server() });
            }
        };
        let why = match dialled {
            Ok(there) => {
                reached = true;
                play(there, connector, viewer).await;
                match viewer.ended() {
                    Ended::Done(reason) => return Ok(reason),
                    Ended::Failed(err) => return Err(err),
                    Ended::Lost(why) => why,
                }
            }
            Err(Error::Dial(err)) if err.is_from_server() => {
                reached = true;
                err.to_string()
            }
            // Another key, or another program at that port, may be a captive portal once the right one was there.
            Err(err) if !reached => return Err(err),
            Err(err) => err.to_string(),
        };
        if viewer.brought_media() {
            backoff.reset();
        }
        let pause = backoff.pause(random_byte());
        viewer.lost(&why, pause);
        tokio::select! {
            () = time::sleep(pause) => {}
            () = viewer.end_of_waiting() => return Ok("done".to_owned()),
        }
    }
}

/// Carries what the window's thread says to the runtime.
fn relay(commands: std_mpsc::Receiver<Command>, inner: mpsc::Sender<Inner>) -> Result<(), Error> {
    std::thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || {
            while let Ok(command) = commands.recv() {
                if inner.blocking_send(Inner::Command(command)).is_err() {
                    return;
                }
            }
        })
        .map(drop)
        .map_err(Error::Runtime)
}

/// Where the sound goes.
fn sink(config: &Watch) -> Result<Option<Box<dyn AudioSink>>, Error> {
    if !config.audio {
        return Ok(None);
    }
    #[cfg(feature = "audio")]
    if !config.headless {
        return Ok(Some(Box::new(
            crate::present::Speaker::start().map_err(Error::Speaker)?,
        )));
    }
    Ok(Some(Box::new(Null::new())))
}

pub(crate) fn random_byte() -> u8 {
    let mut byte = [0];
    // Without random numbers the pauses are merely not spread.
    let _plain = aws_lc_rs::rand::fill(&mut byte);
    byte[0]
}

/// Where a snapshot goes when a person presses the key.
fn snapshot_name() -> PathBuf {
    let now = time_of_day();
    PathBuf::from(format!("tunnelcast-{now}.jpg"))
}

fn time_of_day() -> String {
    let format = ::time::macros::format_description!("[year][month][day]-[hour][minute][second]");
    ::time::OffsetDateTime::now_utc()
        .format(format)
        .unwrap_or_else(|_| "snapshot".to_owned())
}

/// Commands and news that wait for the viewer.
const INNER: usize = 64;
/// Between two lines of figures.
const SECOND: Duration = Duration::from_secs(1);
