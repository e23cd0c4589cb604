//! From the session's events to the screen and the speaker.
//!
//! The jitter buffers are the hand-over: the connection's thread puts what came into them and never waits, one thread
//! takes pictures out when they are due and paints them, another takes sound out when the speaker has room.

mod clock;
mod histogram;
mod latency;
mod picture;
mod shared;
mod snapshot;
mod sound;
mod stats;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    codec::CodecError,
    media::MediaTime,
    present::{AudioSink, ScreenWriter, SinkNotice},
    session::client::Event,
};

pub use latency::Latency;
pub use snapshot::{SnapshotError, write_snapshot};
pub use stats::{Latencies, Skew, Summary, Traffic};

use picture::{Held, Painter};
use shared::Shared;
use sound::Player;

/// Plays one stream. Dropping it ends its threads.
#[derive(Debug)]
pub struct Playback {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// How and where to play.
pub struct Options {
    /// How long pictures and sound are held.
    pub latency: Latency,
    /// Where the sound goes; `None`: it is thrown away undecoded.
    pub sink: Option<Box<dyn AudioSink>>,
    /// Where pictures go; `None`: they are decoded and measured all the same.
    pub screen: Option<ScreenWriter>,
    /// From when [`Summary::first_frame_ms`] and [`Summary::duration_ms`] count.
    pub started: Instant,
    /// Told what happens, on playback's threads: must not wait.
    pub news: Box<dyn Fn(News) + Send + Sync>,
}

/// Something that a person or a script may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// The first picture since the subscription was shown; and the first that is no smaller copy, if that one was.
    Picture {
        /// From [`Options::started`] until the very first.
        after: Duration,
        /// It is a smaller copy of the source's.
        copy: bool,
    },
    /// Something about the sound device.
    Sound(SinkNotice),
    /// The server's pictures cannot be decoded.
    Undecodable(CodecError),
}

impl Playback {
    /// Starts the threads.
    pub fn start(options: Options) -> Result<Self, PlaybackError> {
        let shared = Arc::new(Shared::new(
            options.latency,
            options.sink.is_some(),
            options.started,
            options.news,
        ));
        let mut playback = Self {
            shared: Arc::clone(&shared),
            threads: Vec::with_capacity(2),
        };
        let mut painter = Painter::new(Arc::clone(&shared), options.screen);
        playback.spawn("picture", move || painter.run())?;
        if let Some(sink) = options.sink {
            let mut player = Player::new(shared, sink)?;
            playback.spawn("sound", move || player.run())?;
        }
        Ok(playback)
    }

    /// Takes the session's event if it is about media, else gives it back. Never waits.
    ///
    /// A new subscription forgets everything of the one before, but leaves its last picture standing until the first
    /// of its own; that event is given back too.
    pub fn handle(&self, event: Event, now: Instant) -> Option<Event> {
        match event {
            Event::Rung(rung) => self.shared.add_rung(rung),
            Event::Cells {
                rung,
                frame,
                capture,
                cells,
            } => {
                let mut pictures = self.shared.pictures();
                pictures.jitter.push(rung, frame, capture, cells, now);
                // Whoever is paced has time to decode when all is there.
                let ahead = self.shared.latency == Latency::Instant && pictures.jitter.is_ahead();
                drop(pictures);
                if ahead {
                    self.shared.pictures_wake.notify_one();
                }
            }
            Event::FrameEnd {
                rung,
                frame,
                capture,
            } => {
                let mut pictures = self.shared.pictures();
                pictures.jitter.end(rung, frame, capture, now);
                pictures.estimate.add(capture, now);
                pictures.lateness.add(rung, capture, now);
                let slowest = pictures.lateness.slowest();
                drop(pictures);
                self.shared.pictures_wake.notify_one();
                self.shared.wait_for_pictures(slowest);
            }
            Event::LateEnd {
                rung,
                frame,
                capture,
            } => {
                // It has until the next one is due, so that nothing has to wait longer for such frames.
                let mut pictures = self.shared.pictures();
                pictures.jitter.end(rung, frame, capture, now);
                drop(pictures);
                self.shared.pictures_wake.notify_one();
            }
            Event::Audio(packet) => self.shared.add_sound(packet, now),
            Event::Subscribed { .. } => {
                self.shared.reset();
                return Some(event);
            }
            Event::Welcome(_)
            | Event::Unsubscribed
            | Event::Refused { .. }
            | Event::Source { .. }
            | Event::Answer(_)
            | Event::Closed(_) => return Some(event),
        }
        None
    }

    /// What the session's `server_time(now)` says; to be told whenever the session was driven.
    pub fn set_clock(&self, server: Option<MediaTime>, now: Instant) {
        if let Some(server) = server {
            lock(&self.shared.server_clock).set(server, now);
        }
    }

    /// Volume in percent, 0 to 100.
    pub fn set_volume(&self, percent: u8) {
        self.shared
            .volume
            .store(percent.min(100), Ordering::Relaxed);
    }

    /// Volume in percent.
    pub fn volume(&self) -> u8 {
        self.shared.volume.load(Ordering::Relaxed)
    }

    /// Silences it, or not.
    pub fn set_muted(&self, muted: bool) {
        self.shared.muted.store(muted, Ordering::Relaxed);
    }

    /// Whether it is silenced.
    pub fn is_muted(&self) -> bool {
        self.shared.muted.load(Ordering::Relaxed)
    }

    /// The picture as a standard JPEG, for [`write_snapshot`]; `None` before the first. Waits for a picture that is
    /// being painted, and for nothing else.
    pub fn picture(&self) -> Option<Bytes> {
        lock(&self.shared.canvas).as_ref().and_then(Held::join)
    }

    /// Figures over everything since [`Options::started`].
    pub fn summary(&self, traffic: &Traffic, now: Instant) -> Summary {
        let audio = lock(&self.shared.sounds).counts();
        lock(&self.shared.tally).summary(audio, traffic, now)
    }

    /// Figures over the time since this was called last.
    pub fn stats(&self, traffic: &Traffic, now: Instant) -> Summary {
        let audio = lock(&self.shared.sounds).counts();
        lock(&self.shared.tally).stats(audio, traffic, now)
    }

    fn spawn(
        &mut self,
        name: &'static str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), PlaybackError> {
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(run)
            .map_err(PlaybackError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!(thread = name, "playback panicked");
            }
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("latency", &self.latency)
            .field("sound", &self.sink.is_some())
            .field("screen", &self.screen.is_some())
            .finish_non_exhaustive()
    }
}

/// Why nothing can be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaybackError {
    /// The system is out of threads.
    #[error("cannot start a thread for playing: {0}")]
    Thread(std::io::Error),
    /// The sound cannot be brought to the sink's rate.
    #[error(transparent)]
    Resample(#[from] crate::present::ResampleError),
}

/// What a panicking thread left behind is still whole: each change is made in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(
    clippy::disallowed_methods,
    reason = "threads that feed devices: what they measure is this clock"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
