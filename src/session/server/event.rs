//! What a server's session is told at its start, and what it tells.

use crate::session::CloseReason;
use crate::wire::{Report, Resume, ResumeSecret, SessionId, StreamInfo, StreamName, Text};

/// What a server has for its viewers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What program this is.
    pub agent: Text,
    /// What can be watched; a welcome lists the first 64.
    pub streams: Vec<StreamInfo>,
    /// Names the session: random.
    pub session: SessionId,
    /// Proves it on another link: random.
    pub resume: ResumeSecret,
    /// The most to send, in bits a second; `None` is as much as the line takes.
    pub max_bps: Option<u64>,
}

/// What a viewer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It said hello.
    Hello {
        /// What program it is.
        agent: Text,
        /// It says to have another session.
        resume: Option<Resume>,
    },
    /// It watches this from now on; the feed is asked for media of it from nothing, whatever was watched before.
    Subscribed(Subscription),
    /// It watches nothing any more.
    Unsubscribed,
    /// Its line takes another picture from now on.
    Step {
        /// From 0 for the best.
        step: usize,
        /// How many there are.
        steps: usize,
    },
    /// It says how it looks there.
    Report(Report),
    /// It is over; nothing comes behind this.
    Closed(CloseReason),
}

/// What a viewer watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Which.
    pub stream: StreamName,
    /// Whether its picture.
    pub video: bool,
    /// Whether its sound.
    pub audio: bool,
}
