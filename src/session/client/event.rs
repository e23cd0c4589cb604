//! What a viewer's session is told at its start, and what it tells.

use std::sync::Arc;

use bytes::Bytes;

use crate::media::{AudioPacket, CellIndex, MediaTime, Role, Rung, RungId};
use crate::session::CloseReason;
use crate::wire::{
    Answer, CloseCode, PublishInfo, Resume, ResumeSecret, SessionId, SourceState, StreamInfo,
    StreamName, Text,
};

/// What a viewer wants from the start.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// What program this is.
    pub agent: Text,
    /// What to watch; `None` to see what there is first.
    pub stream: Option<StreamName>,
    /// Whether its picture.
    pub video: bool,
    /// Whether its sound.
    pub audio: bool,
    /// What to be there.
    pub role: Role,
    /// What is sent, by a publisher.
    pub publish: Option<PublishInfo>,
    /// Another session of this viewer's.
    pub resume: Option<Resume>,
    /// The most to be sent, in bits a second; `None` is as much as the line takes.
    pub max_bps: Option<u64>,
}

/// What the server did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server is one, and speaks with us.
    Welcome(Welcome),
    /// Media of this follow, from nothing: rungs told before are void.
    Subscribed {
        /// Which.
        stream: StreamName,
        /// Whether there will be a picture.
        video: bool,
        /// Whether there will be sound.
        audio: bool,
    },
    /// No media follow.
    Unsubscribed,
    /// What was asked for cannot be; all stays as it was.
    Refused {
        /// Which.
        stream: StreamName,
        /// Why, for programs.
        code: CloseCode,
        /// Why, for people.
        reason: Text,
    },
    /// Cells of this rung follow.
    Rung(Arc<Rung>),
    /// Cells, inside their picture, none of them empty; slices of what was read.
    Cells {
        /// How they are coded.
        rung: RungId,
        /// The frame they are taken from.
        frame: u64,
        /// When that was captured.
        capture: MediaTime,
        /// Where each stands, and its bytes.
        cells: Vec<(CellIndex, Bytes)>,
    },
    /// All cells of this frame are there.
    FrameEnd {
        /// How it is coded.
        rung: RungId,
        /// The frame.
        frame: u64,
        /// When it was captured.
        capture: MediaTime,
    },
    /// All cells of this frame are there after all, though a later one has ended before; nothing is told of it twice.
    LateEnd {
        /// How it is coded.
        rung: RungId,
        /// The frame.
        frame: u64,
        /// When it was captured.
        capture: MediaTime,
    },
    /// Sound.
    Audio(AudioPacket),
    /// What a command came to.
    Answer(Box<Answer>),
    /// How the stream's source is.
    Source {
        /// For programs.
        state: SourceState,
        /// For people.
        notice: Option<Text>,
    },
    /// It is over; nothing comes behind this.
    Closed(CloseReason),
}

/// A server's first word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version of the protocol that is spoken.
    pub version: u16,
    /// What program it is.
    pub agent: Text,
    /// Names the session.
    pub session: SessionId,
    /// Proves it on another link.
    pub resume: ResumeSecret,
    /// What can be watched, at most 64.
    pub streams: Vec<StreamInfo>,
}
