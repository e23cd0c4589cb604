//! Media as they come in: which rungs there are, whether a cell can be, large cells put together.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Event;
use crate::media::{CellIndex, Rung, RungId};
use crate::session::Misbehaviour;
use crate::wire::limits::{MAX_RUNGS, MAX_SPLIT_CELL};
use crate::wire::{CellPart, Message, Moment, RungInfo};

/// What a viewer must know to understand media. One subscription long.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    rungs: VecDeque<Arc<Rung>>,
    large: Option<LargeCell>,
    /// The same in datagrams, where parts come in any order and not all.
    loose: VecDeque<LooseCell>,
}

/// A cell of which parts have come. One at a time: the sender finishes or gives up one before it begins another.
#[derive(Debug)]
struct LargeCell {
    moment: Moment,
    index: CellIndex,
    total: u32,
    /// Grows as bytes arrive, not as they are announced.
    bytes: BytesMut,
}

/// A cell of which parts have come, in any order.
#[derive(Debug)]
struct LooseCell {
    moment: Moment,
    index: CellIndex,
    bytes: BytesMut,
    /// Where parts begin and end, in order.
    parts: Vec<(usize, usize)>,
}

impl Receiver {
    /// Whether this rung is remembered.
    pub(super) fn knows(&self, rung: RungId) -> bool {
        self.cells_of(rung).is_some()
    }

    /// Whether this rung was announced before that one.
    pub(super) fn is_before(&self, rung: RungId, other: RungId) -> bool {
        let place = |rung| self.rungs.iter().position(|known| known.id == rung);
        place(rung) < place(other)
    }

    /// Takes a part that may have overtaken others, of which any may be lost.
    pub(super) fn loose_part(&mut self, part: CellPart) -> Result<Option<Event>, Misbehaviour> {
        let Some(count) = self.cells_of(part.moment.rung) else {
            return Ok(None);
        };
        check(part.index, count)?;
        let total = usize::try_from(part.total).unwrap_or(usize::MAX);
        if total > MAX_SPLIT_CELL {
            return Err(Misbehaviour::PartOutOfOrder);
        }
        let is_same = |cell: &LooseCell| {
            cell.moment == part.moment && cell.index == part.index && cell.bytes.len() == total
        };
        let at = match self.loose.iter().position(is_same) {
            Some(at) => at,
            None => {
                if self.loose.len() == MAX_LOOSE {
                    self.loose.pop_front();
                }
                self.loose.push_back(LooseCell {
                    moment: part.moment,
                    index: part.index,
                    bytes: BytesMut::zeroed(total),
                    parts: Vec::new(),
                });
                self.loose.len() - 1
            }
        };
        let Some(cell) = self.loose.get_mut(at) else {
            return Ok(None);
        };
        let start = usize::try_from(part.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(part.bytes.len());
        let Some(place) = cell.bytes.get_mut(start..end) else {
            return Err(Misbehaviour::PartOutOfOrder);
        };
        place.copy_from_slice(&part.bytes);
        let before = cell.parts.partition_point(|have| have.0 < start);
        if cell.parts.get(before) != Some(&(start, end)) {
            cell.parts.insert(before, (start, end));
        }
        let reach = cell.parts.iter().fold(0, |reach, (start, end)| {
            if *start <= reach {
                reach.max(*end)
            } else {
                reach
            }
        });
        if reach < total {
            return Ok(None);
        }
        let cell = self.loose.remove(at);
        Ok(cell.map(|cell| told(cell.moment, vec![(cell.index, cell.bytes.freeze())])))
    }

    /// Takes a rung; an unknown coding is not remembered, so that its cells are skipped. One that is remembered may be
    /// announced again, which makes it the newest.
    pub(super) fn rung(&mut self, info: &RungInfo) -> Result<Option<Arc<Rung>>, Misbehaviour> {
        let Some(rung) = info.rung()? else {
            return Ok(None);
        };
        let known = self.rungs.iter().position(|known| known.id == rung.id);
        let rung = match known.and_then(|at| self.rungs.remove(at)) {
            Some(known) if *known == rung => known,
            Some(_) => return Err(Misbehaviour::RungChanged(rung.id)),
            None => Arc::new(rung),
        };
        if self.rungs.len() == MAX_RUNGS {
            self.rungs.pop_front();
        }
        self.rungs.push_back(Arc::clone(&rung));
        Ok(Some(rung))
    }

    /// Takes a message of media; `None` if there is nothing to tell (yet).
    pub(super) fn media(&mut self, message: Message) -> Result<Option<Event>, Misbehaviour> {
        match message {
            Message::Control(_) | Message::Ack(_) | Message::Arrivals(_) | Message::Settled(_) => {
                Ok(None)
            }
            Message::Audio(packet) => Ok(Some(Event::Audio(packet))),
            Message::Cells { moment, cells } => {
                let Some(count) = self.cells_of(moment.rung) else {
                    return Ok(None);
                };
                for (index, _) in &cells {
                    check(*index, count)?;
                }
                Ok(Some(told(moment, cells)))
            }
            Message::CellPart(part) => self.part(part),
            Message::FrameEnd(moment) => Ok(self.cells_of(moment.rung).map(|_| Event::FrameEnd {
                rung: moment.rung,
                frame: moment.frame,
                capture: moment.capture,
            })),
        }
    }

    fn part(&mut self, part: CellPart) -> Result<Option<Event>, Misbehaviour> {
        let Some(count) = self.cells_of(part.moment.rung) else {
            return Ok(None);
        };
        check(part.index, count)?;
        if part.offset == 0 {
            self.large = Some(LargeCell {
                moment: part.moment,
                index: part.index,
                total: part.total,
                bytes: BytesMut::new(),
            });
        }
        let Some(mut large) = self.large.take() else {
            return Err(Misbehaviour::PartOutOfOrder);
        };
        let follows = large.moment == part.moment
            && large.index == part.index
            && large.total == part.total
            && usize::try_from(part.offset).is_ok_and(|offset| offset == large.bytes.len());
        if !follows {
            return Err(Misbehaviour::PartOutOfOrder);
        }
        large.bytes.extend_from_slice(&part.bytes);
        if usize::try_from(large.total).is_ok_and(|total| total > large.bytes.len()) {
            self.large = Some(large);
            return Ok(None);
        }
        Ok(Some(told(
            large.moment,
            vec![(large.index, large.bytes.freeze())],
        )))
    }

    fn cells_of(&self, id: RungId) -> Option<usize> {
        let rung = self.rungs.iter().rev().find(|rung| rung.id == id)?;
        Some(rung.cells())
    }
}

/// Cells in parts that are under way at once.
const MAX_LOOSE: usize = 16;

fn told(moment: Moment, cells: Vec<(CellIndex, Bytes)>) -> Event {
    Event::Cells {
        rung: moment.rung,
        frame: moment.frame,
        capture: moment.capture,
        cells,
    }
}

fn check(index: CellIndex, cells: usize) -> Result<(), Misbehaviour> {
    if usize::try_from(index).is_ok_and(|index| index < cells) {
        Ok(())
    } else {
        Err(Misbehaviour::CellOutside { index, cells })
    }
}
