//! Changes of the picture, held until they are due. The picture is state: what was never shown is merged into what is.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::pending::{Index, Pending};
use crate::media::{CellIndex, MAX_CELLS, MediaTime, RungId};

/// Holds the changes of one picture until they are due.
///
/// Frames end in order; the cells of the one that is coming may come in any, and some of the next before its end: on
/// a line that loses, the next is under way while something of this one is sent again.
///
/// Bounded by frames and bytes: beyond that the oldest changes are merged into the next ones, so that only moments
/// are lost, never cells.
#[derive(Debug, Default)]
pub struct Video {
    /// Whole frames, oldest first.
    ready: VecDeque<Pending>,
    /// The frame whose end has not come.
    open: Option<Pending>,
    /// Where the cells of `open` are; reused from frame to frame.
    index: Index,
    /// What has come of frames after that one, and where its cells are.
    later: Option<Pending>,
    later_index: Index,
    /// The same for frames that are merged.
    merging: Index,
    /// Cells and bytes of the frame before.
    usual: (usize, usize),
    bytes: usize,
    merged: u64,
    dropped: u64,
}

/// What to paint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// How the cells are coded.
    pub rung: RungId,
    /// The newest frame in it.
    pub frame: u64,
    /// Capture time of that frame.
    pub capture: MediaTime,
    /// The newest version of each cell that changed, by index.
    pub cells: Vec<(CellIndex, Bytes)>,
    /// Some cells of the frame may be missing: its time was up before it was whole.
    pub partial: bool,
    /// Frames that were never shown because this one was there.
    pub skipped: u64,
}

impl Video {
    /// Nothing waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cells of a frame have come.
    pub fn push(
        &mut self,
        rung: RungId,
        frame: u64,
        capture: MediaTime,
        cells: Vec<(CellIndex, Bytes)>,
        now: Instant,
    ) {
        if self.open.as_ref().is_some_and(|open| open.rung != rung) {
            // the other rung's picture will never be whole
            self.forget_open();
        }
        let is_later = |open: &Pending| open.frame < frame && !open.is_empty();
        let (slot, index) = if self.open.as_ref().is_some_and(is_later) {
            (&mut self.later, &mut self.later_index)
        } else {
            (&mut self.open, &mut self.index)
        };
        let open = slot.get_or_insert_with(|| {
            let mut open = Pending::new(rung, frame, capture, now);
            open.reserve(self.usual);
            open
        });
        open.frame = open.frame.max(frame);
        open.capture = open.capture.max(capture);
        self.bytes -= open.bytes;
        for (cell, bytes) in cells {
            let total = self.bytes + open.bytes + bytes.len();
            if total > REFUSED_BYTES || cell as usize >= MAX_CELLS {
                self.dropped += 1;
                continue;
            }
            open.put(cell, frame, &bytes, index);
        }
        self.bytes += open.bytes;
        self.shrink();
    }

    /// All cells of a frame have come, with those of earlier frames that it shares.
    pub fn end(&mut self, rung: RungId, frame: u64, capture: MediaTime, now: Instant) {
        if self.open.as_ref().is_some_and(|open| open.rung != rung) {
            self.forget_open();
        }
        let mut whole = match self.take_open() {
            Some(open) => open,
            None => Pending::new(rung, frame, capture, now),
        };
        if self.open.as_ref().is_some_and(|next| next.frame <= frame)
            && let Some(next) = self.take_open()
        {
            // What was taken for an earlier frame belonged to this one.
            self.bytes -= whole.bytes + next.bytes;
            let skipped = whole.skipped;
            whole = next.over(whole, &mut self.merging);
            whole.skipped = skipped;
            self.bytes += whole.bytes;
        }
        whole.frame = whole.frame.max(frame);
        whole.capture = capture;
        self.usual = whole.fit();
        self.ready.push_back(whole);
        self.shrink();
    }

    /// What is to be shown now, if anything: everything captured until `playout`, or all that is whole if it is
    /// `None`. A frame that is due but does not get whole for [`Video::PATIENCE`] is shown as far as it came.
    pub fn due(&mut self, playout: Option<MediaTime>, now: Instant) -> Option<Update> {
        let playout = self.limit(playout);
        let mut update: Option<Pending> = None;
        while self
            .ready
            .front()
            .is_some_and(|front| is_due(front.capture, playout))
        {
            let Some(next) = self.ready.pop_front() else {
                break;
            };
            self.bytes -= next.bytes;
            update = Some(match update {
                Some(earlier) => next.over(earlier, &mut self.merging),
                None => next,
            });
        }
        let mut partial = false;
        if self.ready.is_empty()
            && self.open.as_ref().is_some_and(|open| {
                is_due(open.capture, playout)
                    && now.saturating_duration_since(open.since) >= Self::PATIENCE
                    && !open.is_empty()
            })
            && let Some(open) = self.take_open()
        {
            self.bytes -= open.bytes;
            partial = true;
            update = Some(match update {
                Some(earlier) => open.over(earlier, &mut self.merging),
                None => open,
            });
        }
        update.map(|pending| Update {
            rung: pending.rung,
            frame: pending.frame,
            capture: pending.capture,
            partial,
            skipped: pending.skipped,
            cells: pending.into_cells(),
        })
    }

    /// Whether enough has come for [`Self::ahead`].
    pub fn is_ahead(&self) -> bool {
        let enough = |open: &Pending| open.len() >= WORTH_DECODING;
        self.ready.is_empty() && self.open.as_ref().is_some_and(enough)
    }

    /// What has come of the frame that is to be shown next, if it would be shown now were it whole: to be decoded while
    /// the rest is under way. Not for the screen; [`Video::due`] gives the rest.
    pub fn ahead(&mut self, playout: Option<MediaTime>, now: Instant) -> Option<Update> {
        let playout = self.limit(playout);
        if !self.is_ahead() {
            return None;
        }
        let open = self.open.as_mut();
        let open = open.filter(|open| is_due(open.capture, playout))?;
        open.leave(&mut self.index);
        let mut rest = Pending::new(open.rung, open.frame, open.capture, now);
        rest.since = open.since;
        rest.begun = true;
        let part = std::mem::replace(open, rest);
        self.bytes -= part.bytes;
        Some(Update {
            rung: part.rung,
            frame: part.frame,
            capture: part.capture,
            partial: true,
            skipped: 0,
            cells: part.into_cells(),
        })
    }

    /// How long until [`Video::due`] may give something, if nothing more comes; `None`: only an arrival helps.
    pub fn wait(&self, playout: Option<MediaTime>, now: Instant) -> Option<Duration> {
        let playout = self.limit(playout);
        let until = |capture: MediaTime| {
            playout.map_or(Duration::ZERO, |playout| capture.since(playout + EARLY))
        };
        let ready = self.ready.front().map(|front| until(front.capture));
        let open = self
            .open
            .as_ref()
            .filter(|open| !open.is_empty())
            .map(|open| {
                let patience =
                    Self::PATIENCE.saturating_sub(now.saturating_duration_since(open.since));
                until(open.capture).max(patience)
            });
        match (ready, open) {
            (Some(ready), Some(open)) => Some(ready.min(open)),
            (ready, open) => ready.or(open),
        }
    }

    /// Drops all that waits: another server's picture begins.
    pub fn reset(&mut self) {
        self.ready.clear();
        self.forget_open();
        self.bytes = 0;
    }

    /// Whole frames that wait.
    pub fn frames(&self) -> usize {
        self.ready.len()
    }

    /// Coded bytes that wait.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames merged into later ones because too much waited.
    pub const fn merged(&self) -> u64 {
        self.merged
    }

    /// Cells refused because one picture alone was beyond the limit.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How long a frame that is due may be incomplete.
    pub const PATIENCE: Duration = Duration::from_millis(100);

    /// Merges the oldest frames until the bounds hold.
    fn shrink(&mut self) {
        while self.ready.len() > MAX_FRAMES || (self.bytes > MAX_BYTES && self.ready.len() > 1) {
            let (Some(oldest), Some(next)) = (self.ready.pop_front(), self.ready.pop_front())
            else {
                return;
            };
            self.bytes -= oldest.bytes + next.bytes;
            let both = next.over(oldest, &mut self.merging);
            self.bytes += both.bytes;
            self.merged += 1;
            self.ready.push_front(both);
        }
    }

    /// What is due: everything, while there is too much even for one frame.
    fn limit(&self, playout: Option<MediaTime>) -> Option<MediaTime> {
        playout.filter(|_| self.bytes <= MAX_BYTES)
    }

    /// The frame that is coming; the one after it takes its place.
    fn take_open(&mut self) -> Option<Pending> {
        let open = self.open.take()?;
        open.leave(&mut self.index);
        self.open = self.later.take();
        std::mem::swap(&mut self.index, &mut self.later_index);
        Some(open)
    }

    fn forget_open(&mut self) {
        while let Some(open) = self.take_open() {
            self.bytes -= open.bytes;
        }
    }
}

fn is_due(capture: MediaTime, playout: Option<MediaTime>) -> bool {
    playout.is_none_or(|playout| capture <= playout + EARLY)
}

/// A picture this little too early is better than one frame too late.
const EARLY: Duration = Duration::from_millis(2);

/// So many cells are decoded ahead: fewer are not worth the way there.
const WORTH_DECODING: usize = 16;

/// 5 s at 60 frames a second.
const MAX_FRAMES: usize = 300;

/// Coded bytes in all frames that wait.
const MAX_BYTES: usize = 64 << 20;

/// Beyond this even a single picture's cells are refused: no picture is that large.
const REFUSED_BYTES: usize = 2 * MAX_BYTES;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests;
