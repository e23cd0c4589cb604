//! One viewer's place: what he holds, and what he therefore gets next.

use std::sync::Arc;

use crate::media::{CellIndex, Extent, Frame, RungId, VideoStep};

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
    /// The frame that was sent to its end last, and what did not come of it or of those before.
    ended: Option<Arc<Frame>>,
    amends: Vec<CellIndex>,
    /// The end of that frame is to be told again.
    amending: bool,
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

    /// A cell of `rung`, sent with `frame`, did not come. Of the frame under way it goes once more; of one before that
    /// as it is in the frame that ended last, whose end is then told again: it is what the viewer waits for.
    pub fn lost(&mut self, rung: RungId, frame: u64, index: CellIndex) {
        let at = index as usize;
        if self.rung != Some(rung) {
            return;
        }
        let (Some(held), Some(sent)) = (self.held.get_mut(at), self.sent.get(at)) else {
            return;
        };
        // Unless a newer one went meanwhile, which is of no use to the frame that ended.
        if *sent <= frame {
            if std::mem::take(held) == 0 {
                return;
            }
            let begun = self.unfinished.is_some_and(|(number, _)| number <= frame);
            if let Some(pass) = &mut self.pass
                && pass.extent.frame.number <= frame
            {
                let cell = pass.extent.frame.cells.get(at);
                pass.left += cell.map_or(0, |cell| cell.bytes.len());
                pass.lacking.push(index);
                return;
            }
            if begun {
                // What is left of the frame is yet to be made, and brings it.
                return;
            }
        }
        let Some(ended) = self.ended.as_ref().map(|ended| ended.number) else {
            return;
        };
        let shown = *sent <= frame || *sent > ended;
        if ended >= frame && shown {
            self.amends.push(index);
            self.amending = true;
        }
    }

    /// Whether there is something to be made good.
    pub const fn is_lacking(&self) -> bool {
        self.amending
    }

    /// The next cell of the frame that ended last, for one that did not come; then its end.
    fn amend(&mut self) -> Option<VideoStep> {
        let frame = self.ended.as_ref()?;
        let (rung, number, capture) = (frame.rung.id, frame.number, frame.capture);
        while let Some(index) = self.amends.pop() {
            let at = index as usize;
            let (Some(cell), Some(held), Some(sent)) = (
                frame.cells.get(at),
                self.held.get_mut(at),
                self.sent.get_mut(at),
            ) else {
                continue;
            };
            if *held == 0 {
                *held = cell.version + 1;
                *sent = number;
            }
            return Some(VideoStep::Cell {
                rung,
                frame: number,
                capture,
                index,
                bytes: cell.bytes.clone(),
            });
        }
        self.amending = false;
        Some(VideoStep::End {
            rung,
            frame: number,
            capture,
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
            self.amends.clear();
            (self.ended, self.amending) = (None, false);
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
        if self.amending
            && let Some(step) = self.amend()
        {
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
        self.ended = self.pass.take().map(|pass| pass.extent.frame);
        Some(VideoStep::End {
            rung,
            frame: number,
            capture,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::{Cell, Frame, Grid, MediaTime, Rung, RungKind, Size};

    fn frame(rung: RungId, number: u64, versions: &[u64]) -> Arc<Frame> {
        let grid = Grid::for_size(Size::new(160, 16).unwrap());
        let rung = Arc::new(Rung {
            id: rung,
            source: None,
            kind: RungKind::Cells {
                grid,
                header: Bytes::new(),
            },
        });
        let cells = versions
            .iter()
            .map(|version| Cell {
                version: *version,
                bytes: Bytes::new(),
            })
            .collect();
        Arc::new(Frame {
            number,
            capture: MediaTime::from_micros(number),
            rung,
            cells,
        })
    }

    fn whole(rung: RungId, number: u64, versions: &[u64]) -> Extent {
        Extent::whole(frame(rung, number, versions))
    }

    fn drain(cursor: &mut Cursor) -> Vec<String> {
        let mut steps = Vec::new();
        while let Some(step) = cursor.step() {
            steps.push(match step {
                VideoStep::Rung(rung) => format!("rung {}", rung.id),
                VideoStep::Cell { frame, index, .. } => format!("{index}@{frame}"),
                VideoStep::End { frame, .. } => format!("end {frame}"),
            });
        }
        steps
    }

    #[test]
    fn a_newcomer_gets_the_rung_and_every_cell_in_raster_order() {
        let mut cursor = Cursor::new();
        cursor.aim(whole(1, 7, &[3, 7, 5]));
        assert_eq!(drain(&mut cursor), ["rung 1", "0@7", "1@7", "2@7", "end 7"]);
        assert!(cursor.is_free());
    }

    #[test]
    fn only_cells_whose_version_changed_are_sent_again() {
        let mut cursor = Cursor::new();
        cursor.aim(whole(1, 7, &[7, 7, 7]));
        drain(&mut cursor);
        cursor.aim(whole(1, 9, &[7, 9, 7]));
        assert_eq!(drain(&mut cursor), ["1@9", "end 9"]);
        cursor.aim(whole(1, 10, &[7, 9, 7]));
        assert_eq!(drain(&mut cursor), ["end 10"]);
    }

    #[test]
    fn the_cell_that_was_sent_longest_ago_goes_first() {
        let mut cursor = Cursor::new();
        cursor.aim(whole(1, 1, &[1, 1, 1]));
        drain(&mut cursor);
        cursor.aim(whole(1, 2, &[2, 1, 1]));
        drain(&mut cursor);
        cursor.aim(whole(1, 3, &[3, 3, 3]));
        assert_eq!(drain(&mut cursor), ["1@3", "2@3", "0@3", "end 3"]);
    }

    #[test]
    fn another_rung_is_announced_and_lacks_every_cell() {
        let mut cursor = Cursor::new();
        cursor.aim(whole(1, 1, &[1, 1]));
        drain(&mut cursor);
        cursor.aim(whole(2, 2, &[1, 1, 1]));
        assert_eq!(drain(&mut cursor), ["rung 2", "0@2", "1@2", "2@2", "end 2"]);
    }

    #[test]
    fn a_frame_given_up_midway_leaves_its_unsent_cells_lacking() {
        let mut cursor = Cursor::new();
        cursor.aim(whole(1, 1, &[1, 1, 1]));
        cursor.step();
        cursor.step();
        cursor.aim(whole(1, 2, &[1, 1, 1]));
        assert_eq!(drain(&mut cursor), ["1@2", "2@2", "end 2"]);
    }

    #[test]
    fn the_first_cells_go_before_the_last_are_made_and_none_goes_twice() {
        let mut cursor = Cursor::new();
        cursor.aim(whole(1, 1, &[1, 1, 1]));
        drain(&mut cursor);
        let part = |number, versions: &[u64], cells| Extent {
            frame: frame(1, number, versions),
            cells,
        };
        cursor.aim(part(2, &[2, 1, 1], 1));
        assert_eq!(drain(&mut cursor), ["0@2"]);
        assert!(cursor.is_free() && cursor.is_unfinished());
        assert!(!cursor.goes_on_with(&part(2, &[2, 1, 1], 1)));
        let rest = whole(1, 2, &[2, 2, 1]);
        assert!(cursor.goes_on_with(&rest));
        cursor.aim(rest);
        assert_eq!(drain(&mut cursor), ["1@2", "end 2"]);
        assert!(!cursor.is_unfinished());
    }

    #[test]
    fn a_cell_that_is_not_made_yet_is_not_sent_as_it_was_before() {
        let mut cursor = Cursor::new();
        cursor.aim(Extent {
            frame: frame(1, 5, &[5, 4]),
            cells: 1,
        });
        assert_eq!(drain(&mut cursor), ["rung 1", "0@5"]);
        let next = whole(1, 6, &[6, 6]);
        assert!(cursor.goes_on_with(&next));
        cursor.aim(next);
        assert_eq!(drain(&mut cursor), ["1@6", "0@6", "end 6"]);
    }

    #[test]
    fn what_did_not_come_of_the_frame_under_way_goes_once_more_with_it() {
        let mut cursor = Cursor::new();
        cursor.aim(whole(1, 1, &[1, 1, 1]));
        cursor.step();
        cursor.step();
        cursor.lost(1, 1, 0);
        assert_eq!(drain(&mut cursor), ["0@1", "1@1", "2@1", "end 1"]);
    }

    #[test]
    fn what_did_not_come_of_a_frame_that_ended_completes_it_though_the_next_is_under_way() {
        let mut cursor = Cursor::new();
        cursor.aim(whole(1, 1, &[1, 1, 1]));
        drain(&mut cursor);
        cursor.aim(whole(1, 2, &[2, 1, 2]));
        cursor.step();
        cursor.lost(1, 1, 1);
        cursor.lost(1, 1, 2);
        cursor.lost(2, 1, 0);
        cursor.lost(1, 1, 9);
        assert_eq!(drain(&mut cursor), ["2@1", "1@1", "end 1", "2@2", "end 2"]);
        assert!(!cursor.is_lacking());
    }

    #[test]
    fn what_did_not_come_goes_once_more_while_nothing_is_new() {
        let mut cursor = Cursor::new();
        cursor.aim(whole(1, 1, &[1, 1]));
        drain(&mut cursor);
        cursor.lost(1, 1, 1);
        cursor.lost(1, 1, 1);
        assert!(cursor.is_free() && cursor.is_lacking());
        assert_eq!(drain(&mut cursor), ["1@1", "end 1"]);
        assert_eq!(drain(&mut cursor), Vec::<String>::new());
    }

    #[test]
    fn what_did_not_come_of_an_unfinished_frame_comes_with_its_rest() {
        let mut cursor = Cursor::new();
        cursor.aim(Extent {
            frame: frame(1, 5, &[5, 5, 5]),
            cells: 2,
        });
        drain(&mut cursor);
        cursor.lost(1, 5, 0);
        assert!(!cursor.is_lacking());
        cursor.aim(whole(1, 5, &[5, 5, 5]));
        assert_eq!(drain(&mut cursor), ["2@5", "0@5", "end 5"]);
    }

    #[test]
    fn a_frame_is_given_up_for_one_of_another_rung_and_nothing_stays_unannounced() {
        let mut cursor = Cursor::new();
        cursor.aim(whole(1, 1, &[1, 1, 1]));
        assert_eq!(cursor.left(), 0);
        cursor.give_up();
        cursor.aim(whole(1, 1, &[1, 1, 1]));
        assert!(matches!(cursor.step(), Some(VideoStep::Rung(_))));
        assert!(matches!(cursor.step(), Some(VideoStep::Cell { .. })));
        cursor.give_up();
        assert!(cursor.is_free());
        cursor.aim(whole(2, 1, &[1]));
        assert_eq!(drain(&mut cursor), ["rung 2", "0@1", "end 1"]);
    }
}
