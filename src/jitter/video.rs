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
/// Cells may come in any order, and frames may end in another than they were filmed: on a line that loses, the next ones
/// are under way, or whole, while something of this one is sent again. One that has ended is shown in its turn, unless it
/// ends when a later one was shown; one that has not is in the next.
///
/// Bounded by frames and bytes: beyond that the oldest changes are merged into the next ones, so that only moments
/// are lost, never cells.
#[derive(Debug, Default)]
pub struct Video {
    /// Whole frames, oldest first.
    ready: VecDeque<Pending>,
    /// Frames whose end has not come, of one rung, oldest first, each with where its cells are.
    open: VecDeque<(Pending, Index)>,
    /// Reused from frame to frame.
    spare: Vec<Index>,
    /// Where the cells of frames are that are merged.
    merging: Index,
    /// The newest whole frame that was to be painted: nothing older matters.
    shown: Option<(RungId, u64)>,
    /// The newest one that was merged before its end came: it has none any more.
    endless: Option<(RungId, u64)>,
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
        self.turn(rung);
        if self.is_shown(rung, frame) || self.is_ready(rung, frame) {
            return;
        }
        let at = self.place(rung, frame, capture, now);
        let Some((open, index)) = self.open.get_mut(at) else {
            return;
        };
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
        self.turn(rung);
        let over = self.is_shown(rung, frame) || self.is_endless(rung, frame);
        if over || self.is_ready(rung, frame) {
            return;
        }
        let mut whole = match self.open.iter().position(|(open, _)| open.frame == frame) {
            Some(at) => self.take_open(at),
            None => None,
        }
        .unwrap_or_else(|| Pending::new(rung, frame, capture, now));
        whole.capture = capture;
        self.usual = whole.fit();
        let later = |held: &&Pending| held.rung == rung && held.frame > frame;
        let later = self.ready.iter().rev().take_while(later).count();
        self.ready.insert(self.ready.len() - later, whole);
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
            self.shown = Some((next.rung, next.frame));
            let next = self.with_open(next);
            update = Some(match update {
                Some(earlier) => next.over(earlier, &mut self.merging),
                None => next,
            });
        }
        let mut partial = false;
        if self.ready.is_empty()
            && self.open.front().is_some_and(|(open, _)| {
                is_due(open.capture, playout)
                    && now.saturating_duration_since(open.since) >= Self::PATIENCE
                    && !open.is_empty()
            })
            && let Some(open) = self.take_open(0)
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
        let enough = |(open, _): &(Pending, Index)| open.len() >= WORTH_DECODING;
        self.ready.is_empty() && self.open.front().is_some_and(enough)
    }

    /// What has come of the frame that is to be shown next, if it would be shown now were it whole: to be decoded while
    /// the rest is under way. Not for the screen; [`Video::due`] gives the rest.
    pub fn ahead(&mut self, playout: Option<MediaTime>, now: Instant) -> Option<Update> {
        let playout = self.limit(playout);
        if !self.is_ahead() {
            return None;
        }
        let open = self.open.front_mut();
        let (open, index) = open.filter(|(open, _)| is_due(open.capture, playout))?;
        open.leave(index);
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
        if let Some(front) = self.ready.front() {
            return Some(until(front.capture));
        }
        let (open, _) = self.open.front().filter(|(open, _)| !open.is_empty())?;
        let patience = Self::PATIENCE.saturating_sub(now.saturating_duration_since(open.since));
        Some(until(open.capture).max(patience))
    }

    /// Drops all that waits: another server's picture begins.
    pub fn reset(&mut self) {
        self.ready.clear();
        self.forget_open();
        self.bytes = 0;
        (self.shown, self.endless) = (None, None);
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

    /// What comes from now on is of this rung: what has come of another one's picture will never be whole.
    fn turn(&mut self, rung: RungId) {
        if self.open.front().is_some_and(|(open, _)| open.rung != rung) {
            self.forget_open();
        }
    }

    /// Whether a later frame was to be painted.
    fn is_shown(&self, rung: RungId, frame: u64) -> bool {
        let shown = self.shown.filter(|(of, _)| *of == rung);
        shown.is_some_and(|(_, newest)| frame < newest)
    }

    /// Whether this frame, or a later one, was merged before its end.
    fn is_endless(&self, rung: RungId, frame: u64) -> bool {
        let endless = self.endless.filter(|(of, _)| *of == rung);
        endless.is_some_and(|(_, newest)| frame <= newest)
    }

    /// Whether this frame is whole, and waits.
    fn is_ready(&self, rung: RungId, frame: u64) -> bool {
        let mut newest = self.ready.iter().rev();
        let not_older = |held: &&Pending| held.rung == rung && held.frame >= frame;
        let found = newest.by_ref().take_while(not_older);
        found.last().is_some_and(|held| held.frame == frame)
    }

    /// Where what has come of this frame is among those that have not ended.
    fn place(&mut self, rung: RungId, frame: u64, capture: MediaTime, now: Instant) -> usize {
        if self.is_endless(rung, frame) && !self.open.is_empty() {
            // Others that need it have not ended either, and the first one's cells are older than theirs.
            return 0;
        }
        let at = self.open.partition_point(|(open, _)| open.frame < frame);
        if self
            .open
            .get(at)
            .is_some_and(|(open, _)| open.frame == frame)
        {
            return at;
        }
        let mut open = Pending::new(rung, frame, capture, now);
        open.reserve(self.usual);
        let index = self.spare.pop().unwrap_or_default();
        self.open.insert(at, (open, index));
        if self.open.len() <= MOST_OPEN {
            return at;
        }
        self.merge_open();
        at.saturating_sub(1)
    }

    /// What has come of the oldest frame that has not ended belongs to the next one.
    fn merge_open(&mut self) {
        let Some(oldest) = self.take_open(0) else {
            return;
        };
        self.endless = Some((oldest.rung, oldest.frame));
        let Some(mut next) = self.take_open(0) else {
            return;
        };
        self.bytes -= oldest.bytes + next.bytes;
        let skipped = next.skipped;
        next = next.over(oldest, &mut self.merging);
        next.skipped = skipped;
        self.bytes += next.bytes;
        let mut index = self.spare.pop().unwrap_or_default();
        next.enter(&mut index);
        self.open.push_front((next, index));
    }

    /// This whole frame, with what has come of those before it that have not ended.
    fn with_open(&mut self, mut whole: Pending) -> Pending {
        let skipped = whole.skipped;
        while self
            .open
            .front()
            .is_some_and(|(open, _)| open.rung == whole.rung && open.frame < whole.frame)
            && let Some(open) = self.take_open(0)
        {
            self.bytes -= open.bytes;
            whole = whole.over(open, &mut self.merging);
        }
        whole.skipped = skipped;
        whole
    }

    /// One of those that have not ended.
    fn take_open(&mut self, at: usize) -> Option<Pending> {
        let (open, mut index) = self.open.remove(at)?;
        open.leave(&mut index);
        self.spare.push(index);
        Some(open)
    }

    fn forget_open(&mut self) {
        while let Some(open) = self.take_open(0) {
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

/// Frames of which something has come and that have not ended; of more, the oldest is merged into the next.
const MOST_OPEN: usize = 8;

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
