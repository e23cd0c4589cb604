//! Which streams somebody means: a name with `*` and `?` in it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::MAX_STREAM_NAME;

/// A pattern of stream names: `*` stands for any characters, also none, `?` for one, and every other for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Every stream.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The only stream that it means, if it is a plain name.
    pub fn name(&self) -> Option<&str> {
        let plain = !self.0.contains(['*', '?']);
        plain.then_some(self.0.as_str())
    }

    /// Whether `name` is meant. Takes no longer than the product of both lengths, whatever is in them.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // Behind the last star, and what of the name it has taken: it can take more.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&byte) = name.get(n) {
            match pattern.get(p) {
                Some(b'*') => {
                    p += 1;
                    star = Some((p, n));
                }
                Some(&wanted) if wanted == b'?' || wanted == byte => (p, n) = (p + 1, n + 1),
                Some(_) | None => {
                    let Some((behind, taken)) = star else {
                        return false;
                    };
                    (p, n) = (behind, taken + 1);
                    star = Some((behind, n));
                }
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let fits = (1..=MAX_STREAM_NAME).contains(&text.len());
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.*?".contains(&c);
        if fits && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PatternError)
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pattern of streams has 1 to {MAX_STREAM_NAME} letters, digits, `-`, `_` and `.`, with `*` for any of them and `?` for one"
)]
pub struct PatternError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(name)
    }

    #[test]
    fn stars_stand_for_any_characters_and_question_marks_for_one() {
        for (pattern, name) in [
            ("*", "cam"),
            ("cam", "cam"),
            ("cam*", "cam"),
            ("cam*", "cam12"),
            ("*12", "cam12"),
            ("c?m", "cam"),
            ("c*m*2", "camim12"),
            ("**a**", "bab"),
            ("?*", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("cam", "cam1"),
            ("cam", "Cam"),
            ("cam?", "cam"),
            ("*x", "cam"),
            ("c*m", "camp"),
            ("a*b*c", "acb"),
            ("??", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_stands_in_no_name_stands_in_no_pattern() {
        for bad in ["", "a/b", "a b", "ä", "[ab]", &"*".repeat(65)] {
            assert_eq!(bad.parse::<Pattern>(), Err(PatternError), "{bad}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(32);
        assert!(!matches(&pattern, &"a".repeat(31)));
        assert!(matches(&pattern, &"a".repeat(64)));
    }

    proptest! {
        #[test]
        fn it_is_what_a_slow_and_plain_matcher_says(pattern in "[ab*?]{1,8}", name in "[ab]{0,8}") {
            fn plain(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, rest) => rest.is_none(),
                    (Some((b'*', more)), None) => plain(more, name),
                    (Some((b'*', more)), Some((_, rest))) => plain(more, name) || plain(pattern, rest),
                    (Some((p, more)), Some((n, rest))) => (*p == b'?' || p == n) && plain(more, rest),
                    (Some(_), None) => false,
                }
            }
            prop_assert_eq!(matches(&pattern, &name), plain(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
