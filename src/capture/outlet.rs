//! Bounded hand-over from the sources' threads to the threads that code what they make.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::media::{CHANNELS, SAMPLE_RATE, SoundBlock, SourceState, VideoFrame};

/// Makes both ends. Either may be made again for each opening, or be kept.
pub fn channel() -> (Outlet, Inlet) {
    let shared = Arc::new(Shared::default());
    shared.lock().outlets = 1;
    let outlet = Outlet {
        shared: Arc::clone(&shared),
        track: Track::Video,
    };
    let inlet = Inlet {
        video: VideoInlet(Arc::clone(&shared)),
        sound: SoundInlet(Arc::clone(&shared)),
        state: StateInlet(shared),
    };
    (outlet, inlet)
}

/// Which of a stream's two tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// The picture.
    Video = 0,
    /// The sound.
    Sound = 1,
}

/// Where sources put what they make; never blocks. The other end is closed when the last clone is gone.
#[derive(Debug)]
pub struct Outlet {
    shared: Arc<Shared>,
    track: Track,
}

/// Where coding threads take from; each part may go to a thread of its own.
#[derive(Debug)]
pub struct Inlet {
    /// The newest picture.
    pub video: VideoInlet,
    /// The sound of at most the last second.
    pub sound: SoundInlet,
    /// How the sources are doing.
    pub state: StateInlet,
}

/// Takes pictures.
#[derive(Debug)]
pub struct VideoInlet(Arc<Shared>);

/// Takes sound.
#[derive(Debug)]
pub struct SoundInlet(Arc<Shared>);

/// Takes news of the sources.
#[derive(Debug)]
pub struct StateInlet(Arc<Shared>);

/// Why there is nothing to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Empty {
    /// Nothing came in the time given.
    #[error("nothing came in time")]
    TimedOut,
    /// Somebody has called ([`VideoInlet::waker`]).
    #[error("the wait was cut short")]
    Woken,
    /// Every outlet is gone and everything was taken.
    #[error("the source is closed")]
    Closed,
}

/// Sound waiting to be taken, in samples of both channels: one second; older sound makes room for newer.
const SOUND_SAMPLES: usize = SAMPLE_RATE as usize * CHANNELS;

/// Blocks of sound waiting to be taken, so that empty or tiny blocks are bounded too.
const SOUND_BLOCKS: usize = 1000;

#[derive(Debug, Default)]
struct Shared {
    slots: Mutex<Slots>,
    video: Condvar,
    sound: Condvar,
    state: Condvar,
}

#[derive(Debug, Default)]
struct Slots {
    outlets: usize,
    woken: bool,
    frame: Option<VideoFrame>,
    frames_skipped: u64,
    sound: VecDeque<SoundBlock>,
    sound_samples: usize,
    sound_dropped: u64,
    states: [SourceState; 2],
    news: [bool; 2],
}

impl Outlet {
    /// A clone whose [`state`](Self::state) speaks for the other or the same track.
    pub fn of(&self, track: Track) -> Self {
        let mut clone = self.clone();
        clone.track = track;
        clone
    }

    /// Hands over a picture; one that nobody took yet is thrown away.
    pub fn video(&self, frame: VideoFrame) {
        let mut slots = self.shared.lock();
        let old = slots.frame.replace(frame);
        slots.frames_skipped += u64::from(old.is_some());
        drop(slots);
        self.shared.video.notify_all();
        drop(old); // a large free, outside the lock
    }

    /// Hands over sound; what nobody took within a second is thrown away, the oldest first.
    pub fn sound(&self, block: SoundBlock) {
        let mut slots = self.shared.lock();
        slots.sound_samples += block.samples.len();
        slots.sound.push_back(block);
        while slots.sound.len() > SOUND_BLOCKS
            || (slots.sound_samples > SOUND_SAMPLES && slots.sound.len() > 1)
        {
            let Some(old) = slots.sound.pop_front() else {
                break;
            };
            slots.sound_samples -= old.samples.len();
            slots.sound_dropped += 1;
        }
        drop(slots);
        self.shared.sound.notify_all();
    }

    /// Says how the source is doing; only the newest word of each track is kept, and repeating it is no news.
    pub fn state(&self, state: SourceState) {
        let mut slots = self.shared.lock();
        let track = self.track as usize;
        if slots.states[track] != state {
            slots.states[track] = state;
            slots.news[track] = true;
            drop(slots);
            self.shared.state.notify_all();
        }
    }
}

impl Clone for Outlet {
    fn clone(&self) -> Self {
        self.shared.lock().outlets += 1;
        Self {
            shared: Arc::clone(&self.shared),
            track: self.track,
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut slots = self.shared.lock();
        slots.outlets -= 1;
        if slots.outlets == 0 {
            drop(slots);
            self.shared.video.notify_all();
            self.shared.sound.notify_all();
            self.shared.state.notify_all();
        }
    }
}

impl VideoInlet {
    /// The newest picture that was not taken yet, waited for at most `patience`.
    pub fn recv(&self, patience: Duration) -> Result<VideoFrame, Empty> {
        let take = |slots: &mut Slots| {
            let woken = std::mem::take(&mut slots.woken).then_some(Err(Empty::Woken));
            slots.frame.take().map(Ok).or(woken)
        };
        self.0.take(&self.0.video, patience, take)?
    }

    /// Cuts a wait for a picture short: the one that goes on, or the next one if there is none.
    pub fn waker(&self) -> Waker {
        Arc::clone(&self.0).into()
    }

    /// Pictures that were thrown away because a newer one came.
    pub fn skipped(&self) -> u64 {
        self.0.lock().frames_skipped
    }
}

impl SoundInlet {
    /// The oldest sound that was not taken yet, waited for at most `patience`.
    pub fn recv(&self, patience: Duration) -> Result<SoundBlock, Empty> {
        self.0.take(&self.0.sound, patience, |slots| {
            let block = slots.sound.pop_front()?;
            slots.sound_samples -= block.samples.len();
            Some(block)
        })
    }

    /// Blocks of sound that were thrown away because nobody took them.
    pub fn dropped(&self) -> u64 {
        self.0.lock().sound_dropped
    }
}

impl StateInlet {
    /// The next news of a track, waited for at most `patience`.
    pub fn recv(&self, patience: Duration) -> Result<(Track, SourceState), Empty> {
        self.0.take(&self.0.state, patience, |slots| {
            [Track::Video, Track::Sound]
                .into_iter()
                .find(|track| std::mem::take(&mut slots.news[*track as usize]))
                .map(|track| (track, slots.states[track as usize].clone()))
        })
    }

    /// What a track's source said last, news or not.
    pub fn latest(&self, track: Track) -> SourceState {
        self.0.lock().states[track as usize].clone()
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.lock().woken = true;
        self.video.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take<T>(
        &self,
        signal: &Condvar,
        patience: Duration,
        mut take: impl FnMut(&mut Slots) -> Option<T>,
    ) -> Result<T, Empty> {
        let mut taken = None;
        let (slots, _) = signal
            .wait_timeout_while(self.lock(), patience, |slots| {
                taken = take(slots);
                taken.is_none() && slots.outlets > 0
            })
            .unwrap_or_else(PoisonError::into_inner);
        match taken {
            Some(taken) => Ok(taken),
            None if slots.outlets == 0 => Err(Empty::Closed),
            None => Err(Empty::TimedOut),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::media::{Image, Picture, Size};

    const NOW: Duration = Duration::ZERO;

    fn frame(luma: u8) -> VideoFrame {
        let size = Size::new(16, 16).unwrap();
        VideoFrame {
            image: Image::Raw(Picture::filled(size, [luma, 128, 128])),
            captured: now(),
        }
    }

    fn block(samples: usize) -> SoundBlock {
        SoundBlock {
            samples: vec![0.0; samples],
            captured: now(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn only_the_newest_picture_waits() {
        let (outlet, inlet) = channel();
        outlet.video(frame(1));
        outlet.video(frame(2));
        let Image::Raw(picture) = inlet.video.recv(NOW).unwrap().image else {
            panic!("a picture");
        };
        assert_eq!(picture.y()[0], 2);
        assert_eq!(inlet.video.skipped(), 1);
        assert_eq!(inlet.video.recv(NOW).unwrap_err(), Empty::TimedOut);
    }

    #[test]
    fn sound_waits_for_at_most_a_second() {
        let (outlet, inlet) = channel();
        for _ in 0..100 {
            outlet.sound(block(1920));
        }
        assert_eq!(inlet.sound.dropped(), 50);
        for _ in 0..3000 {
            outlet.sound(block(0));
        }
        let mut waiting = 0;
        while inlet.sound.recv(NOW).is_ok() {
            waiting += 1;
        }
        assert_eq!(waiting, SOUND_BLOCKS);
    }

    #[test]
    fn one_block_larger_than_the_bound_still_passes() {
        let (outlet, inlet) = channel();
        outlet.sound(block(SOUND_SAMPLES * 2));
        assert!(inlet.sound.recv(NOW).is_ok());
    }

    #[test]
    fn each_track_keeps_its_newest_state() {
        let (outlet, inlet) = channel();
        let sound = outlet.of(Track::Sound);
        outlet.state(SourceState::Live);
        sound.state(SourceState::Live);
        outlet.state(SourceState::Lost {
            why: "unplugged".to_owned(),
        });
        let (track, state) = inlet.state.recv(NOW).unwrap();
        assert_eq!(track, Track::Video);
        assert!(matches!(state, SourceState::Lost { .. }));
        assert_eq!(inlet.state.recv(NOW), Ok((Track::Sound, SourceState::Live)));
        sound.state(SourceState::Live);
        assert_eq!(inlet.state.recv(NOW), Err(Empty::TimedOut));
        assert_eq!(inlet.state.latest(Track::Sound), SourceState::Live);
    }

    #[test]
    fn what_waits_is_delivered_before_the_end() {
        let (outlet, inlet) = channel();
        outlet.sound(block(2));
        drop(outlet.clone());
        assert_eq!(inlet.video.recv(NOW).unwrap_err(), Empty::TimedOut);
        drop(outlet);
        assert!(inlet.sound.recv(NOW).is_ok());
        assert_eq!(inlet.sound.recv(NOW).unwrap_err(), Empty::Closed);
        assert_eq!(inlet.video.recv(Duration::MAX).unwrap_err(), Empty::Closed);
    }

    #[test]
    fn a_call_cuts_a_wait_short_once_and_loses_no_picture() {
        let (outlet, inlet) = channel();
        let (video, waker) = (&inlet.video, inlet.video.waker());
        waker.wake_by_ref();
        outlet.video(frame(1));
        assert!(video.recv(NOW).is_ok());
        assert_eq!(video.recv(NOW).unwrap_err(), Empty::TimedOut);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| video.recv(Duration::MAX));
            waker.wake_by_ref();
            assert_eq!(reader.join().unwrap().unwrap_err(), Empty::Woken);
        });
        waker.wake();
        drop(outlet);
        assert_eq!(video.recv(NOW).unwrap_err(), Empty::Woken);
        assert_eq!(video.recv(NOW).unwrap_err(), Empty::Closed);
    }

    #[test]
    fn a_waiting_reader_is_woken() {
        let (outlet, inlet) = channel();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| inlet.video.recv(Duration::from_secs(60)));
            outlet.video(frame(7));
            assert!(reader.join().unwrap().is_ok());
        });
    }
}
