//! Control messages: JSON objects told apart by their `type`.

use bytes::{BufMut, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::head::put_message;
use super::limits::{MAX_DEPTH, MAX_VALUES};
use super::{
    Answer, CloseCode, Command, Hello, Kind, LevelName, ResumeSecret, RungInfo, SessionId,
    StreamName, Text, WireError,
};

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientControl {
    /// The first message of all.
    Hello(Hello),
    /// Asks for a stream, in place of the one before if there is one. Answered by `subscribed` or `refused`.
    Subscribe {
        /// Which.
        stream: StreamName,
        /// Whether to send its picture.
        #[serde(default = "yes")]
        video: bool,
        /// Whether to send its sound.
        #[serde(default = "yes")]
        audio: bool,
        /// The most to send, in bits a second; without it as much as the line takes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_bps: Option<u64>,
    },
    /// Asks for no more media. Answered by `unsubscribed`.
    Unsubscribe,
    /// To be answered with a pong.
    Ping {
        /// Comes back in the pong.
        id: u64,
    },
    /// Answers a ping.
    Pong {
        /// The ping's.
        id: u64,
    },
    /// How it looks at the viewer.
    Report(Report),
    /// To a publisher: these levels are wanted beside the best; in place of what was said before.
    Levels {
        /// At most so many as there are.
        wanted: Vec<LevelName>,
    },
    /// Asks something of the server itself. Answered by `answer`.
    Command(Command),
    /// The last message; the link is closed behind it.
    Goodbye {
        /// Why, for programs.
        code: CloseCode,
        /// Why, for people.
        #[serde(default)]
        reason: Text,
    },
    /// Of a newer peer; skipped. Never sent.
    #[serde(other)]
    Unknown,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerControl {
    /// Answers a hello.
    Welcome {
        /// The version that both speak from here on.
        version: u16,
        /// What program it is.
        #[serde(default)]
        agent: Text,
        /// Names this session.
        session: SessionId,
        /// Proves it on another link.
        resume: ResumeSecret,
        /// What can be watched, at most 64.
        #[serde(default)]
        streams: Vec<StreamInfo>,
    },
    /// Media of this stream follow, from nothing: rungs announced before are void.
    Subscribed {
        /// Which.
        stream: StreamName,
        /// Whether there is a picture and it was asked for.
        video: bool,
        /// Whether there is sound and it was asked for.
        audio: bool,
    },
    /// No media follow.
    Unsubscribed,
    /// A subscription that cannot be; all stays as it was.
    Refused {
        /// Which.
        stream: StreamName,
        /// Why, for programs.
        code: CloseCode,
        /// Why, for people.
        #[serde(default)]
        reason: Text,
    },
    /// Announces a rung before its first cell.
    Rung(RungInfo),
    /// Answers a command.
    Answer(Box<Answer>),
    /// How the stream's source is.
    Source {
        /// For programs.
        state: SourceState,
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notice: Option<Text>,
    },
    /// To be answered with a pong.
    Ping {
        /// Comes back in the pong.
        id: u64,
    },
    /// Answers a ping, with times of the media clock in microseconds.
    Pong {
        /// The ping's.
        id: u64,
        /// When the ping was read.
        received_us: u64,
        /// When the pong was written.
        sent_us: u64,
    },
    /// The last message; the link is closed behind it.
    Goodbye {
        /// Why, for programs.
        code: CloseCode,
        /// Why, for people.
        #[serde(default)]
        reason: Text,
    },
    /// Of a newer peer; skipped. Never sent.
    #[serde(other)]
    Unknown,
}

/// A stream that can be watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// What to subscribe to.
    pub name: StreamName,
    /// Whether it has a picture.
    pub video: bool,
    /// Whether it has sound.
    pub audio: bool,
}

/// How a stream's source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// It is being opened.
    Opening,
    /// It delivers.
    Live,
    /// It stopped delivering, and may come back.
    Lost,
    /// It is over.
    Ended,
    /// Of a newer peer. Never sent.
    #[serde(other)]
    Unknown,
}

/// How it looks at the viewer over the last second. A field that is not known is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Frames shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_shown: Option<u32>,
    /// Of these, shown before all their cells were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_partial: Option<u32>,
    /// From capture to screen, median, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_p50_us: Option<u64>,
    /// From capture to screen, 95th percentile, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_p95_us: Option<u64>,
    /// Audio packets played.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_packets: Option<u32>,
    /// Audio packets that were not there when they should have been played.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_lost: Option<u32>,
    /// Sound held back for an even flow, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_buffer_us: Option<u64>,
    /// Bytes of messages received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
    /// Least round trip of late, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
}

impl ClientControl {
    /// Reads the body of a control message from a client.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        decode(body)
    }

    /// Appends it to `out` as a message.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), WireError> {
        encode(self, out)
    }
}

impl ServerControl {
    /// Reads the body of a control message from a server.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        decode(body)
    }

    /// Appends it to `out` as a message.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), WireError> {
        encode(self, out)
    }
}

/// The message's length bounds what it may hold; what it would cost to build that is bounded here, before any is built.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, WireError> {
    // serde would read an enum from an array too; the protocol says object.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(WireError::Control { column: 1 });
    }
    if let Some(column) = excess(body) {
        return Err(WireError::Control { column });
    }
    serde_json::from_slice(body).map_err(|error| WireError::Control {
        column: error.column(),
    })
}

fn encode<T: Serialize>(control: &T, out: &mut BytesMut) -> Result<(), WireError> {
    let mut written = Ok(());
    let start = out.len();
    put_message(out, Kind::Control, |out| {
        written = serde_json::to_writer(out.writer(), control);
    })?;
    written.map_err(|_| {
        out.truncate(start);
        WireError::Control { column: 0 }
    })
}

/// Where a text that may be JSON nests deeper, or holds more values, than anybody says. Looks at every byte once, and
/// keeps nothing.
fn excess(body: &[u8]) -> Option<usize> {
    let (mut depth, mut values) = (0_usize, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                values += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > MAX_DEPTH || values > MAX_VALUES {
            return Some(at + 1);
        }
    }
    None
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(value: &str) -> Result<ClientControl, WireError> {
        ClientControl::decode(format!(r#"{{"type":"dance","with":{value}}}"#).as_bytes())
    }

    #[test]
    fn depth_and_number_of_values_are_bounded_and_what_is_quoted_does_not_count() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(unknown(&nested(MAX_DEPTH - 1)), Ok(ClientControl::Unknown));
        let column = br#"{"type":"dance","with":"#.len() + MAX_DEPTH;
        assert_eq!(
            unknown(&nested(MAX_DEPTH)),
            Err(WireError::Control { column })
        );
        let list = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
        assert_eq!(unknown(&list(MAX_VALUES - 2)), Ok(ClientControl::Unknown));
        assert!(unknown(&list(MAX_VALUES - 1)).is_err());
        let quoted = format!(r#""{}\"{}""#, "[{,".repeat(3000), nested(50));
        assert_eq!(unknown(&quoted), Ok(ClientControl::Unknown));
        assert!(unknown("]]]]}}}}").is_err());
    }
}
