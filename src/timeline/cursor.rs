//! One viewer's place: what he holds, and what he therefore gets next.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::media::{CellIndex, Extent, Frame, MediaTime, RungId, VideoStep};

/// A live cursor: which cells a viewer holds in which version, and the frame being sent to him.
///
/// A frame that was begun is finished before a newer one is looked at. Taking the rest of the cells from the newer
/// frame would make no picture younger (the age of a picture is that of its oldest cell) and would tear every one.
#[derive(Debug, Default)]
pub struct Cursor {
    rung: Option<RungId>,
    /// Per cell: 0 where the viewer lacks it, else one more than the version he holds.
    held: Vec<u64>,
    /// Per cell: the frame in which it was last sent, so that the stalest goes first.
    sent: Vec<u64>,
    pass: Option<Pass>,
    last: Option<u64>,
    /// The frame of which there was no more when it was looked at last, and how many cells there were.
    unfinished: Option<(u64, usize)>,
    /// The frames that were sent to their end last, oldest first; at most [`MOST_ENDED`], one less while the next is
    /// under way.
    ended: VecDeque<Ended>,
    /// The list of one that is forgotten, for the next.
    spare: Vec<CellIndex>,
}

/// A frame that was sent to its end.
#[derive(Debug)]
struct Ended {
    frame: Arc<Frame>,
    /// What did not come, and the next frame shows it no more.
    amends: Vec<CellIndex>,
    /// Its end is to be told again, behind those and what later frames show as well.
    again: bool,
}

#[derive(Debug)]
struct Pass {
    extent: Extent,
    announce: bool,
    /// Cells still to be sent, the last one first.
    lacking: Vec<CellIndex>,
    /// Their bytes.
    left: usize,
}

impl Cursor {
    /// A viewer who holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether all that there was of the frame begun last has been sent.
    pub const fn is_free(&self) -> bool {
        self.pass.is_none()
    }

    /// The number of the frame begun last.
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Bytes of the frame begun last that are still to be sent.
    pub fn left(&self) -> usize {
        self.pass.as_ref().map_or(0, |pass| pass.left)
    }

    /// A cell of `rung`, sent with `frame`, did not come. Of the frame under way it goes once more; else for those that
    /// ended and show it, whose ends are then told again: it is what the viewer waits for.
    pub fn lost(&mut self, rung: RungId, frame: u64, index: CellIndex) {
        let at = index as usize;
        if self.rung != Some(rung) {
            return;
        }
        let (Some(held), Some(sent)) = (self.held.get_mut(at), self.sent.get(at)) else {
            return;
        };
        let is_newest = *sent <= frame;
        if is_newest {
            if std::mem::take(held) == 0 {
                return;
            }
            let begun = self.unfinished.is_some_and(|(number, _)| number <= frame);
            if let Some(pass) = &mut self.pass
                && pass.extent.frame.number <= frame
            {
                pass.take_back(index);
                return;
            }
            if begun {
                // What is left of the frame is yet to be made, and brings it.
                return;
            }
        }
        let mut newest = None;
        for ended in &mut self.ended {
            if ended.frame.number >= frame && shows(&ended.frame, at, frame) {
                ended.again = true;
                newest = Some(&mut ended.amends);
            }
        }
        if let Some(amends) = newest {
            amends.push(index);
        } else if is_newest
            && let Some(pass) = &mut self.pass
            && shows(&pass.extent.frame, at, frame)
        {
            pass.take_back(index);
        }
    }

    /// Whether there is something to be made good of the frame that ended last: that goes before the next one.
    pub fn is_lacking(&self) -> bool {
        self.ended.back().is_some_and(|last| last.again)
    }

    /// Forgets frames that are not shown any more, whatever is sent of them: the next one was captured before that time.
    pub fn forget(&mut self, before: MediaTime) {
        while let Some(next) = self.ended.get(1)
            && next.frame.capture < before
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(mut oldest) = self.ended.pop_front() {
            oldest.amends.clear();
            self.spare = oldest.amends;
        }
    }

    /// The next cell that did not come of a frame that ended, or behind the last its end. While a frame is under way
    /// only what the last one that ended lacks goes before the rest of it.
    ///
    /// The newest frame's go first, and serve those before that show them too. So the end of each is behind all that
    /// it lacks.
    fn amend(&mut self) -> Option<VideoStep> {
        let place = self.ended.iter().rposition(|ended| ended.again)?;
        if self.pass.is_some() && place + 1 < self.ended.len() {
            return None;
        }
        let ended = self.ended.get_mut(place)?;
        let index = ended.amends.pop();
        let Some(index) = index else {
            ended.again = false;
            let frame = &ended.frame;
            return Some(VideoStep::End {
                rung: frame.rung.id,
                frame: frame.number,
                capture: frame.capture,
            });
        };
        let at = index as usize;
        let cell = ended.frame.cells.get(at)?;
        let (version, bytes) = (cell.version, cell.bytes.clone());
        // Sent with the first of the frames that have it, it counts for all of them.
        let mut frames = self.ended.iter().map(|ended| &ended.frame);
        let frame = frames.find(|frame| frame.number >= version && shows(frame, at, version))?;
        if let (Some(held), Some(sent)) = (self.held.get_mut(at), self.sent.get_mut(at))
            && *sent <= frame.number
        {
            (*held, *sent) = (version + 1, frame.number);
        }
        Some(VideoStep::Cell {
            rung: frame.rung.id,
            frame: frame.number,
            capture: frame.capture,
            index,
            bytes,
        })
    }

    /// The frame begun last is not sent to its end: another rung's follows.
    pub fn give_up(&mut self) {
        let pass = self.pass.take();
        if pass.is_some_and(|pass| pass.announce) {
            self.rung = None;
        }
        self.unfinished = None;
    }

    /// Whether a frame was begun of which there was not yet all.
    pub const fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Whether `extent` goes on with the frame that [is unfinished](Self::is_unfinished), or is of a later one.
    pub fn goes_on_with(&self, extent: &Extent) -> bool {
        self.unfinished.is_none_or(|sent| extent.is_beyond(sent))
    }

    /// Begins a frame, or goes on with it. Call it only when [`Self::is_free`]; an unfinished frame is given up.
    pub fn aim(&mut self, extent: Extent) {
        let frame = &extent.frame;
        self.unfinished = None;
        let changed = self.rung != Some(frame.rung.id);
        let announce = changed || self.pass.as_ref().is_some_and(|pass| pass.announce);
        if changed {
            self.rung = Some(frame.rung.id);
            self.held.clear();
            self.sent.clear();
            self.ended.clear();
        }
        while self.ended.len() >= MOST_ENDED {
            self.forget_oldest();
        }
        self.held.resize(frame.cells.len(), 0);
        self.sent.resize(frame.cells.len(), 0);
        self.last = Some(frame.number);
        let mut lacking = self
            .pass
            .take()
            .map(|pass| pass.lacking)
            .unwrap_or_default();
        lacking.clear();
        let mut left = 0;
        let made = frame.cells.iter().take(extent.cells);
        for (index, (cell, held)) in (0..).zip(made.zip(&self.held)) {
            if *held != cell.version + 1 {
                lacking.push(index);
                left += cell.bytes.len();
            }
        }
        // The sort is stable, so that cells of equal staleness go in raster order.
        lacking.reverse();
        lacking.sort_by_key(|index| {
            std::cmp::Reverse(self.sent.get(*index as usize).copied().unwrap_or(0))
        });
        self.pass = Some(Pass {
            extent,
            announce,
            lacking,
            left,
        });
    }

    /// The next thing to send of the frame begun, taken as sent; `None` once it is at its end, or when there is no more
    /// of it yet.
    pub fn step(&mut self) -> Option<VideoStep> {
        if let Some(step) = self.amend() {
            return Some(step);
        }
        let pass = self.pass.as_mut()?;
        let frame = &pass.extent.frame;
        if std::mem::take(&mut pass.announce) {
            return Some(VideoStep::Rung(Arc::clone(&frame.rung)));
        }
        let (rung, number, capture) = (frame.rung.id, frame.number, frame.capture);
        while let Some(index) = pass.lacking.pop() {
            let at = index as usize;
            let (Some(cell), Some(held), Some(sent)) = (
                frame.cells.get(at),
                self.held.get_mut(at),
                self.sent.get_mut(at),
            ) else {
                continue;
            };
            pass.left -= cell.bytes.len().min(pass.left);
            if *held == cell.version + 1 {
                continue;
            }
            *held = cell.version + 1;
            *sent = number;
            return Some(VideoStep::Cell {
                rung,
                frame: number,
                capture,
                index,
                bytes: cell.bytes.clone(),
            });
        }
        if !pass.extent.is_whole() {
            self.unfinished = Some((number, pass.extent.cells));
            self.pass = None;
            return None;
        }
        if let Some(pass) = self.pass.take() {
            self.ended.push_back(Ended {
                frame: pass.extent.frame,
                amends: std::mem::take(&mut self.spare),
                again: false,
            });
        }
        Some(VideoStep::End {
            rung,
            frame: number,
            capture,
        })
    }
}

impl Pass {
    /// A cell that was sent, or need not have been, goes once more.
    fn take_back(&mut self, index: CellIndex) {
        let cell = self.extent.frame.cells.get(index as usize);
        self.left += cell.map_or(0, |cell| cell.bytes.len());
        self.lacking.push(index);
    }
}

/// Whether this frame has that cell as it was with an earlier one, or the same.
fn shows(frame: &Frame, at: usize, earlier: u64) -> bool {
    frame
        .cells
        .get(at)
        .is_some_and(|cell| cell.version <= earlier)
}

/// Frames that ended and are remembered. A film's pictures come in twos and threes, some milliseconds after each other:
/// when it is known what did not come of the first, the next ones are sent. More would be too late to be shown.
const MOST_ENDED: usize = 3;

#[cfg(test)]
mod tests;
