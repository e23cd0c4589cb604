//! Datagrams under way: what was in each, until the viewer says whether it came.
//!
//! A lost cell matters while nothing newer of its place was sent, and to the frame that ended last also while only the
//! next one's was. There is no retransmission here: what matters and was lost the feed is told.

use std::collections::VecDeque;

use crate::media::CellIndex;
use crate::wire::limits::MAX_RANGES;
use crate::wire::{Arrivals, Span};

/// Datagrams remembered; of more the oldest counts as lost.
const MAX_UNDER_WAY: usize = 16_384;

/// What was sent and not spoken of.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// In order, without holes between: the next begins where the last ends.
    under_way: VecDeque<Entry>,
    /// The cells of all of them, in order.
    cells: VecDeque<Sent>,
    /// By place in the picture of the current rung.
    places: Vec<Place>,
    next: u64,
}

/// The sendings of one cell.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    newest: Option<Sending>,
    /// The last with an earlier frame.
    before: Option<Sending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sending {
    began: u64,
    frame: u64,
}

#[derive(Debug)]
struct Entry {
    start: u64,
    end: u64,
    frame: u64,
    cells: usize,
    /// It is no datagram but a stream, of which nothing is lost.
    reliable: bool,
}

/// A cell, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Where it stands.
    pub(super) index: CellIndex,
    /// The position of the datagram with its first byte.
    pub(super) began: u64,
}

/// A cell that the viewer lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// The frame with which it was sent.
    pub(super) frame: u64,
    /// Where it stands.
    pub(super) index: CellIndex,
}

/// Acknowledges what was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotSent;

impl Ledger {
    /// The position of the next datagram.
    pub(super) const fn position(&self) -> u64 {
        self.next
    }

    /// Another rung, of so many cells: what was sent before matters no more.
    pub(super) fn turn(&mut self, cells: usize) {
        self.places.clear();
        self.places.resize(cells, Place::default());
    }

    /// A datagram of `length` bytes was sent, with these cells of `frame`. `lost` is told of what falls out of memory.
    pub(super) fn send(
        &mut self,
        length: usize,
        frame: u64,
        cells: &[Sent],
        lost: &mut dyn FnMut(Lost),
    ) {
        while self.under_way.len() >= MAX_UNDER_WAY {
            self.resolve(true, lost);
        }
        let start = self.next;
        self.next += length as u64;
        self.under_way.push_back(Entry {
            start,
            end: self.next,
            frame,
            cells: cells.len(),
            reliable: false,
        });
        for sent in cells {
            if let Some(place) = self.places.get_mut(sent.index as usize) {
                let began = sent.began;
                place.send(Sending { began, frame });
            }
            self.cells.push_back(*sent);
        }
    }

    /// A stream of `length` bytes was begun.
    pub(super) fn stream(&mut self, length: usize) {
        let start = self.next;
        self.next += length as u64;
        self.under_way.push_back(Entry {
            start,
            end: self.next,
            frame: 0,
            cells: 0,
            reliable: true,
        });
    }

    /// The viewer says what came; `lost` is told of each cell that it lacks. Gives the position up to which nothing is
    /// under way any more: a stream may be for longer than what was sent behind it.
    pub(super) fn arrived(
        &mut self,
        arrivals: &Arrivals,
        lost: &mut dyn FnMut(Lost),
    ) -> Result<u64, NotSent> {
        if arrivals.until > self.next {
            return Err(NotSent);
        }
        let mut holes = arrivals.holes.iter().peekable();
        while let Some(entry) = self.under_way.front()
            && entry.end <= arrivals.until
        {
            while holes.next_if(|hole| hole.end < entry.end).is_some() {}
            let missing = holes.peek().is_some_and(|hole| hole.start < entry.end);
            if missing && entry.reliable {
                return Ok(entry.start);
            }
            self.resolve(missing, lost);
        }
        Ok(arrivals.until)
    }

    /// On which of what is under way the picture of `frame` depends; in order, at most [`MAX_RANGES`].
    pub(super) fn needs(&self, frame: u64, needs: &mut Vec<Span>) {
        needs.clear();
        let mut cells = self.cells.iter();
        for entry in &self.under_way {
            // All of them are taken, whatever is found among them.
            let matters = cells
                .by_ref()
                .take(entry.cells)
                .fold(false, |matters, sent| {
                    let place = self.places.get(sent.index as usize);
                    matters | place.is_some_and(|place| place.at(frame) == Some(sent.began))
                });
            if matters {
                let full = needs.len() == MAX_RANGES;
                match needs.last_mut() {
                    Some(last) if full || last.end == entry.start => last.end = entry.end,
                    _ => needs.push(entry.start..entry.end),
                }
            }
        }
    }

    /// The oldest is spoken of.
    fn resolve(&mut self, is_lost: bool, lost: &mut dyn FnMut(Lost)) {
        let Some(entry) = self.under_way.pop_front() else {
            return;
        };
        for _ in 0..entry.cells {
            let Some(sent) = self.cells.pop_front() else {
                return;
            };
            let place = self.places.get_mut(sent.index as usize);
            // Once is enough, however many parts it had.
            if is_lost && place.is_some_and(|place| place.forget(sent.began)) {
                lost(Lost {
                    frame: entry.frame,
                    index: sent.index,
                });
            }
        }
    }
}

impl Place {
    fn send(&mut self, sending: Sending) {
        match self.newest {
            Some(newest) if newest.frame > sending.frame => self.before = Some(sending),
            Some(newest) if newest.frame < sending.frame => {
                self.before = Some(newest);
                self.newest = Some(sending);
            }
            Some(_) | None => self.newest = Some(sending),
        }
    }

    /// Where the sending began that `frame` shows.
    fn at(&self, frame: u64) -> Option<u64> {
        let newest = self.newest.filter(|newest| newest.frame <= frame);
        newest.or(self.before).map(|sending| sending.began)
    }

    /// The sending that began there is lost; whether it mattered.
    fn forget(&mut self, began: u64) -> bool {
        for sending in [&mut self.newest, &mut self.before] {
            if sending.is_some_and(|sending| sending.began == began) {
                *sending = None;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
#[expect(
    clippy::single_range_in_vec_init,
    reason = "one span is a list of spans"
)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn arrivals(until: u64, holes: &[Span]) -> Arrivals {
        Arrivals {
            until,
            held: Duration::ZERO,
            holes: holes.to_vec(),
        }
    }

    /// A datagram of 100 bytes.
    fn send(ledger: &mut Ledger, frame: u64, cells: &[CellIndex]) {
        let began = ledger.position();
        let cells: Vec<Sent> = cells
            .iter()
            .map(|index| Sent {
                index: *index,
                began,
            })
            .collect();
        ledger.send(100, frame, &cells, &mut |_| panic!("nothing is forgotten"));
    }

    fn lost(ledger: &mut Ledger, until: u64, holes: &[Span]) -> Vec<(u64, CellIndex)> {
        let mut all = Vec::new();
        let told = arrivals(until, holes);
        ledger
            .arrived(&told, &mut |lost| all.push((lost.frame, lost.index)))
            .unwrap();
        all
    }

    fn needs(ledger: &Ledger, frame: u64) -> Vec<Span> {
        let mut needs = Vec::new();
        ledger.needs(frame, &mut needs);
        needs
    }

    #[test]
    fn a_lost_cell_matters_unless_two_newer_ones_were_sent() {
        let mut ledger = Ledger::default();
        ledger.turn(9);
        send(&mut ledger, 1, &[0, 1]);
        send(&mut ledger, 1, &[2, 3]);
        send(&mut ledger, 2, &[1, 2]);
        send(&mut ledger, 3, &[1]);
        assert_eq!(lost(&mut ledger, 200, &[0..200]), [(1, 0), (1, 2), (1, 3)]);
        assert_eq!(lost(&mut ledger, 400, &[]), []);
    }

    #[test]
    fn the_next_frame_s_cell_is_not_forgotten_for_one_that_is_sent_again() {
        let mut ledger = Ledger::default();
        ledger.turn(9);
        send(&mut ledger, 1, &[0]);
        send(&mut ledger, 2, &[0]);
        assert_eq!(lost(&mut ledger, 100, &[0..100]), [(1, 0)]);
        send(&mut ledger, 1, &[0]);
        assert_eq!(needs(&ledger, 1), [200..300]);
        assert_eq!(needs(&ledger, 2), [100..200]);
        assert_eq!(lost(&mut ledger, 200, &[100..200]), [(2, 0)]);
    }

    #[test]
    fn what_is_told_twice_or_late_is_told_once() {
        let mut ledger = Ledger::default();
        ledger.turn(9);
        send(&mut ledger, 1, &[0]);
        send(&mut ledger, 1, &[1]);
        send(&mut ledger, 1, &[2]);
        assert_eq!(lost(&mut ledger, 200, &[100..200]), [(1, 1)]);
        assert_eq!(lost(&mut ledger, 300, &[100..200]), []);
        assert_eq!(lost(&mut ledger, 100, &[0..100]), []);
        assert!(ledger.arrived(&arrivals(301, &[]), &mut |_| {}).is_err());
    }

    #[test]
    fn a_frame_depends_on_what_is_under_way_and_not_superseded() {
        let mut ledger = Ledger::default();
        ledger.turn(9);
        send(&mut ledger, 1, &[0, 1]);
        send(&mut ledger, 1, &[2]);
        send(&mut ledger, 1, &[]);
        send(&mut ledger, 2, &[2, 3]);
        assert_eq!(needs(&ledger, 2), [0..100, 300..400]);
        assert_eq!(needs(&ledger, 1), [0..200]);
        assert_eq!(lost(&mut ledger, 100, &[]), []);
        assert_eq!(needs(&ledger, 2), [300..400]);
        ledger.turn(9);
        assert_eq!(needs(&ledger, 2), []);
    }

    #[test]
    fn more_spans_than_a_message_has_become_one() {
        let mut ledger = Ledger::default();
        ledger.turn(100);
        for index in 0..50 {
            send(&mut ledger, 1, &[index]);
            send(&mut ledger, 1, &[]);
        }
        let needs = needs(&ledger, 1);
        assert_eq!(needs.len(), MAX_RANGES);
        assert_eq!(needs.last().map(|last| last.end), Some(9_900));
    }

    #[test]
    fn a_cell_of_which_one_part_is_lost_is_lost_once() {
        let mut ledger = Ledger::default();
        ledger.turn(4);
        let part = [Sent { index: 3, began: 0 }];
        for _ in 0..3 {
            ledger.send(1000, 1, &part, &mut |_| {});
        }
        assert_eq!(lost(&mut ledger, 3000, &[0..1000, 2000..3000]), [(1, 3)]);
    }

    #[test]
    fn a_stream_is_under_way_until_it_has_come() {
        let mut ledger = Ledger::default();
        ledger.turn(4);
        ledger.stream(5000);
        send(&mut ledger, 1, &[0]);
        let told = arrivals(5100, &[0..5000]);
        assert_eq!(ledger.arrived(&told, &mut |_| {}), Ok(0));
        let told = arrivals(5100, &[5000..5100]);
        let mut all = Vec::new();
        let until = ledger.arrived(&told, &mut |lost| all.push(lost.index));
        assert_eq!((until, all), (Ok(5100), vec![0]));
    }

    proptest! {
        /// Whatever is lost and sent again: what the viewer lacks of the newest is told.
        #[test]
        fn nothing_is_lost_without_being_told(
            sent in proptest::collection::vec((proptest::collection::vec(0_u32..6, 0..4), any::<bool>()), 1..60),
            each in 1_u64..9,
        ) {
            let mut ledger = Ledger::default();
            ledger.turn(6);
            let (mut viewer, mut newest) = ([None; 6], [None; 6]);
            let mut lacks = [None; 6];
            let mut holes: Vec<Span> = Vec::new();
            for (at, (cells, came)) in (0_u64..).zip(&sent) {
                send(&mut ledger, at, cells);
                for index in cells {
                    newest[*index as usize] = Some(at);
                    if *came {
                        viewer[*index as usize] = Some(at);
                    }
                }
                if !came {
                    holes.push(at * 100..at * 100 + 100);
                }
                if at % each == 0 || at + 1 == sent.len() as u64 {
                    for (frame, index) in lost(&mut ledger, at * 100 + 100, &holes) {
                        lacks[index as usize] = Some(frame);
                    }
                }
            }
            for index in 0..6 {
                prop_assert_eq!(lacks[index] == newest[index] && newest[index].is_some(), viewer[index] != newest[index]);
            }
        }
    }
}
