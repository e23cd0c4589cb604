//! Strings from a peer, bounded before anybody looks at them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::limits::MAX_TEXT;
use crate::media::is_stream_name;

/// The name of a stream, as [`is_stream_name`] has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(String);

impl StreamName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, StreamNameError> {
        if is_stream_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(StreamNameError)
        }
    }
}

impl TryFrom<String> for StreamName {
    type Error = StreamNameError;

    fn try_from(text: String) -> Result<Self, StreamNameError> {
        text.parse()
    }
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> Self {
        name.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no name of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stream's name has 1 to 64 of the characters A-Z a-z 0-9 . _ -, the first a letter or digit"
)]
pub struct StreamNameError;

/// Words for people, on one line: at most 256 bytes (cut at a character), control characters turned into spaces, so
/// that a peer cannot write to a terminal what it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Text(String);

impl Text {
    /// `text`, cut and cleaned where necessary.
    pub fn new(text: &str) -> Self {
        let mut clean = String::with_capacity(text.len().min(MAX_TEXT));
        for c in text.chars() {
            let c = if c.is_control() || is_reordering(c) {
                ' '
            } else {
                c
            };
            if clean.len() + c.len_utf8() > MAX_TEXT {
                break;
            }
            clean.push(c);
        }
        Self(clean)
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Characters that make a terminal show a line in another order than it stands.
const fn is_reordering(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_they_are_believed() {
        assert_eq!("cam".parse::<StreamName>().unwrap().as_str(), "cam");
        for bad in ["", "a b", ".."] {
            assert_eq!(bad.parse::<StreamName>(), Err(StreamNameError), "{bad:?}");
        }
    }

    #[test]
    fn texts_are_cut_at_a_character_and_hold_no_control_characters() {
        assert_eq!(Text::new("a\u{1b}[2Jb\r\nc").as_str(), "a [2Jb  c");
        let long = Text::new(&"ä".repeat(500));
        assert_eq!(long.as_str().len(), MAX_TEXT);
        assert_eq!(Text::new("x\u{202e}y").as_str(), "x y");
    }
}
