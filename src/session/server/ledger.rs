//! Datagrams under way: what was in each, until the viewer says whether it came.
//!
//! A lost cell matters while nothing newer of its place was sent, and to the frames that ended last also while only the
//! next ones' were. There is no retransmission here: what matters and was lost the feed is told.

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
    /// The newest frames of which cells were sent, the last one first.
    frames: [u64; MOST_SENDINGS],
    next: u64,
}

/// So many sendings of a cell are remembered: with the frame under way, and with two that ended before.
pub(super) const MOST_SENDINGS: usize = 3;

/// The last sendings of one cell, of each frame the last, the newest frame's first.
#[derive(Clone, Copy, Debug, Default)]
struct Place([Sending; MOST_SENDINGS]);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sending {
    began: u64,
    /// Frames are counted from 1; 0 is none.
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
    /// From this one on, frames show what was sent later.
    pub(super) until: u64,
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
        self.frames = Default::default();
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
        if !cells.is_empty() {
            self.note(frame);
        }
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

    /// Cells of this frame are sent.
    fn note(&mut self, frame: u64) {
        let newer = self.frames.iter().take_while(|newer| **newer > frame);
        let at = newer.count();
        if let Some(behind) = self.frames.get_mut(at..)
            && behind.first().is_some_and(|known| *known != frame)
        {
            behind.rotate_right(1);
            behind[0] = frame;
        }
    }

    /// Whether all sendings that this frame shows are remembered.
    pub(super) fn covers(&self, frame: u64) -> bool {
        self.frames.last().is_some_and(|oldest| frame >= *oldest)
    }

    /// On which of what is under way the picture of `frame` depends, one that it [covers](Self::covers); in order, at
    /// most [`MAX_RANGES`].
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
            if is_lost && let Some(until) = place.and_then(|place| place.forget(sent.began)) {
                lost(Lost {
                    frame: entry.frame,
                    until,
                    index: sent.index,
                });
            }
        }
    }
}

impl Place {
    fn send(&mut self, sending: Sending) {
        let newer = |held: &&Sending| held.frame > sending.frame;
        let at = self.0.iter().take_while(newer).count();
        // One that is older than all of these is of no use to anybody.
        if let Some(behind) = self.0.get_mut(at..)
            && let Some(first) = behind.first().copied()
        {
            if first.frame != sending.frame {
                behind.rotate_right(1);
            }
            behind[0] = sending;
        }
    }

    /// Where the sending began that `frame` shows.
    fn at(&self, frame: u64) -> Option<u64> {
        let mut held = self.0.iter().filter(|sending| sending.frame != 0);
        let shown = held.find(|sending| sending.frame <= frame)?;
        Some(shown.began)
    }

    /// The sending that began there is lost; if it mattered, from which frame on it does not.
    fn forget(&mut self, began: u64) -> Option<u64> {
        let is_it = |held: &Sending| held.frame != 0 && held.began == began;
        let at = self.0.iter().position(is_it)?;
        let newer = at.checked_sub(1).and_then(|at| self.0.get(at));
        let until = newer.map_or(u64::MAX, |newer| newer.frame);
        if let Some(behind) = self.0.get_mut(at..) {
            behind.rotate_left(1);
        }
        self.0[MOST_SENDINGS - 1] = Sending::default();
        Some(until)
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
    fn a_lost_cell_matters_unless_three_newer_ones_were_sent() {
        let mut ledger = Ledger::default();
        ledger.turn(9);
        send(&mut ledger, 1, &[0, 1]);
        send(&mut ledger, 1, &[2, 3]);
        send(&mut ledger, 2, &[1, 2]);
        send(&mut ledger, 3, &[1, 2]);
        send(&mut ledger, 4, &[1]);
        assert_eq!(lost(&mut ledger, 200, &[0..200]), [(1, 0), (1, 2), (1, 3)]);
        assert_eq!(lost(&mut ledger, 500, &[]), []);
    }

    #[test]
    fn what_is_lost_matters_to_the_frames_before_the_next_sending() {
        let mut ledger = Ledger::default();
        ledger.turn(9);
        for frame in [3, 5, 8] {
            send(&mut ledger, frame, &[0]);
        }
        let until = |ledger: &mut Ledger, until, holes: &[Span]| {
            let mut all = Vec::new();
            let told = arrivals(until, holes);
            let _ = ledger.arrived(&told, &mut |lost| all.push((lost.frame, lost.until)));
            all
        };
        assert_eq!(until(&mut ledger, 100, &[0..100]), [(3, 5)]);
        assert_eq!(
            until(&mut ledger, 300, &[100..300]),
            [(5, 8), (8, u64::MAX)]
        );
    }

    #[test]
    fn three_frames_that_follow_each_other_are_made_good_each_for_itself() {
        let mut ledger = Ledger::default();
        ledger.turn(9);
        for frame in 1..4 {
            send(&mut ledger, frame, &[0]);
        }
        assert_eq!(lost(&mut ledger, 200, &[0..200]), [(1, 0), (2, 0)]);
        send(&mut ledger, 2, &[0]);
        send(&mut ledger, 1, &[0]);
        assert_eq!(needs(&ledger, 1), [400..500]);
        assert_eq!(needs(&ledger, 2), [300..400]);
        assert_eq!(needs(&ledger, 3), [200..300]);
        assert_eq!(lost(&mut ledger, 500, &[400..500]), [(1, 0)]);
        assert!(ledger.covers(1));
        // With a fourth one nobody knows any more what the first shows.
        send(&mut ledger, 4, &[1]);
        assert!(!ledger.covers(1) && ledger.covers(2));
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
                send(&mut ledger, at + 1, cells);
                for index in cells {
                    newest[*index as usize] = Some(at + 1);
                    if *came {
                        viewer[*index as usize] = Some(at + 1);
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
