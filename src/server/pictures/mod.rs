//! The thread that codes a stream's pictures, each at the levels that somebody wants.

mod level;
mod pace;
mod sizes;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use self::{level::Maker, pace::Pace, sizes::Sizes};
use super::ingest::{Ingest, PATIENCE};
use crate::{
    capture::{Empty, VideoInlet},
    codec::Quality,
    hub::{Filler, Ladder},
    media::{Extent, Image, Level, MediaTime, RungId, Size, VideoFrame},
};

/// Codes what comes until the source is closed.
pub(super) fn code(ingest: &Ingest, filler: &Filler, inlet: &VideoInlet) {
    let settings = Settings {
        epoch: ingest.epoch,
        quality: ingest.quality,
        rungs: Arc::clone(&ingest.rungs),
    };
    let mut coder = Coder::new(settings, ingest.max_fps.map(Pace::new), filler.clone());
    filler.on_demand(inlet.waker());
    let mut skipped = 0;
    loop {
        match inlet.recv(coder.patience()) {
            Ok(frame) => {
                let before = std::mem::replace(&mut skipped, inlet.skipped());
                filler.skip(skipped - before);
                coder.take(frame, now());
            }
            Err(Empty::Woken) => coder.make(now()),
            Err(Empty::TimedOut) => coder.rest(now()),
            Err(Empty::Closed) => break,
        }
    }
    coder.finish(now());
    filler.off_demand();
    debug!(
        stream = filler.stream().name(),
        skipped = inlet.skipped(),
        "video coder ends"
    );
}

/// What does not change while a source is open.
#[derive(Clone, Debug)]
pub(in crate::server) struct Settings {
    pub(in crate::server) epoch: Instant,
    /// The same for every level, or chosen by level.
    pub(in crate::server) quality: Option<Quality>,
    /// The next rung's name.
    pub(in crate::server) rungs: Arc<AtomicU32>,
}

/// Makes frames of pictures: of each the levels that are wanted, the best one first.
pub(in crate::server) struct Coder {
    settings: Settings,
    filler: Filler,
    /// Others make the best one, and some of those below it.
    below: Option<Supply>,
    pace: Option<Pace>,
    /// Left out for the pace; it is the picture that stays if no other follows.
    left_out: Option<VideoFrame>,
    ladder: Option<Ladder>,
    /// The newest picture.
    picture: Option<Picture>,
    makers: [Maker; Level::COUNT],
    /// When the source had the picture that came last.
    came: Option<Instant>,
    /// From the one before to that one.
    interval: Duration,
    /// Whether the viewers were told that nothing follows.
    settled: bool,
    /// Whether a level's last picture could not be made.
    failing: [bool; Level::COUNT],
}

/// A picture that is being coded, or may be asked for at another level.
struct Picture {
    sizes: Sizes,
    number: u64,
    capture: MediaTime,
}

impl Coder {
    fn new(settings: Settings, pace: Option<Pace>, filler: Filler) -> Self {
        Self {
            settings,
            filler,
            below: None,
            pace,
            left_out: None,
            ladder: None,
            picture: None,
            makers: Level::ALL.map(Maker::new),
            came: None,
            interval: Duration::ZERO,
            settled: true,
            failing: [false; Level::COUNT],
        }
    }

    /// One that makes those levels below the best that nobody supplies, of pictures which somebody else has coded.
    pub(in crate::server) fn below(settings: Settings, filler: Filler, supply: Supply) -> Self {
        Self {
            below: Some(supply),
            ..Self::new(settings, None, filler)
        }
    }

    /// Whether any level is wanted that is made here.
    pub(in crate::server) fn is_wanted(&self) -> bool {
        let mut levels = Level::ALL.into_iter();
        levels.any(|level| self.is_made_here(level) && self.filler.is_wanted(level))
    }

    fn is_made_here(&self, level: Level) -> bool {
        self.below
            .as_ref()
            .is_none_or(|supply| level != Level::Full && !supply.has(level))
    }

    /// A picture has come.
    fn take(&mut self, frame: VideoFrame, now: Instant) {
        if let Some(before) = self.came.replace(frame.captured) {
            self.interval = frame.captured.saturating_duration_since(before);
        }
        self.settled = false;
        let wanted = self
            .pace
            .as_mut()
            .is_none_or(|pace| pace.takes(frame.captured));
        if wanted {
            self.left_out = None;
            self.begin(frame);
            self.make(now);
        } else {
            self.left_out = Some(frame);
        }
    }

    /// Nothing has come for [`Self::patience`].
    fn rest(&mut self, now: Instant) {
        if let Some(frame) = self.left_out.take() {
            self.begin(frame);
        }
        self.make(now);
        if let Some(picture) = &self.picture
            && !std::mem::replace(&mut self.settled, true)
        {
            self.filler.settle(picture.number);
        }
    }

    /// Nothing will come any more: whoever comes now finds the best picture.
    fn finish(&mut self, now: Instant) {
        self.rest(now);
        self.level(Level::Full, Wanted::Yes, now);
    }

    /// How long to wait for a picture: until it can be said that the source has come to rest, or to look around.
    fn patience(&self) -> Duration {
        if self.settled {
            PATIENCE
        } else {
            (self.interval * 3).clamp(SHORTEST_REST, PATIENCE)
        }
    }

    fn begin(&mut self, frame: VideoFrame) {
        let capture = media_time(self.settings.epoch, frame.captured);
        let number = self.filler.next_frame();
        self.is_now(frame.image, number, capture);
    }

    /// This is the newest picture.
    pub(in crate::server) fn is_now(&mut self, image: Image, number: u64, capture: MediaTime) {
        self.sized(image.size());
        match &mut self.picture {
            Some(picture) => {
                picture.sizes.replace(image);
                picture.number = number;
                picture.capture = capture;
            }
            None => {
                self.picture = Some(Picture {
                    sizes: Sizes::new(image),
                    number,
                    capture,
                });
            }
        }
    }

    /// The source's pictures have this size from now on.
    pub(in crate::server) fn sized(&mut self, size: Size) {
        let ladder = Ladder::new(size, self.settings.quality);
        if self.ladder != Some(ladder) {
            self.ladder = Some(ladder);
            self.filler.set_ladder(ladder);
        }
    }

    /// Makes what is wanted of the newest picture and was not made yet.
    pub(in crate::server) fn make(&mut self, now: Instant) {
        let Some(ladder) = self.ladder else {
            return;
        };
        let any = Level::ALL
            .into_iter()
            .any(|level| self.filler.is_wanted(level));
        for level in Level::ALL {
            if !self.is_made_here(level) {
                // What others supply stays.
                self.makers[level.index()].rest(now);
                continue;
            }
            // While nobody is there the best one is made for the next who comes.
            let asked = self.filler.is_wanted(level) || (level == Level::Full && !any);
            let wanted = if asked && ladder.has(level) {
                Wanted::Yes
            } else {
                Wanted::No
            };
            self.level(level, wanted, now);
        }
    }

    fn level(&mut self, level: Level, wanted: Wanted, now: Instant) {
        let (Some(picture), Some(ladder)) = (&mut self.picture, self.ladder) else {
            return;
        };
        let maker = &mut self.makers[level.index()];
        let failing = &mut self.failing[level.index()];
        match wanted {
            Wanted::No => {
                if maker.rest(now) {
                    self.filler.retire(level);
                }
            }
            Wanted::Yes => {
                let filler = &self.filler;
                let mut show = |extent| filler.push_early(level, extent);
                let early: Option<&mut dyn FnMut(Extent)> = if filler.is_early(level) {
                    Some(&mut show)
                } else {
                    None
                };
                let quality = ladder.quality(level);
                match maker.make(picture, quality, &self.settings, early) {
                    Ok(Some(frame)) => {
                        *failing = false;
                        filler.push_frame(level, frame);
                    }
                    Ok(None) => {}
                    Err(err) => {
                        filler.miss(picture.number);
                        if !std::mem::replace(failing, true) {
                            let stream = filler.stream().name();
                            warn!(stream, ?level, %err, "pictures are left out");
                        }
                    }
                }
            }
        }
    }
}

/// Which levels somebody else supplies, told from one thread to another.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Supply(Arc<[AtomicBool; Level::COUNT]>);

impl Supply {
    /// Whether that one comes from elsewhere.
    pub(in crate::server) fn has(&self, level: Level) -> bool {
        self.0[level.index()].load(Ordering::SeqCst)
    }

    /// It does from now on, or does no longer. Whether that is news.
    pub(in crate::server) fn set(&self, level: Level, is_there: bool) -> bool {
        self.0[level.index()].swap(is_there, Ordering::SeqCst) != is_there
    }
}

/// Whether a level is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

impl Settings {
    /// A rung's name that was never used.
    fn next_rung(&self) -> RungId {
        self.rungs.fetch_add(1, Ordering::Relaxed)
    }
}

/// `at` on the stream's clock.
pub(in crate::server) fn media_time(epoch: Instant, at: Instant) -> MediaTime {
    MediaTime::from_duration(at.saturating_duration_since(epoch))
}

#[expect(clippy::disallowed_methods, reason = "this thread owns its time")]
fn now() -> Instant {
    Instant::now()
}

/// A source that gives nothing for so long, and for three times its usual interval, has come to rest.
const SHORTEST_REST: Duration = Duration::from_millis(100);
