//! What both ends of the screen have in common: the picture, what is said over it, and who has to be told.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::media::{Pixels, Raster, Rect, Size};

use super::compose::Composer;
use super::error::PresentError;
use super::overlay::Overlay;
use super::region::Region;
use super::writer::Presented;

/// A window's own pixels. Lent to the screen where the display lets any thread paint; `show` then needs no other.
pub(super) trait Glass {
    /// Gives `compose` the buffer of `window` (width, height) pixels and its age (see [`Composer::paint`]), then hands
    /// the parts that it names to the display.
    fn paint(
        &mut self,
        window: (usize, usize),
        compose: &mut Compose<'_>,
    ) -> Result<(), PresentError>;
}

/// Buffer and age in, painted parts of the window out.
pub(super) type Compose<'a> = dyn FnMut(&mut [u32], u8) -> Vec<Rect> + 'a;

/// What both ends have in common.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    said: Mutex<Said>,
    pub(super) wake: Mutex<Option<Box<dyn Fn() + Send>>>,
    /// The window was woken and has not looked yet; wakes do not pile up.
    pub(super) awake: AtomicBool,
    /// The frame that [`State::show`] painted last and the window's loop has yet to send, and how many it painted.
    handed: Mutex<Option<(u64, u64)>>,
    pub(super) presented: Mutex<Option<Presented>>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn said(&self) -> MutexGuard<'_, Said> {
        lock(&self.said)
    }

    /// Says something, which waits for no painting, and wakes the window if it concerns it.
    pub(super) fn say(&self, say: impl FnOnce(&mut Said) -> bool) {
        let concerns = say(&mut self.said());
        if concerns {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        if let Some(wake) = &*lock(&self.wake)
            && !self.awake.swap(true, Ordering::AcqRel)
        {
            wake();
        }
    }

    /// `frame` was painted by somebody else than the window's loop, which sends it on its way.
    pub(super) fn hand(&self, frame: u64) {
        let mut handed = lock(&self.handed);
        let before = handed.map_or(0, |(_, pictures)| pictures);
        *handed = Some((frame, before + 1));
    }

    /// The window's loop has sent what was painted.
    pub(super) fn sent(&self) {
        let handed = lock(&self.handed).take();
        if let Some((frame, pictures)) = handed {
            self.stamp(frame, pictures);
        }
    }

    pub(super) fn stamp(&self, frame: u64, pictures: u64) {
        let mut presented = lock(&self.presented);
        let count = presented.map_or(0, |last| last.count) + pictures;
        *presented = Some(Presented {
            frame,
            at: now(),
            count,
        });
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("presented", &self.presented)
            .finish_non_exhaustive()
    }
}

/// What is said beside the picture. Behind a lock of its own, which is held for no longer than it takes to say it.
#[derive(Default)]
pub(super) struct Said {
    pub(super) overlay: Overlay,
    /// The overlay changed since its panels were made.
    pub(super) news: bool,
    pub(super) title: Option<String>,
    /// Of the source's picture, of which what is shown may be a smaller copy.
    pub(super) own_size: Option<Size>,
    pub(super) closed: bool,
}

/// The picture. Behind one lock, which is held no longer than a painting takes.
pub(super) struct State {
    /// The picture as shown last, for when the window has to be painted again.
    pixels: Vec<u32>,
    pub(super) size: Option<Size>,
    /// Of the picture, since it was last painted.
    dirty: Region,
    /// Of the picture that is to be shown next: what [`Self::prepare`] has painted.
    prepared: Region,
    /// Of the picture that was shown: what [`Self::keep`] has yet to copy.
    unkept: Region,
    frame: u64,
    /// `frame` was not painted yet.
    fresh: bool,
    /// The panels have to be made anew, because what they lie on has another size.
    pub(super) relaid: bool,
    pub(super) composer: Composer,
    pub(super) glass: Option<Box<dyn Glass + Send>>,
    pub(super) visible: bool,
    /// There is no [`super::Screen`] any more.
    pub(super) unseen: bool,
    pub(super) failed: Option<PresentError>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            pixels: Vec::new(),
            size: None,
            dirty: Region::default(),
            prepared: Region::default(),
            unkept: Region::default(),
            frame: 0,
            fresh: false,
            relaid: true,
            composer: Composer::default(),
            glass: None,
            visible: true,
            unseen: false,
            failed: None,
        }
    }
}

impl State {
    /// Paints what has come of the picture that is to be shown next, where nobody sees it yet. Whether that could be
    /// done here.
    pub(super) fn prepare(&mut self, picture: &mut dyn Raster, dirty: &[Rect]) -> bool {
        if self.size != Some(picture.size()) || !self.visible || self.failed.is_some() {
            return false;
        }
        let Some(glass) = &mut self.glass else {
            return false;
        };
        let composer = &mut self.composer;
        let mut prepared = false;
        let painted = glass.paint(composer.window(), &mut |buffer, age| {
            prepared = age == 1 && composer.paint_ahead(buffer, picture, dirty);
            Vec::new()
        });
        if prepared {
            self.prepared.extend(dirty);
        }
        if let Err(error) = painted {
            self.failed = Some(error);
        }
        prepared
    }

    /// Paints a picture if that can be done here, and says whether it was; [`Self::keep`] has to follow, at once if it
    /// was not, and else soon.
    pub(super) fn show(&mut self, frame: u64, picture: &mut dyn Raster, dirty: &[Rect]) -> bool {
        self.frame = frame;
        self.fresh = true;
        if self.size != Some(picture.size()) {
            return false;
        }
        self.unkept.extend(dirty);
        self.unkept.extend(self.prepared.rects());
        self.dirty.extend(dirty);
        let shown = self.visible && self.failed.is_none() && self.paint(picture);
        if !shown {
            self.composer.forget_ahead();
            self.dirty.extend(self.prepared.rects());
        }
        self.prepared.clear();
        shown
    }

    fn paint(&mut self, picture: &mut dyn Raster) -> bool {
        let Some(glass) = &mut self.glass else {
            return false;
        };
        let (composer, region) = (&mut self.composer, &self.dirty);
        let painted = glass.paint(composer.window(), &mut |buffer, age| {
            composer
                .paint(buffer, age, Some(&mut *picture), region.rects())
                .to_vec()
        });
        match painted {
            Ok(()) => {
                self.dirty.clear();
                self.fresh = false;
            }
            Err(error) => self.failed = Some(error),
        }
        !self.fresh
    }

    /// Keeps what the window needs to paint the picture again.
    pub(super) fn keep(&mut self, picture: &mut dyn Raster) {
        let size = picture.size();
        let (width, height) = (size.width(), size.height());
        if self.size != Some(size) {
            self.size = Some(size);
            self.prepared.clear();
            self.unkept.clear();
            self.dirty.clear();
            self.dirty.add(Rect::whole(width, height));
            self.relaid = true;
            self.pixels.resize(width * height, 0);
            picture.paint(Rect::whole(width, height), &mut self.pixels, width);
            return;
        }
        for rect in self.unkept.rects() {
            let rect = rect.intersection(Rect::whole(width, height));
            let start = rect.y * width + rect.x;
            if let Some(out) = self.pixels.get_mut(start..) {
                picture.paint(rect, out, width);
            }
        }
        self.unkept.clear();
    }

    /// Whether there is something for the window to paint. While it has no whole picture to paint there is not: the next
    /// one is under way, or what was shown is kept soon, and either paints what is due.
    pub(super) fn is_due(&self) -> bool {
        self.visible
            && self.unkept.is_empty()
            && (self.composer.is_due() || self.fresh || !self.dirty.is_empty())
    }

    /// The frame that the coming painting shows for the first time.
    pub(super) fn take_frame(&mut self) -> Option<u64> {
        std::mem::take(&mut self.fresh).then_some(self.frame)
    }

    pub(super) fn compose(&mut self, buffer: &mut [u32], age: u8) -> Vec<Rect> {
        let mut picture = self.size.and_then(|size| Pixels::new(&self.pixels, size));
        let picture = picture.as_mut().map(|picture| picture as &mut dyn Raster);
        // This is the picture before that one: what was painted ahead is not to be seen, and may be painted over.
        self.composer.forget_ahead();
        let painted = self
            .composer
            .paint(buffer, age, picture, self.dirty.rects())
            .to_vec();
        self.dirty.clear();
        self.dirty.extend(self.prepared.rects());
        painted
    }
}

/// What is shared stays whole even where a thread died while it held the lock: the next painting repairs it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what happens on a display has no other clock"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
