//! One viewer's share of the picture: at which step he is, and which frame he gets next.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    hub::{Ladder, Step, Stream, stream::Lately},
    media::{CellIndex, Extent, Level, MediaTime, RungId, VideoStep},
    timeline::Cursor,
};

/// One viewer's place in the picture.
#[derive(Debug)]
pub(super) struct View {
    stream: Arc<Stream>,
    cursor: Cursor,
    /// As it was asked for; there may be fewer.
    step: usize,
    /// As it was when it was looked at last.
    ladder: Option<Ladder>,
    /// Of so many pictures one is sent.
    every: u64,
    /// A frame of the current level was given up for one of the next.
    given_up: bool,
    /// Every picture is of this level, whatever is wished.
    pinned: Option<Level>,
    /// The first picture is one of the coarsest level, unless the best one has at most so many bytes.
    ahead: Option<usize>,
    /// Where the frames come from.
    current: Want,
    /// Where they shall come from as soon as there is one.
    next: Option<Want>,
}

/// A level that this viewer wants.
#[derive(Debug)]
struct Want {
    level: Level,
    frames: watch::Receiver<u64>,
}

impl View {
    /// A newcomer, at the best picture.
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        let ladder = stream.lately().ladder;
        Self {
            cursor: Cursor::new(),
            step: 0,
            ladder,
            every: 1,
            given_up: false,
            pinned: None,
            ahead: None,
            current: Want::new(&stream, Level::Full),
            next: None,
            stream,
        }
    }

    /// Somebody who takes all pictures of one level, or none: below the one step there is another, on which it is too much.
    pub(super) fn of_level(stream: Arc<Stream>, level: Level) -> Self {
        let current = Want::new(&stream, level);
        Self {
            pinned: Some(level),
            current,
            ..Self::new(stream)
        }
    }

    /// How many steps there are; 1 before the source's first picture.
    pub(super) fn steps(&self) -> usize {
        if self.pinned.is_some() {
            return 2;
        }
        self.ladder.as_ref().map_or(1, Ladder::steps)
    }

    /// Moves to that step, or the last one if there are fewer.
    pub(super) fn set_step(&mut self, step: usize) {
        self.step = step;
        self.ladder = self.stream.lately().ladder;
        self.turn();
    }

    /// Begins with a coarse picture, if the best one has more than `bytes`; that is next then.
    pub(super) fn ahead(&mut self, bytes: usize) {
        if self.pinned.is_some() {
            return;
        }
        self.ahead = Some(bytes);
        self.ladder = self.stream.lately().ladder;
        self.turn();
    }

    /// Bytes of the frame that was begun and is still to be sent.
    pub(super) fn left(&self) -> usize {
        self.cursor.left()
    }

    /// A cell did not come.
    pub(super) fn lost(&mut self, rung: RungId, frame: u64, index: CellIndex) {
        self.cursor.lost(rung, frame, index);
    }

    /// Frames before one that was captured before that time are not amended any more.
    pub(super) fn forget(&mut self, before: MediaTime) {
        self.cursor.forget(before);
    }

    /// Gives up the frame that was begun if the next is of another level.
    pub(super) fn give_up(&mut self) -> bool {
        let gives_up =
            self.next.is_some() && (!self.cursor.is_free() || self.cursor.is_unfinished());
        if gives_up {
            self.cursor.give_up();
            self.given_up = true;
        }
        gives_up
    }

    /// Resolves when there may be something new. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        let (current, next) = (&mut self.current.frames, &mut self.next);
        let next = async {
            match next {
                Some(want) => want.frames.changed().await,
                None => std::future::pending().await,
            }
        };
        // Neither can fail: the stream holds the senders, and this the stream.
        tokio::select! {
            _ = current.changed() => {}
            _ = next => {}
        }
    }

    /// The next thing to send.
    pub(super) fn next(&mut self) -> Option<VideoStep> {
        if self.cursor.is_free() && !self.cursor.is_lacking() {
            // Before looking: what comes after that wakes again.
            self.current.frames.mark_unchanged();
            if let Some(next) = &mut self.next {
                next.frames.mark_unchanged();
            }
            // Where nothing is new, what did not come of earlier frames goes.
            if let Some(extent) = self.choose() {
                self.cursor.aim(extent);
            }
        }
        self.cursor.step()
    }

    /// The frame to be sent now, if any; the move to another level is done where it is of that level.
    fn choose(&mut self) -> Option<Extent> {
        let lately = self.stream.lately();
        if self.ladder != lately.ladder {
            self.ladder = lately.ladder;
            drop(lately);
            self.turn();
            return self.choose();
        }
        if self.cursor.is_unfinished() {
            let newest = lately.newest(self.current.level)?;
            return self.cursor.goes_on_with(&newest).then_some(newest);
        }
        if self.goes_ahead(&lately) {
            return lately.newest(self.current.level);
        }
        if let Some(extent) = self.arrived(&lately) {
            drop(lately);
            self.given_up = false;
            self.current = self.next.take()?;
            return Some(extent);
        }
        if self.given_up {
            return None;
        }
        let newest = lately.newest(self.current.level)?;
        let number = newest.frame.number;
        let due = self.cursor.last().is_none_or(|last| {
            let rested = number > last && number <= lately.settled;
            number >= last.saturating_add(self.every) || rested
        });
        due.then_some(newest)
    }

    /// Whether nothing was sent yet and the coarse picture goes first, though that may have to be waited for.
    fn goes_ahead(&self, lately: &Lately) -> bool {
        let (Some(bytes), None, Some(next)) = (self.ahead, self.cursor.last(), &self.next) else {
            return false;
        };
        lately
            .newest(next.level)
            .is_none_or(|best| best.frame.bytes() > bytes && lately.is_made(best.frame.number))
    }

    /// The first frame of the level to move to. It may be the picture that the viewer has of the other level: of a
    /// source that stands still nothing newer comes.
    fn arrived(&self, lately: &Lately) -> Option<Extent> {
        let next = self.next.as_ref()?;
        let newest = lately.newest(next.level)?;
        (self.cursor.last() <= Some(newest.frame.number)).then_some(newest)
    }

    /// Wants what the step says.
    fn turn(&mut self) {
        if self.pinned.is_some() {
            return;
        }
        let Step { level, every } = self.ladder.map_or(Step::BEST, |l| l.step(self.step));
        self.every = every.into();
        if self.ahead.is_some()
            && self.cursor.last().is_none()
            && let Some(ladder) = &self.ladder
            && self.current.level != ladder.coarsest()
        {
            let coarsest = Want::new(&self.stream, ladder.coarsest());
            let best = std::mem::replace(&mut self.current, coarsest);
            self.next.get_or_insert(best);
        }
        if level == self.current.level {
            self.next = None;
            self.given_up = false;
        } else if self.next.as_ref().is_none_or(|next| next.level != level) {
            self.next = Some(Want::new(&self.stream, level));
        }
    }
}

impl Want {
    fn new(stream: &Stream, level: Level) -> Self {
        Self {
            level,
            frames: stream.want(level),
        }
    }
}

#[cfg(test)]
mod tests;
