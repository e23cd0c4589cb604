//! What the window says when it has no picture, or no longer a fresh one.

use std::fmt;
use std::time::Duration;

/// Why there is no fresh picture, in words for the person who watches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Dialling.
    Connecting {
        /// Host and port.
        to: String,
    },
    /// Connected; nothing has come yet.
    WaitingForPicture,
    /// The server's camera or file stopped delivering.
    SourceLost {
        /// In the server's words; may be empty.
        why: String,
    },
    /// The connection broke, and a new one is tried by itself.
    Retrying {
        /// What broke.
        why: String,
        /// How long until the next attempt.
        pause: Duration,
    },
    /// The server sends sound only.
    SoundOnly,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { to } => write!(f, "connecting to {to}"),
            Self::WaitingForPicture => f.write_str("connected, waiting for the first picture"),
            Self::SourceLost { why } if why.is_empty() => f.write_str("the source is gone"),
            Self::SourceLost { why } => write!(f, "the source is gone: {why}"),
            Self::Retrying { why, pause } if pause.is_zero() => {
                write!(f, "disconnected: {why}\nconnecting again")
            }
            Self::Retrying { why, pause } => {
                let tenths = pause.as_millis().div_ceil(100);
                write!(
                    f,
                    "disconnected: {why}\nnext attempt in {}.{} s",
                    tenths / 10,
                    tenths % 10
                )
            }
            Self::SoundOnly => f.write_str("sound only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_in_seconds() {
        let retrying = |ms| {
            Notice::Retrying {
                why: "the server closed".into(),
                pause: Duration::from_millis(ms),
            }
            .to_string()
        };
        assert!(retrying(1500).ends_with("in 1.5 s"));
        assert!(retrying(10_001).ends_with("in 10.1 s"));
        assert!(retrying(0).ends_with("connecting again"));
        assert_eq!(
            Notice::SourceLost { why: String::new() }.to_string(),
            "the source is gone"
        );
    }
}
