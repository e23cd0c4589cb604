//! Opens a stream's source while somebody watches, codes what it delivers, and fills the timeline.

use std::{
    num::NonZeroU32,
    sync::{Arc, atomic::AtomicU32},
    thread,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    capture::{self, AudioSpec, Capture, Empty, Inlet, SourceState, StateInlet, Track, VideoSpec},
    codec::Quality,
    hub::{Filler, Stream},
};

use super::{pictures, sounds};

/// Fills one stream from its source.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) stream: Arc<Stream>,
    pub(crate) video: VideoSpec,
    pub(crate) audio: AudioSpec,
    /// The same at every level, or chosen by level.
    pub(crate) quality: Option<Quality>,
    /// More pictures a second are left out.
    pub(crate) max_fps: Option<NonZeroU32>,
    pub(crate) linger: Duration,
    pub(crate) epoch: Instant,
    /// The next rung's name, shared by all streams of the server.
    pub(crate) rungs: Arc<AtomicU32>,
    pub(crate) keeper: Arc<capture::Keeper>,
}

/// An open source and the threads that code what it delivers.
struct Running {
    capture: Option<Capture>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Ingest {
    /// Opens and closes the source by demand until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let ingest = Arc::new(self);
        let mut viewers = ingest.stream.viewers();
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                wanted = viewers.wait_for(|n| *n > 0) => if wanted.is_err() { return },
            }
            let filler = ingest.stream.open();
            let (opener, filling) = (Arc::clone(&ingest), filler.clone());
            let opened = tokio::task::spawn_blocking(move || opener.open(&filling)).await;
            let running = match opened {
                Ok(Ok(running)) => running,
                Ok(Err(why)) => {
                    warn!(stream = ingest.stream.name(), %why, "the source cannot be opened");
                    filler.set_state(SourceState::Lost { why });
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
                // The runtime is going down.
                Err(_) => return,
            };
            pause = FIRST_PAUSE;
            info!(stream = ingest.stream.name(), "source opened");
            ingest.until_nobody_watches(&mut viewers, &stop).await;
            ingest.stream.close();
            // Joining a device's thread may take a while.
            if tokio::task::spawn_blocking(move || drop(running))
                .await
                .is_err()
            {
                return;
            }
            info!(stream = ingest.stream.name(), "source closed");
        }
    }

    /// Returns once nobody has watched for the linger, or at `stop`.
    async fn until_nobody_watches(
        &self,
        viewers: &mut tokio::sync::watch::Receiver<usize>,
        stop: &CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                empty = viewers.wait_for(|n| *n == 0) => if empty.is_err() { return },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.linger) => return,
                back = viewers.wait_for(|n| *n > 0) => if back.is_err() { return },
            }
        }
    }

    /// Opens the source and starts the threads; blocks while a device wakes up.
    fn open(self: &Arc<Self>, filler: &Filler) -> Result<Running, String> {
        let (
            outlet,
            Inlet {
                video,
                sound,
                state,
            },
        ) = capture::channel();
        let mut running = Running {
            capture: None,
            threads: Vec::new(),
        };
        let tracks = self.stream.tracks();
        if tracks.video {
            let (ingest, filler) = (Arc::clone(self), filler.clone());
            running.start("video coder", move || {
                pictures::code(&ingest, &filler, &video);
            })?;
        }
        if tracks.audio {
            let (epoch, filler) = (self.epoch, filler.clone());
            running.start("sound coder", move || sounds::code(epoch, &filler, &sound))?;
        }
        let main = if tracks.video {
            Track::Video
        } else {
            Track::Sound
        };
        let filler = filler.clone();
        running.start("source watch", move || follow(main, &filler, &state))?;
        let capture = capture::open(&self.video, &self.audio, outlet, &self.keeper);
        running.capture = Some(capture.map_err(|err| err.to_string())?);
        Ok(running)
    }
}

/// Carries what the sources say of themselves to the stream; `main` is the track that speaks for it.
fn follow(main: Track, filler: &Filler, state: &StateInlet) {
    let name = filler.stream().name();
    loop {
        match state.recv(PATIENCE) {
            Ok((track, news)) if track == main => filler.set_state(news),
            Ok((_, SourceState::Lost { why } | SourceState::Ended { why })) => {
                warn!(stream = name, %why, "the sound's source is gone");
            }
            Ok(_) | Err(Empty::TimedOut | Empty::Woken) => {}
            Err(Empty::Closed) => return,
        }
    }
}

impl Running {
    fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|err| format!("no thread: {err}"))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Closing the sources closes their outlets, which ends the threads behind the inlets. A source whose thread
        // hangs in a driver keeps its outlet, so only threads that are at their end are joined.
        drop(self.capture.take());
        for thread in self.threads.drain(..) {
            if thread.is_finished() && thread.join().is_err() {
                warn!("a coding thread failed");
            }
        }
    }
}

/// How long a thread waits for its source before it looks around.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
