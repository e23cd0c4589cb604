//! What a stream may be called.

/// The most characters in the name of a stream.
pub const MAX_STREAM_NAME: usize = 64;

/// Is this a name for a stream: 1 to 64 of the letters `a` to `z` and `A` to `Z`, digits, `-`, `_` and `.`, the first
/// a letter or a digit (so that none is `..`, a hidden file, or an option)?
pub fn is_stream_name(name: &str) -> bool {
    name.len() <= MAX_STREAM_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["cam", "a", "0", "Front-Door_2.hd", &"x".repeat(64)] {
            assert!(is_stream_name(good), "{good:?}");
        }
        let long = "x".repeat(65);
        for bad in ["", "a b", "a/b", "ä", "a\n", "..", ".a", "-v", "_", &long] {
            assert!(!is_stream_name(bad), "{bad:?}");
        }
    }
}
