//! What a server's session is told at its start, and what it tells.

use crate::media::{LevelSet, Pattern};
use crate::session::CloseReason;
use crate::wire::{Command, Hello, Report, ResumeSecret, SessionId, StreamInfo, StreamName, Text};

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

/// What somebody who is let in may have.
#[derive(Clone, Debug)]
pub struct Admission {
    /// What he may watch of what there is; a welcome lists the first 64.
    pub streams: Vec<StreamInfo>,
    /// What he may watch at all, in words that are not said of what there is.
    pub pattern: Pattern,
    /// The most to send, in bits a second; `None` is as much as the line takes.
    pub max_bps: Option<u64>,
}

/// What a viewer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It said hello. Where the session [asks first](super::Session::asking), it waits for
    /// [`admit`](super::Session::admit) or [`refuse`](super::Session::refuse).
    Hello(Box<Hello>),
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
    /// It would have these levels beside the best, if it can.
    Levels(LevelSet),
    /// It asks something of the server; to be [answered](super::Session::answered), at once or later.
    Command(Command),
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
