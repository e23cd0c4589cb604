//! What ends a command, and the exit status that says whose turn it is.

use std::{io, process::ExitCode};

use crate::{
    capture::CaptureError,
    playback::{PlaybackError, SnapshotError},
    present::PresentError,
    session::SessionError,
    transport::{ListenError, dial::DialError, proxy::ProxyUrlError},
    trust::{SecretError, TrustError},
    wire::CloseCode,
};

/// What ends a command. Each is one line for a person: what happened, why, and what to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source cannot be opened.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The server cannot be reached, or is not the one that was meant.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// What is set as a proxy is none.
    #[error(transparent)]
    Proxy(#[from] ProxyUrlError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A key, a certificate, or the list of known servers.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The token of a link.
    #[error(transparent)]
    Token(#[from] SecretError),
    /// The window.
    #[error(transparent)]
    Present(#[from] PresentError),
    /// The server speaks, but not so that it can be understood.
    #[error("the server cannot be spoken with: {0}")]
    Session(#[from] SessionError),
    /// The person did not accept the server's key, or could not be asked.
    #[error("the server's key was not accepted: {0}")]
    NotAccepted(&'static str),
    /// The time given was over before there was a connection.
    #[error(
        "no connection to {server} in the time given: is the server running, and does the network let it through?"
    )]
    NotReached {
        /// `HOST:PORT`.
        server: String,
    },
    /// No way works, or the one that did was cut, and nobody says more.
    #[error("no way to {server} works: {why}")]
    NoWay {
        /// `HOST:PORT`.
        server: String,
        /// As far as it is known.
        why: String,
    },
    /// The server will not have us.
    #[error("the server refused: {reason}")]
    Refused {
        /// As the server said.
        code: CloseCode,
        /// For a person.
        reason: String,
    },
    /// The link names no stream, and nobody has chosen one.
    #[error(
        "the link names no stream: put one of those names into your link, before the #: https://HOST/NAME#..."
    )]
    Unnamed,
    /// Neither the link nor an option names the stream.
    #[error("the stream has no name: say --name NAME")]
    NoName,
    /// A picture could not be written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Playing could not be started.
    #[error(transparent)]
    Playback(#[from] PlaybackError),
    /// The speaker's thread.
    #[cfg(feature = "audio")]
    #[error(transparent)]
    Speaker(crate::present::SpeakerError),
    /// Built without a window.
    #[error("this build has no window (feature `window`): use --headless")]
    NoWindow,
    /// Nothing of which a snapshot could be made came in time.
    #[error("no whole picture came, so there is no snapshot")]
    NoPicture,
    /// The runtime could not be started.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// What was asked for cannot be served.
    #[error("the configuration cannot be used: {0}")]
    Config(Box<Self>),
    /// A second signal came while the first was being obeyed.
    #[error("ended at once, without a goodbye")]
    Interrupted,
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

/// The program's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Something in the program or its machine failed.
    Internal = 1,
    /// What was asked for makes no sense.
    Usage = 2,
    /// Refused: token, key, rights.
    Refused = 3,
    /// Cannot be reached.
    Unreachable = 4,
    /// A source or a device failed.
    Source = 5,
}

impl Error {
    /// The exit status for it.
    pub fn status(&self) -> Status {
        match self {
            Self::Capture(_)
            | Self::Present(_)
            | Self::Snapshot(_)
            | Self::NoPicture
            | Self::NoWindow => Status::Source,
            Self::Dial(err) if err.is_refusal() => Status::Refused,
            Self::Dial(_) | Self::Session(_) | Self::NotReached { .. } | Self::NoWay { .. } => {
                Status::Unreachable
            }
            Self::NotAccepted(_) | Self::Refused { .. } => Status::Refused,
            Self::Unnamed
            | Self::NoName
            | Self::Listen(_)
            | Self::Trust(_)
            | Self::Token(_)
            | Self::Proxy(_)
            | Self::Config(_) => Status::Usage,
            Self::Runtime(_) | Self::Output(_) | Self::Playback(_) | Self::Interrupted => {
                Status::Internal
            }
            #[cfg(feature = "audio")]
            Self::Speaker(_) => Status::Internal,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}
