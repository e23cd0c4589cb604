//! What the connection's thread, the painter and the player share.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Latency, News,
    clock::{ServerClock, SoundClock},
    lock,
    picture::Held,
    stats::Tally,
};
use crate::{
    jitter,
    media::{AudioPacket, Rung},
};

/// What the threads share. No lock is held while anything is decoded, but that of the canvas.
pub(super) struct Shared {
    pub(super) latency: Latency,
    pub(super) with_sound: bool,
    pub(super) pictures: Mutex<Pictures>,
    pub(super) pictures_wake: Condvar,
    pub(super) sounds: Mutex<jitter::Audio>,
    pub(super) sounds_wake: Condvar,
    pub(super) sound_clock: Mutex<SoundClock>,
    pub(super) server_clock: Mutex<ServerClock>,
    pub(super) tally: Mutex<Tally>,
    /// The picture that is shown.
    pub(super) canvas: Mutex<Option<Held>>,
    /// From handing sound out to hearing it, in microseconds.
    pub(super) sound_delay: AtomicU64,
    pub(super) volume: AtomicU8,
    pub(super) muted: AtomicBool,
    pub(super) stopped: AtomicBool,
    pub(super) news: Box<dyn Fn(News) + Send + Sync>,
}

/// What waits to be painted.
#[derive(Debug)]
pub(super) struct Pictures {
    pub(super) jitter: jitter::Video,
    pub(super) estimate: jitter::Estimate,
    pub(super) lateness: jitter::Lateness,
    /// Newest last.
    pub(super) rungs: VecDeque<Arc<Rung>>,
    /// Counts subscriptions: a rung's name means something only within one.
    pub(super) generation: u64,
}

impl Shared {
    pub(super) fn new(
        latency: Latency,
        with_sound: bool,
        started: Instant,
        news: Box<dyn Fn(News) + Send + Sync>,
    ) -> Self {
        Self {
            latency,
            with_sound,
            pictures: Mutex::new(Pictures {
                jitter: jitter::Video::new(),
                estimate: jitter::Estimate::new(started),
                lateness: jitter::Lateness::new(started),
                rungs: VecDeque::new(),
                generation: 0,
            }),
            pictures_wake: Condvar::new(),
            sounds: Mutex::new(jitter::Audio::new(latency.bounds(), started)),
            sounds_wake: Condvar::new(),
            sound_clock: Mutex::default(),
            server_clock: Mutex::default(),
            tally: Mutex::new(Tally::new(started)),
            canvas: Mutex::new(None),
            sound_delay: AtomicU64::new(0),
            volume: AtomicU8::new(100),
            muted: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            news,
        }
    }

    pub(super) fn pictures(&self) -> MutexGuard<'_, Pictures> {
        lock(&self.pictures)
    }

    pub(super) fn add_rung(&self, rung: Arc<Rung>) {
        let mut pictures = self.pictures();
        pictures.rungs.retain(|held| held.id != rung.id);
        if pictures.rungs.len() >= MAX_RUNGS {
            pictures.rungs.pop_front();
        }
        pictures.rungs.push_back(rung);
    }

    pub(super) fn add_sound(&self, packet: AudioPacket, now: Instant) {
        if !self.with_sound {
            return;
        }
        lock(&self.sounds).push(packet, now);
        self.sounds_wake.notify_one();
    }

    /// Holds the sound back until the pictures that belong to it are there, as far as its bounds allow.
    pub(super) fn wait_for_pictures(&self, slowest: Option<i64>) {
        if !self.with_sound || self.latency == Latency::Instant {
            return;
        }
        let mut sounds = lock(&self.sounds);
        let (Some(slowest), Some(fastest)) = (slowest, sounds.estimate().fastest()) else {
            return;
        };
        let delay = self.sound_delay.load(Ordering::Relaxed);
        let floor = slowest
            .saturating_sub(fastest)
            .saturating_sub(i64::try_from(delay).unwrap_or(i64::MAX));
        sounds.set_floor(Duration::from_micros(u64::try_from(floor).unwrap_or(0)));
    }

    /// Another subscription begins.
    pub(super) fn reset(&self) {
        let mut pictures = self.pictures();
        pictures.jitter.reset();
        pictures.estimate.reset();
        pictures.lateness.reset();
        pictures.rungs.clear();
        pictures.generation += 1;
        drop(pictures);
        lock(&self.sounds).reset();
        // behind the sounds: whoever pulled before has the generation of before
        lock(&self.sound_clock).restart();
        lock(&self.server_clock).forget();
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // with the lock held, so that nobody is between looking and waiting
        drop(self.pictures());
        self.pictures_wake.notify_all();
        drop(lock(&self.sounds));
        self.sounds_wake.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, news: News) {
        (self.news)(news);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("latency", &self.latency)
            .finish_non_exhaustive()
    }
}

/// A server moves between a handful of them.
const MAX_RUNGS: usize = 16;
