//! Playback's end of the screen.

use std::sync::Arc;
use std::time::Instant;

use crate::media::{Raster, Rect, Size};

use super::shared::{Shared, lock, now};

/// Playback's end. Clones write on the same screen. Everything may be called with or without a window.
#[derive(Clone, Debug)]
pub struct ScreenWriter {
    pub(super) shared: Arc<Shared>,
}

/// The newest picture that was handed to the display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// As given to [`ScreenWriter::show`].
    pub frame: u64,
    /// When it was sent to the display.
    pub at: Instant,
    /// How many pictures were handed over so far; a picture that was replaced before its turn is not among them.
    pub count: u64,
}

impl ScreenWriter {
    /// Shows `picture`, which differs from what was shown last only within `dirty` (its own pixels; ignored when it has
    /// another size than last time).
    ///
    /// [`Self::keep`] has to follow. `frame` comes back in [`Self::presented`]. Where the display is slow this may wait
    /// for it. Without a [`super::Screen`] (headless) every picture counts as presented at once; in a hidden
    /// window none does.
    pub fn show(&self, frame: u64, picture: &mut dyn Raster, dirty: &[Rect]) {
        let mut state = self.shared.state();
        if state.unseen {
            drop(state);
            return self.shared.stamp(frame, 1);
        }
        let painted = state.show(frame, picture, dirty);
        if painted {
            self.shared.hand(frame);
        } else {
            state.keep(picture);
        }
        drop(state);
        self.shared.wake();
    }

    /// Has to follow behind [`Self::show`], unless the next picture comes soon, with the same picture and before it
    /// changes: for the window to paint it again. Not at once, since that would take the time of whoever brings the
    /// picture to the screen; until then the window leaves painting to [`Self::show`].
    pub fn keep(&self, picture: &mut dyn Raster) {
        let mut state = self.shared.state();
        if state.unseen {
            return;
        }
        state.keep(picture);
        // The window has waited for it.
        let due = state.is_due();
        drop(state);
        if due {
            self.shared.wake();
        }
    }

    /// Takes what has come of the picture that is to be shown next, and of which more is to come: where the window's
    /// buffer can be painted at once it is, so that less is left to do when the rest is there. Nobody sees it before.
    /// Whether it was taken; then [`Self::show`] need not be told of this `dirty` again.
    pub fn prepare(&self, picture: &mut dyn Raster, dirty: &[Rect]) -> bool {
        self.shared.state().prepare(picture, dirty)
    }

    /// A notice over the picture, or instead of it, until it is replaced; `None` takes it away. Like everything else
    /// that is said, never waits for painting.
    pub fn words(&self, words: Option<String>) {
        self.shared.say(|said| {
            let changed = said.overlay.say(words);
            said.news |= changed;
            changed
        });
    }

    /// A message at the bottom that goes away by itself after two seconds: volume, snapshot.
    pub fn message(&self, text: String) {
        self.shared.say(|said| {
            said.overlay.message(text, now());
            said.news = true;
            true
        });
    }

    /// Lines for the statistics overlay; nobody sees them unless [`Self::wants_statistics`].
    pub fn statistics(&self, lines: Vec<String>) {
        self.shared.say(|said| {
            let changed = said.overlay.statistics(lines);
            said.news |= changed;
            changed
        });
    }

    /// The statistics overlay is on.
    pub fn wants_statistics(&self) -> bool {
        self.shared.said().overlay.wants_statistics()
    }

    /// How large the picture is by itself, where what is shown is a smaller copy of it: the window is made for this.
    pub fn own_size(&self, size: Size) {
        self.shared.say(|said| {
            said.own_size = Some(size);
            false
        });
    }

    /// The window's title.
    pub fn title(&self, title: String) {
        self.shared.say(|said| {
            said.title = Some(title);
            true
        });
    }

    /// Closes the window.
    pub fn close(&self) {
        self.shared.say(|said| {
            said.closed = true;
            true
        });
    }

    /// The newest picture that was handed to the display. Never waits for painting.
    pub fn presented(&self) -> Option<Presented> {
        *lock(&self.shared.presented)
    }
}
