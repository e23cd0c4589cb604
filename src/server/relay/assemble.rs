//! Frames of a local stream out of what a publisher sends: its cells untouched, its numbers and names made ours.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::order::Order;
use super::thrift::Thrift;
use super::times::{Clocks, Times};
use crate::hub::Filler;
use crate::media::{AudioPacket, Cell, CellIndex, Frame, Level, MediaTime, Rung, RungId, Size};
use crate::session::client::Event;
use crate::wire::limits::MAX_RUNGS;

/// Puts together what is published, of one level. Everything is bounded, whatever comes.
#[derive(Debug)]
pub(super) struct Assembler {
    level: Level,
    filler: Filler,
    /// The next rung's name, shared by all streams of the server.
    names: Arc<AtomicU32>,
    /// As they were announced, with ours once there is something of them.
    rungs: VecDeque<(Arc<Rung>, Option<Arc<Rung>>)>,
    /// The picture of the rung that comes now.
    picture: Option<Picture>,
    times: Times,
    order: Order,
    thrift: Thrift,
    /// The number of the frame that was passed on last.
    last: u64,
    /// Bytes of cells that came.
    came: u64,
}

/// The cells of one rung.
#[derive(Debug)]
struct Picture {
    /// As the publisher calls it.
    name: RungId,
    rung: Arc<Rung>,
    cells: Vec<Held>,
    /// Bytes of them.
    held: usize,
    /// Of so many nothing has come yet.
    lacking: usize,
    /// The newest frame that was complete, as the publisher counts.
    frame: Option<u64>,
    /// What came of frames that are not complete, in order.
    coming: VecDeque<Coming>,
    /// What that takes.
    weight: usize,
}

/// A cell, and what it keeps in memory.
#[derive(Clone, Debug)]
struct Held {
    cell: Cell,
    /// How many bytes had come by then, as long as others share its memory.
    since: Option<u64>,
}

#[derive(Debug)]
struct Coming {
    frame: u64,
    cells: Vec<(CellIndex, Bytes)>,
}

/// What a publisher must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Breach {
    #[error("a frame that never ends")]
    Endless,
    #[error("a picture of more bytes than any has")]
    TooLarge,
}

impl Assembler {
    /// Of this level; the best one's has the sound.
    pub(super) fn new(
        level: Level,
        (filler, times): (Filler, Times),
        names: Arc<AtomicU32>,
        now: Instant,
    ) -> Self {
        Self {
            level,
            filler,
            names,
            rungs: VecDeque::new(),
            picture: None,
            times,
            order: Order::default(),
            thrift: Thrift::new(now),
            last: 0,
            came: 0,
        }
    }

    /// What comes from now on has nothing to do with what came: another publisher, or the same begun anew.
    pub(super) fn anew(&mut self) {
        self.rungs.clear();
        self.picture = None;
        self.order = Order::default();
        self.times.anew();
    }

    /// Takes what came; gives the frame that is complete by it.
    pub(super) fn take(
        &mut self,
        event: Event,
        clocks: Clocks,
    ) -> Result<Option<Arc<Frame>>, Breach> {
        match event {
            Event::Rung(rung) => {
                self.announced(rung);
                Ok(None)
            }
            Event::Cells {
                rung, frame, cells, ..
            } => self.cells(rung, frame, cells, clocks.now).map(|()| None),
            Event::FrameEnd {
                rung,
                frame,
                capture,
            } => self.end(rung, frame, capture, clocks),
            Event::Audio(packet) => {
                if self.thrift.affords_sound(packet.bytes.len(), clocks.now) {
                    self.order.take(packet, clocks.now);
                    self.sounds(clocks);
                }
                Ok(None)
            }
            Event::Welcome(_)
            | Event::Subscribed { .. }
            | Event::Unsubscribed
            | Event::Refused { .. }
            | Event::Source { .. }
            // What is passed on goes on from the newest frame.
            | Event::LateEnd { .. }
            | Event::Answer(_)
            | Event::Closed(_) => Ok(None),
        }
    }

    /// Gives out the sound that has waited long enough. When there is more, if nothing comes.
    pub(super) fn tick(&mut self, clocks: Clocks) -> Option<Instant> {
        self.sounds(clocks);
        self.order.due()
    }

    fn announced(&mut self, rung: Arc<Rung>) {
        let known = self.rungs.iter().position(|(there, _)| there.id == rung.id);
        let ours = known.and_then(|at| self.rungs.remove(at));
        if self.rungs.len() == MAX_RUNGS {
            self.rungs.pop_front();
        }
        // The session sees to it that what is remembered does not change.
        let ours = ours.filter(|(there, _)| *there == rung);
        self.rungs.push_back(ours.unwrap_or((rung, None)));
    }

    /// The picture of that rung, from nothing where it was another's: as often as can be afforded.
    fn picture(&mut self, name: RungId, now: Instant) -> Option<&mut Picture> {
        if self.picture.as_ref().is_none_or(|there| there.name != name) {
            let (theirs, ours) = self.rungs.iter_mut().find(|(there, _)| there.id == name)?;
            if !self.thrift.affords_change(theirs.cells(), now) {
                return None;
            }
            let rung = ours.get_or_insert_with(|| {
                Arc::new(Rung {
                    id: self.names.fetch_add(1, Ordering::Relaxed),
                    ..Rung::clone(theirs)
                })
            });
            let nothing = Held {
                cell: Cell {
                    version: 0,
                    bytes: Bytes::new(),
                },
                since: None,
            };
            self.picture = Some(Picture {
                name,
                rung: Arc::clone(rung),
                cells: vec![nothing; rung.cells()],
                held: 0,
                lacking: rung.cells(),
                frame: None,
                coming: VecDeque::new(),
                weight: 0,
            });
        }
        self.picture.as_mut()
    }

    fn cells(
        &mut self,
        name: RungId,
        frame: u64,
        cells: Vec<(CellIndex, Bytes)>,
        now: Instant,
    ) -> Result<(), Breach> {
        let bytes: usize = cells.iter().map(|(_, bytes)| bytes.len()).sum();
        self.came = self.came.saturating_add(bytes as u64);
        let most = self.most(MOST_COMING);
        let Some(picture) = self.picture(name, now) else {
            return Ok(());
        };
        if picture.frame.is_some_and(|last| frame <= last) {
            return Ok(());
        }
        picture.weight += bytes + cells.len() * CELL_WEIGHT;
        if picture.weight > most {
            return Err(Breach::Endless);
        }
        let cells = own(cells, bytes);
        let at = picture
            .coming
            .partition_point(|coming| coming.frame < frame);
        let is_full = picture.coming.len() >= MOST_FRAMES;
        match picture.coming.get_mut(at) {
            Some(coming) if coming.frame == frame => coming.cells.extend(cells),
            Some(_) | None if !is_full => {
                picture.coming.insert(at, Coming { frame, cells });
            }
            Some(_) | None => return Err(Breach::Endless),
        }
        Ok(())
    }

    fn end(
        &mut self,
        name: RungId,
        frame: u64,
        capture: MediaTime,
        clocks: Clocks,
    ) -> Result<Option<Arc<Frame>>, Breach> {
        let (came, most) = (self.came, self.most(MOST_HELD));
        let Some(picture) = self.picture(name, clocks.now) else {
            return Ok(None);
        };
        if picture.frame.is_some_and(|last| frame <= last) {
            return Ok(None);
        }
        // All cells are looked at, so it is paid for, whether anything comes of it or not. What came stays for the next.
        let (count, size) = (picture.cells.len(), picture.rung.size());
        if !self.thrift.affords(count, clocks.now) {
            return Ok(None);
        }
        let Some((number, capture)) = self.name(frame, capture, size, clocks) else {
            return Ok(None);
        };
        let Some(picture) = &mut self.picture else {
            return Ok(None);
        };
        picture.frame = Some(frame);
        picture.settle(frame, (self.last, number), came);
        if picture.held > most {
            return Err(Breach::TooLarge);
        }
        if picture.lacking > 0 {
            return Ok(None);
        }
        self.last = number;
        if self.level == Level::Full {
            self.times.passed(number, size, clocks.now);
        }
        let frame = Arc::new(Frame {
            number,
            capture,
            rung: Arc::clone(&picture.rung),
            cells: picture.cells.iter().map(|held| held.cell.clone()).collect(),
        });
        self.filler.push_frame(self.level, Arc::clone(&frame));
        Ok(Some(frame))
    }

    /// Of this level: each has about half of what the one above has, or less.
    const fn most(&self, of_the_best: usize) -> usize {
        of_the_best >> self.level.index()
    }

    /// What number and time a frame has here; none where it is not what the level's pictures are, or comes too late.
    fn name(
        &self,
        frame: u64,
        capture: MediaTime,
        size: Size,
        clocks: Clocks,
    ) -> Option<(u64, MediaTime)> {
        if self.level == Level::Full {
            return Some(self.times.best(frame, capture, clocks));
        }
        let (named, best) = self.times.below(frame, capture, clocks)?;
        let mut halved = best;
        for _ in 0..self.level.halvings() {
            halved = halved.half().ok()?;
        }
        (size == halved && named.0 > self.last).then_some(named)
    }

    fn sounds(&mut self, clocks: Clocks) {
        while let Some((missing, packet)) = self.order.give(clocks.now) {
            // A loss stays one, so that it is concealed where it is heard; more is a new beginning.
            for _ in 0..missing {
                if missing > MOST_MISSING {
                    break;
                }
                self.filler.next_sound();
            }
            let capture = self.times.sound(packet.capture, clocks);
            self.filler.push_sound(AudioPacket {
                seq: self.filler.next_sound(),
                capture,
                bytes: Bytes::copy_from_slice(&packet.bytes),
                ..packet
            });
        }
    }
}

impl Picture {
    /// What came of this frame, and of those before, is the picture from now on; of the last ones nothing more comes.
    /// All that came after the frame `last`, which was passed on, is of `number`.
    fn settle(&mut self, frame: u64, (last, number): (u64, u64), came: u64) {
        while self
            .coming
            .front()
            .is_some_and(|coming| coming.frame <= frame)
        {
            let Some(coming) = self.coming.pop_front() else {
                break;
            };
            for (index, bytes) in coming.cells {
                self.weight = self.weight.saturating_sub(bytes.len() + CELL_WEIGHT);
                let Some(held) = self.cells.get_mut(index as usize) else {
                    continue;
                };
                if held.cell.bytes.is_empty() {
                    self.lacking = self.lacking.saturating_sub(1);
                }
                self.held = self.held.saturating_sub(held.cell.bytes.len()) + bytes.len();
                held.cell = Cell {
                    version: number,
                    bytes,
                };
                held.since = Some(came);
            }
        }
        // One that has outlived those with which it came must not keep their memory.
        for held in &mut self.cells {
            if held.cell.version > last {
                held.cell.version = number;
            }
            if held.since.is_some_and(|since| came - since > SHARED) {
                held.cell.bytes = Bytes::copy_from_slice(&held.cell.bytes);
                held.since = None;
            }
        }
    }
}

/// The same in memory of their own: what was read keeps more than them.
fn own(cells: Vec<(CellIndex, Bytes)>, bytes: usize) -> Vec<(CellIndex, Bytes)> {
    if let [(_, large)] = &cells[..]
        && large.len() >= LARGE
    {
        return cells;
    }
    let mut all = BytesMut::with_capacity(bytes);
    for (_, bytes) in &cells {
        all.extend_from_slice(bytes);
    }
    let mut all = all.freeze();
    cells
        .into_iter()
        .map(|(index, bytes)| (index, all.split_to(bytes.len())))
        .collect()
}

/// What may wait for the end of its frame; twice the largest cell.
const MOST_COMING: usize = 32 << 20;
/// In so many frames: at the most that are passed on, over two seconds' worth.
const MOST_FRAMES: usize = 1024;
/// What a picture may have in all; as much as may wait for its first end.
const MOST_HELD: usize = 32 << 20;
/// Of a cell that waits, beside its bytes.
const CELL_WEIGHT: usize = 64;
/// A cell that came in parts and has memory of its own.
const LARGE: usize = 32 << 10;
/// Cells share their memory for as long as no more than this has come behind them.
const SHARED: u64 = 16 << 20;
/// Packets of sound.
const MOST_MISSING: u64 = 50;

#[cfg(test)]
mod tests;
