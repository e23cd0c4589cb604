//! One stream: its timeline, its source's status, how many watch, and which levels of the picture they want.

use std::{
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use tokio::sync::watch;

use super::Ladder;
use crate::{
    media::{AudioPacket, Extent, Frame, Level, SourceState, Tracks},
    timeline::{Limits, Timeline},
};

/// A stream, shared by whoever fills it and whoever watches it.
#[derive(Debug)]
pub struct Stream {
    name: String,
    tracks: Tracks,
    /// Held for the time of a push or of taking one reference; never while anything is coded or sent.
    lately: RwLock<Lately>,
    /// Goes up with each frame of a level. A level is wanted by those who hold a receiver.
    frames: [watch::Sender<u64>; Level::COUNT],
    /// Goes up with each packet of sound.
    sounds: watch::Sender<u64>,
    status: watch::Sender<Status>,
    viewers: watch::Sender<usize>,
    next_frame: AtomicU64,
    next_sound: AtomicU64,
    skipped: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Lately {
    pub(super) timeline: Timeline,
    /// Frames of which the last cells are still being made, by level; each is newer than the timeline's.
    early: [Option<Extent>; Level::COUNT],
    /// Known once the source's size is.
    pub(super) ladder: Option<Ladder>,
    /// The frame that was the newest when the source came to rest last.
    pub(super) settled: u64,
    /// Counts openings of the source: what an earlier one still delivers is no longer live.
    opening: u64,
    /// Calls whoever makes the frames.
    maker: Option<Waker>,
    /// The newest picture that could not be made at some level.
    missed: u64,
}

/// The right to fill a stream, from the opening of its source until [`Stream::close`] or the next opening.
#[derive(Clone, Debug)]
pub struct Filler {
    stream: Arc<Stream>,
    opening: u64,
}

/// How a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its source is closed, since nobody watches.
    Idle,
    /// Its source is open, or meant to be.
    Open(SourceState),
}

impl Status {
    /// One word for it, as in `--json`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Open(state) => state.word(),
        }
    }

    /// Why, where there is a reason.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Idle => None,
            Self::Open(state) => state.why(),
        }
    }
}

impl Stream {
    /// A stream that nobody fills yet.
    pub fn new(name: impl Into<String>, tracks: Tracks, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            tracks,
            lately: RwLock::new(Lately {
                timeline: Timeline::new(limits),
                early: [const { None }; Level::COUNT],
                ladder: None,
                settled: 0,
                opening: 0,
                maker: None,
                missed: 0,
            }),
            frames: std::array::from_fn(|_| watch::Sender::new(0)),
            sounds: watch::Sender::new(0),
            status: watch::Sender::new(Status::Idle),
            viewers: watch::Sender::new(0),
            next_frame: AtomicU64::new(1),
            next_sound: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is made of.
    pub const fn tracks(&self) -> Tracks {
        self.tracks
    }

    /// Its source is being opened: whoever filled it before fills it no longer.
    pub fn open(self: &Arc<Self>) -> Filler {
        let mut lately = self.write();
        lately.opening += 1;
        lately.maker = None;
        self.set_status(Status::Open(SourceState::Opening));
        Filler {
            stream: Arc::clone(self),
            opening: lately.opening,
        }
    }

    /// Its source was closed: what it has made is forgotten, and what comes late is left out.
    pub fn close(&self) {
        let mut lately = self.write();
        lately.opening += 1;
        lately.timeline.clear();
        lately.early = [const { None }; Level::COUNT];
        lately.ladder = None;
        lately.maker = None;
        self.set_status(Status::Idle);
    }

    /// Takes a look at what it has made lately; brief, since pushes wait for it.
    pub fn look<T>(&self, look: impl FnOnce(&Timeline) -> T) -> T {
        look(&self.lately().timeline)
    }

    /// How the source is, now and as it changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// How many watch, now and as it changes.
    pub fn viewers(&self) -> watch::Receiver<usize> {
        self.viewers.subscribe()
    }

    /// Whether there is that level of its source's pictures; not known, so not, before the first.
    pub fn has(&self, level: Level) -> bool {
        let ladder = self.lately().ladder;
        ladder.is_some_and(|ladder| ladder.has(level))
    }

    /// How many of its source's pictures were taken, and how many came too soon to be, since it was made.
    pub fn pictures(&self) -> (u64, u64) {
        let taken = self.next_frame.load(Ordering::Relaxed) - 1;
        (taken, self.skipped.load(Ordering::Relaxed))
    }

    /// Changes at once, and then whenever there may be something new of a level. The level is wanted, and so made,
    /// until the receiver is dropped.
    pub(super) fn want(&self, level: Level) -> watch::Receiver<u64> {
        let mut frames = self.frames[level.index()].subscribe();
        frames.mark_changed();
        let maker = self.lately().maker.clone();
        if let Some(maker) = maker {
            maker.wake();
        }
        frames
    }

    /// Changes whenever there is a new packet of sound.
    pub(super) fn sounds(&self) -> watch::Receiver<u64> {
        self.sounds.subscribe()
    }

    pub(super) fn enter(&self) {
        self.viewers.send_modify(|n| *n += 1);
    }

    pub(super) fn leave(&self) {
        self.viewers.send_modify(|n| *n = n.saturating_sub(1));
    }

    /// As [`Self::look`].
    pub(super) fn lately(&self) -> RwLockReadGuard<'_, Lately> {
        self.lately.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes every viewer of pictures.
    fn wake_all(&self) {
        for frames in &self.frames {
            frames.send_modify(|n| *n += 1);
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Lately> {
        self.lately.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_status(&self, status: Status) {
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }
}

impl Filler {
    /// What is filled.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// A number that no frame of this stream has had, greater than all before.
    pub fn next_frame(&self) -> u64 {
        self.stream.next_frame.fetch_add(1, Ordering::Relaxed)
    }

    /// The same, leaving `apart` - 1 numbers out, for pictures that others may have and that did not come.
    pub fn later_frame(&self, apart: u64) -> u64 {
        let next = &self.stream.next_frame;
        next.fetch_add(apart.max(1), Ordering::Relaxed) + apart.max(1) - 1
    }

    /// So many of the source's pictures came too soon to be coded.
    pub fn skip(&self, pictures: u64) {
        self.stream.skipped.fetch_add(pictures, Ordering::Relaxed);
    }

    /// Calls whoever makes the frames, to look around.
    pub fn call(&self) {
        let maker = self.stream.lately().maker.clone();
        if let Some(maker) = maker {
            maker.wake();
        }
    }

    /// The next packet's sequence number.
    pub fn next_sound(&self) -> u64 {
        self.stream.next_sound.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls `maker` whenever somebody wants a level: it may be one that is not being made.
    pub fn on_demand(&self, maker: Waker) {
        self.apply(|lately| lately.maker = Some(maker));
    }

    /// Nobody makes frames any more: what there is stays.
    pub fn off_demand(&self) {
        if self.apply(|lately| lately.maker = None) {
            self.stream.wake_all();
        }
    }

    /// The picture of this number cannot be made at some level: nobody should wait for it there.
    pub fn miss(&self, number: u64) {
        if self.apply(|lately| lately.missed = number) {
            self.stream.wake_all();
        }
    }

    /// Whether somebody wants that level.
    pub fn is_wanted(&self, level: Level) -> bool {
        self.stream.frames[level.index()].receiver_count() > 0
    }

    /// Says which steps there are; before this there is only the best picture.
    pub fn set_ladder(&self, ladder: Ladder) {
        if self.apply(|lately| lately.ladder = Some(ladder)) {
            self.stream.wake_all();
        }
    }

    /// Adds a frame of a level and wakes those who want it.
    ///
    /// All levels of one picture have the same number and capture time.
    pub fn push_frame(&self, level: Level, frame: Arc<Frame>) {
        let pushed = self.apply(|lately| {
            lately.early[level.index()] = None;
            lately.timeline.push_frame(level, frame);
        });
        if pushed {
            self.stream.frames[level.index()].send_modify(|n| *n += 1);
        }
    }

    /// Shows the cells of a level's coming frame that are made already; [`Self::push_frame`] follows with all.
    pub fn push_early(&self, level: Level, extent: Extent) {
        if self.apply(|lately| lately.early[level.index()] = Some(extent)) {
            self.stream.frames[level.index()].send_modify(|n| *n += 1);
        }
    }

    /// Whether pictures should go out in parts: with many viewers it is not the coding that the last of them waits for,
    /// and each part costs every one of them a wake-up.
    pub fn is_early(&self, level: Level) -> bool {
        (1..=EARLY_VIEWERS).contains(&self.stream.frames[level.index()].receiver_count())
    }

    /// A level is no longer made, so its newest frame is no longer live.
    pub fn retire(&self, level: Level) {
        self.apply(|lately| {
            lately.early[level.index()] = None;
            lately.timeline.retire(level);
        });
    }

    /// The source has come to rest at the picture of this number: viewers who leave pictures out need to have this one
    /// all the same.
    pub fn settle(&self, number: u64) {
        if self.apply(|lately| lately.settled = number) {
            self.stream.wake_all();
        }
    }

    /// Adds a packet of sound and wakes the viewers.
    pub fn push_sound(&self, packet: AudioPacket) {
        let packet = Arc::new(packet);
        if self.apply(|lately| lately.timeline.push_sound(packet)) {
            self.stream.sounds.send_modify(|n| *n += 1);
        }
    }

    /// Says how the source is.
    pub fn set_state(&self, state: SourceState) {
        let lately = self.stream.write();
        if lately.opening == self.opening {
            self.stream.set_status(Status::Open(state));
        }
    }

    /// Says whether this opening of the source is still the current one; otherwise nothing was done.
    fn apply(&self, change: impl FnOnce(&mut Lately)) -> bool {
        let mut lately = self.stream.write();
        let current = lately.opening == self.opening;
        if current {
            change(&mut lately);
        }
        current
    }
}

impl Lately {
    /// Whether the picture of this number is made at every level that is wanted.
    pub(super) const fn is_made(&self, number: u64) -> bool {
        self.maker.is_some() && self.missed < number
    }

    /// What there is of the newest frame of a level, if that is being made.
    pub(super) fn newest(&self, level: Level) -> Option<Extent> {
        let early = self.early[level.index()].clone();
        early.or_else(|| {
            let frame = self.timeline.newest_frame(level)?;
            Some(Extent::whole(Arc::clone(frame)))
        })
    }
}

/// So many viewers of a level get pictures in parts.
const EARLY_VIEWERS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AudioCodec, MediaTime};
    use std::time::Duration;

    fn packet(filler: &Filler) -> AudioPacket {
        AudioPacket {
            codec: AudioCodec::Pcm,
            seq: filler.next_sound(),
            capture: MediaTime::ZERO,
            duration: Duration::from_millis(20),
            bytes: bytes::Bytes::new(),
        }
    }

    #[test]
    fn what_a_closed_source_still_delivers_is_left_out() {
        let tracks = Tracks {
            video: false,
            audio: true,
        };
        let stream = Stream::new("live", tracks, Limits::default());
        let first = stream.open();
        first.push_sound(packet(&first));
        assert!(stream.look(|timeline| timeline.newest_sound().is_some()));
        stream.close();
        first.push_sound(packet(&first));
        first.set_state(SourceState::Live);
        assert!(stream.look(|timeline| timeline.newest_sound().is_none()));
        assert_eq!(*stream.status().borrow(), Status::Idle);
        let second = stream.open();
        first.set_state(SourceState::Live);
        assert_eq!(
            *stream.status().borrow(),
            Status::Open(SourceState::Opening)
        );
        second.push_sound(packet(&second));
        assert_eq!(
            stream.look(|timeline| timeline.newest_sound().map(|packet| packet.seq)),
            Some(2)
        );
    }
}
