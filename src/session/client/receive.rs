//! Media as they come in: which rungs there are, whether a cell can be, large cells put together.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Event;
use crate::media::{CellIndex, Rung, RungId};
use crate::session::Misbehaviour;
use crate::wire::limits::MAX_RUNGS;
use crate::wire::{CellPart, Message, Moment, RungInfo};

/// What a viewer must know to understand media. One subscription long.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    rungs: VecDeque<Arc<Rung>>,
    large: Option<LargeCell>,
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

impl Receiver {
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
            Message::Control(_) | Message::Ack(_) => Ok(None),
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
