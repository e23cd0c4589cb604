//! What a request says that belongs to a session: all of it stands in the query, and a few bytes in a header.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, Method};

use super::MOST_WORD;

/// Names a session: random, drawn by the viewer. 22 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id([u8; 16]);

impl Id {
    /// Another one each time; `None` if the system has no random numbers.
    pub(super) fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 18]; // as much as the library wants for a text of this length
        if text.len() != 22 {
            return None;
        }
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        bytes[..length].try_into().ok().map(Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Whoever has it could disturb the session, so it stays out of logs.
impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Id(..)")
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `GET ?t=ID`: everything that comes down, as one answer.
    Stream,
    /// `GET ?t=ID&g=N`: a piece of what comes down.
    Piece(u64),
    /// `POST ?t=ID&n=N`: a piece of what goes up.
    Up(u64),
    /// `GET ?t=ID&n=N`: the same, of a few bytes, which stand in the header [`WORD`].
    Word(u64),
}

/// The header in which a GET brings what goes up, in base64url.
pub(super) const WORD: HeaderName = HeaderName::from_static("tunnelcast-up");

/// As a header says it.
pub(super) fn write_word(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// What a header says; `None` if it is none of ours, to the letter.
pub(super) fn read_word(headers: &HeaderMap) -> Option<Bytes> {
    let mut values = headers.get_all(WORD).iter();
    let text = values.next()?.as_bytes();
    if text.is_empty() || text.len() > MOST_WORD.div_ceil(3) * 4 || values.next().is_some() {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    (bytes.len() <= MOST_WORD).then(|| bytes.into())
}

/// `None` if it is no request of ours, to the letter.
pub(super) fn parse(method: &Method, query: &str) -> Option<(Id, Asked)> {
    let mut parts = query.strip_prefix("t=")?.split('&');
    let id = Id::parse(parts.next()?)?;
    let part = parts.next();
    if parts.next().is_some() {
        return None;
    }
    let asked = if *method == Method::GET {
        match part {
            None => Asked::Stream,
            Some(part) => match part.strip_prefix("n=") {
                Some(up) => Asked::Word(number(up)?),
                None => Asked::Piece(number(part.strip_prefix("g=")?)?),
            },
        }
    } else if *method == Method::POST {
        Asked::Up(number(part?.strip_prefix("n=")?)?)
    } else {
        return None;
    };
    Some((id, asked))
}

/// What is a request of ours is written again as it was read, but for zeros in front of a number.
#[cfg(fuzzing)]
pub(in crate::transport) fn fuzz_query(method: &Method, query: &str) {
    let Some((id, asked)) = parse(method, query) else {
        return;
    };
    let (right, again, number) = match asked {
        Asked::Stream => (Method::GET, format!("t={id}"), None),
        Asked::Piece(number) => (Method::GET, format!("t={id}&g="), Some(number)),
        Asked::Up(number) => (Method::POST, format!("t={id}&n="), Some(number)),
        Asked::Word(number) => (Method::GET, format!("t={id}&n="), Some(number)),
    };
    assert_eq!(*method, right);
    let rest = query.strip_prefix(&again).expect("it begins as ours do");
    assert_eq!(rest.parse().ok(), number);
}

/// A word of ours is written again as it was read.
#[cfg(fuzzing)]
pub(in crate::transport) fn fuzz_word(headers: &HeaderMap) {
    if let Some(bytes) = read_word(headers) {
        assert!((1..=MOST_WORD).contains(&bytes.len()));
        assert_eq!(headers[WORD].as_bytes(), write_word(&bytes).as_bytes());
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_request_is_ours_to_the_letter_or_not_at_all() {
        let get = |query: &str| parse(&Method::GET, query).map(|(_, asked)| asked);
        let post = |query: &str| parse(&Method::POST, query).map(|(_, asked)| asked);
        assert_eq!(get(&format!("t={ID}")), Some(Asked::Stream));
        assert_eq!(get(&format!("t={ID}&g=0")), Some(Asked::Piece(0)));
        assert_eq!(post(&format!("t={ID}&n=17")), Some(Asked::Up(17)));
        assert_eq!(get(&format!("t={ID}&n=17")), Some(Asked::Word(17)));
        let most = format!("t={ID}&n={}", u64::MAX);
        assert_eq!(post(&most), Some(Asked::Up(u64::MAX)));
        for wrong in [
            "",
            "t=",
            "t=AAAA",
            "t=AAAAAAAAAAAAAAAAAAAAAB", // bits beyond the 128
            "t=AAAAAAAAAAAAAAAAAAAAA=",
            "t=AAAAAAAAAAAAAAAAAAAA+/",
            "x=AAAAAAAAAAAAAAAAAAAAAA",
            "t=AAAAAAAAAAAAAAAAAAAAAA&n=",
            "t=AAAAAAAAAAAAAAAAAAAAAA&n=+1",
            "t=AAAAAAAAAAAAAAAAAAAAAA&n=-1",
            "t=AAAAAAAAAAAAAAAAAAAAAA&n=18446744073709551616",
            "t=AAAAAAAAAAAAAAAAAAAAAA&n=1&n=2",
            "t=AAAAAAAAAAAAAAAAAAAAAA&x=1",
            "t=AAAAAAAAAAAAAAAAAAAAAA&",
        ] {
            assert_eq!(get(wrong), None, "{wrong}");
            assert_eq!(post(wrong), None, "{wrong}");
        }
        assert_eq!(parse(&Method::HEAD, &format!("t={ID}")), None);
        assert_eq!(post(&format!("t={ID}")), None);
        assert_eq!(post(&format!("t={ID}&g=0")), None);
    }

    #[test]
    fn a_word_has_at_least_a_byte_and_stands_once_and_whole_in_its_header() {
        let word = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(WORD, value.parse().unwrap());
            }
            read_word(&headers)
        };
        assert_eq!(word(&["_-8"]).as_deref(), Some(&[0xFF, 0xEF][..]));
        let longest = vec![7; MOST_WORD];
        assert_eq!(
            word(&[&write_word(&longest)]).as_deref(),
            Some(&longest[..])
        );
        let longer = write_word(&vec![7; MOST_WORD + 1]);
        let wrong: &[&[&str]] = &[
            &[],
            &[""],
            &["_"],
            &["_-8="],
            &["/+8"],
            &["_-9"], // bits beyond the 16
            &["_-8", "_-8"],
            &[&longer],
        ];
        for wrong in wrong {
            assert_eq!(word(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_id_comes_back_from_its_text_and_stays_out_of_logs() {
        let id = Id::random().unwrap();
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        assert!(!format!("{id:?}").contains(&id.to_string()));
    }
}
