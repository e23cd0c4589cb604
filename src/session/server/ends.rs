//! The ends of frames that go in datagrams: on what each depends, and how often that is yet to be said.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::ledger::{Ledger, Lost, MOST_SENDINGS};
use super::parcels::left;
use crate::wire::{Arrivals, Message, Moment, Settled, Span};

/// The frames that ended last.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Of which that is yet to be said, oldest first; at most [`MOST_SENDINGS`].
    ended: VecDeque<Ended>,
    /// Reused.
    needs: Vec<Span>,
}

/// A frame that ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    moment: Moment,
    /// How often that is yet to be said.
    times: u8,
    /// The position of the datagram in which it was said last.
    said: Option<u64>,
}

impl Ends {
    /// A frame has ended, or once more, behind what did not come of it.
    pub(super) fn add(&mut self, moment: Moment) {
        self.ended.retain(|held| held.moment.frame != moment.frame);
        let at = self
            .ended
            .partition_point(|held| held.moment.frame < moment.frame);
        let ended = Ended {
            moment,
            times: SAID,
            said: None,
        };
        self.ended.insert(at, ended);
        if self.ended.len() > MOST_SENDINGS {
            self.ended.pop_front();
        }
    }

    /// What follows is of another rung.
    pub(super) fn clear(&mut self) {
        self.ended.clear();
    }

    /// This did not come: what shows it has yet to end once more.
    pub(super) fn lost(&mut self, lost: &Lost) {
        self.ended
            .retain(|held| !(lost.frame..lost.until).contains(&held.moment.frame));
    }

    /// The viewer says what came, as the `ledger` knows already: who is known to have a frame whole is not told again.
    pub(super) fn arrived(&mut self, arrivals: &Arrivals, ledger: &Ledger) {
        let needs = &mut self.needs;
        self.ended.retain(|held| {
            let Some(said) = held.said.filter(|said| *said < arrivals.until) else {
                return true;
            };
            let mut holes = arrivals.holes.iter();
            if holes.any(|hole| hole.contains(&said)) {
                return true;
            }
            ledger.needs(held.moment.frame, needs);
            !needs.is_empty()
        });
    }

    /// Appends on what these frames depend, the newest first, as far as there is room.
    pub(super) fn put(&mut self, ledger: &Ledger, room: usize, out: &mut BytesMut) {
        for held in self.ended.iter_mut().rev() {
            let moment = held.moment;
            if !ledger.covers(moment.frame) {
                // Something newer has taken the place of what it shows: nobody waits for it.
                held.times = 0;
                continue;
            }
            ledger.needs(moment.frame, &mut self.needs);
            if Settled::len(self.needs.len()) > left(room, out) {
                continue;
            }
            let needs = std::mem::take(&mut self.needs);
            let message = Message::Settled(Settled { moment, needs });
            let _ = message.encode(out);
            if let Message::Settled(settled) = message {
                self.needs = settled.needs;
            }
            held.times -= 1;
            held.said = Some(ledger.position());
        }
        self.ended.retain(|held| held.times > 0);
    }
}

/// How often the end of a frame is said, unless the viewer is known to have it.
const SAID: u8 = 3;
