//! What somebody asks of a server, and what it answers.

use serde::{Deserialize, Serialize};

use super::{CloseCode, SourceState, StreamName, Text};
use crate::media::TokenId;

/// Asks a server for something. Answered by an [`Answer`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Comes back in the answer.
    pub id: u64,
    /// What: a word that the server knows, or does not.
    #[serde(rename = "do")]
    pub what: Text,
    /// Of whom, or of what.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub arg: Text,
    /// Where a list that was longer than an answer goes on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub from: u64,
}

/// Answers a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The command's.
    pub id: u64,
    /// 0 if it was done; for programs.
    pub code: CloseCode,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub reason: Text,
    /// How the server is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<ServerInfo>,
    /// Streams, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamStatus>,
    /// Viewers, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub viewers: Vec<ViewerStatus>,
    /// There are more, from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// What program it is.
    pub agent: Text,
    /// For how many seconds it is there.
    pub up_s: u64,
    /// Viewers who are there.
    pub viewers: u64,
    /// Streams that there are.
    pub streams: u64,
    /// Tokens that are good.
    pub tokens: u64,
    /// Whether anybody may watch.
    pub open: bool,
}

/// How a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Which.
    pub name: StreamName,
    /// Its source; `None` while nobody watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SourceState>,
    /// Whether it has a picture.
    pub video: bool,
    /// Whether it has sound.
    pub audio: bool,
    /// How many watch it, over however many links each.
    pub viewers: u64,
}

/// Who watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewerStatus {
    /// To send him away by.
    pub id: u64,
    /// From where.
    pub addr: Text,
    /// Over which way, once he watches something.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub transport: Text,
    /// With what program.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub agent: Text,
    /// What.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamName>,
    /// By which token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// For how many seconds.
    pub since_s: u64,
}

impl Answer {
    /// It was done.
    pub fn done(id: u64) -> Self {
        Self::not(id, CloseCode::Done, "")
    }

    /// It was not done.
    pub fn not(id: u64, code: CloseCode, reason: &str) -> Self {
        Self {
            id,
            code,
            reason: Text::new(reason),
            info: None,
            streams: Vec::new(),
            viewers: Vec::new(),
            next: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
