//! The protocol without IO: two state machines, [`server`] and [`client`], that take bytes and the time and give bytes
//! and events.
//!
//! # The contract
//!
//! - After each input (bytes read, a deadline reached, something new in the feed, a method called) call `poll` until
//!   it gives [`Output::Idle`]. There is no other way to get anything out of a session.
//! - `out` is what the link has yet to write. A session appends to it only when it is empty, and then one chunk of at
//!   most 16 KiB; so what is sent is chosen when the link can take it. Never empty `out` other than by writing.
//! - An error of `handle` is to be logged; the session says goodbye by itself. Go on until [`CloseReason`] is told,
//!   then close the link. Behind that event nothing comes any more.

pub mod client;
mod clock;
mod core;
mod ending;
mod error;
mod outbox;
pub mod server;
mod silence;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use crate::media::{AudioPacket, CellIndex, MediaTime, RungId, VideoStep};

pub use ending::CloseReason;
pub use error::{Feature, Misbehaviour, SessionError};

/// What `poll` gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<E> {
    /// Bytes were appended to `out`: write them.
    Send,
    /// Something happened.
    Event(E),
    /// Nothing to do until then (`None`: until there is input).
    Idle(Option<Instant>),
}

/// Where a server's session takes media from, at the moment when the link can take them.
///
/// What was given counts as sent; `None` means nothing now, and that the session should be polled when there is more.
pub trait Feed {
    /// The oldest packet of sound that this viewer lacks and that is worth sending.
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>>;

    /// The next thing about the picture. A cell of no bytes, or of more than
    /// [`MAX_CELL`](crate::wire::limits::MAX_CELL), is left out.
    fn next_video(&mut self) -> Option<VideoStep>;

    /// This cell, sent with that frame, did not come: the viewer lacks it.
    fn lost(&mut self, _rung: RungId, _frame: u64, _index: CellIndex) {}

    /// Of a frame that ended nothing is worth sending again if the next one was captured before that time: that is
    /// shown before it could come.
    fn forget(&mut self, _before: MediaTime) {}

    /// How many steps there are from the best picture, step 0, to the coarsest and rarest one; at least 1.
    fn steps(&self) -> usize {
        1
    }

    /// The viewer is far away, and his line takes about `bytes` at once: where the best picture has more, the coarsest
    /// one goes first, and the best at once behind it. Told before anything of the picture is asked for.
    fn ahead(&mut self, _bytes: usize) {}

    /// Gives the picture at this step from now on, as soon as there is one: a frame that was begun is finished.
    fn set_step(&mut self, _step: usize) {}

    /// Bytes that are left of the frame that was begun, as far as it is known; 0 at its end.
    fn left(&self) -> usize {
        0
    }

    /// Gives up the frame that was begun, where the step has moved to another rung: what is left of it would come too
    /// late. Whether it did.
    fn give_up(&mut self) -> bool {
        false
    }
}
