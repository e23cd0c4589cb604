//! The HTTP answer to our request, however it is cut into pieces.

use crate::trust::printable;

use super::PROTOCOL;

/// A complete head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 101 to what was asked for; from byte `length` on it is that.
    Upgraded { length: usize },
    /// Any other status; from byte `length` on it is a page.
    Other { status: u16, length: usize },
}

/// Not HTTP/1.1, or a head beyond all measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotHttp;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// Our protocol, directly.
    Tunnel,
    /// WebSocket with our protocol in it, and this answer to the key of the request.
    WebSocket { accept: &'a str },
}

impl Wanted<'_> {
    fn is_granted(self, headers: &[httparse::Header<'_>]) -> bool {
        let says = |name: &str, right: &dyn Fn(&[u8]) -> bool| {
            headers.iter().any(|header| {
                header.name.eq_ignore_ascii_case(name) && right(header.value.trim_ascii())
            })
        };
        let ours = |value: &[u8]| value.eq_ignore_ascii_case(PROTOCOL.as_bytes());
        match self {
            Self::Tunnel => says("upgrade", &ours),
            Self::WebSocket { accept } => {
                says("upgrade", &|value| value.eq_ignore_ascii_case(b"websocket"))
                    && says("sec-websocket-accept", &|value| value == accept.as_bytes())
                    && says("sec-websocket-protocol", &ours)
            }
        }
    }
}

/// Finds the end of the head, looking at every byte once.
#[derive(Debug)]
pub(super) struct Head<'a> {
    wanted: Wanted<'a>,
    scanned: usize,
}

impl<'a> Head<'a> {
    pub(super) const fn new(wanted: Wanted<'a>) -> Self {
        Self { wanted, scanned: 0 }
    }

    /// `bytes` is everything that has come so far; `None` if more must come.
    pub(super) fn parse(&mut self, bytes: &[u8]) -> Result<Option<Answer>, NotHttp> {
        let start = bytes.len().min(START.len());
        if bytes[..start] != START[..start] {
            return Err(NotHttp);
        }
        let from = self.scanned.saturating_sub(3);
        self.scanned = bytes.len();
        let fresh = &bytes[from..];
        let ends =
            |i: &usize| fresh[*i..].starts_with(b"\n\r\n") || fresh[*i..].starts_with(b"\n\n");
        if !(0..fresh.len()).any(|i| ends(&i)) {
            return if bytes.len() > MOST_HEAD {
                Err(NotHttp)
            } else {
                Ok(None)
            };
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(length)) = response.parse(bytes) else {
            return Err(NotHttp);
        };
        let status = response.code.ok_or(NotHttp)?;
        let granted = self.wanted.is_granted(response.headers);
        Ok(Some(match status {
            101 if granted => Answer::Upgraded { length },
            _ => Answer::Other { status, length },
        }))
    }
}

/// The title of an HTML page, safe to print.
pub(in crate::transport) fn title(page: &[u8]) -> Option<String> {
    let page = String::from_utf8_lossy(page);
    // Folded in ASCII alone, so that positions stay.
    let folded = page.to_ascii_lowercase();
    let open = folded.find("<title")?;
    let start = open + folded[open..].find('>')? + 1;
    let end = start + folded[start..].find("</title")?;
    let title = printable(&page[start..end], 80);
    (!title.is_empty()).then_some(title)
}

const START: &[u8] = b"HTTP/1.";
/// The most bytes of a head.
const MOST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADED: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: tunnelcast\r\n\r\nmore\n\n";

    #[test]
    fn an_answer_in_single_bytes_is_the_same_answer() {
        let length = UPGRADED.len() - 6;
        let mut head = Head::new(Wanted::Tunnel);
        for end in 0..length {
            assert_eq!(head.parse(&UPGRADED[..end]), Ok(None));
        }
        assert_eq!(
            head.parse(&UPGRADED[..length]),
            Ok(Some(Answer::Upgraded { length }))
        );
        assert_eq!(
            Head::new(Wanted::Tunnel).parse(UPGRADED),
            Ok(Some(Answer::Upgraded { length }))
        );
    }

    #[test]
    fn other_answers_are_told_apart() {
        let parse = |text: &str| Head::new(Wanted::Tunnel).parse(text.as_bytes());
        let other = |status, length| Ok(Some(Answer::Other { status, length }));
        assert_eq!(parse("HTTP/1.1 404 No\r\n\r\n"), other(404, 19));
        assert_eq!(
            parse("HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n"),
            other(101, 40)
        );
        assert_eq!(parse("HTTP/1.0 200 OK\n\n"), other(200, 17));
        assert_eq!(parse("SSH-2.0"), Err(NotHttp));
        assert_eq!(parse("HTTP/1.1 x\r\n\r\n"), Err(NotHttp));
        assert_eq!(
            parse(&format!("HTTP/1.1 200 {}", "x".repeat(MOST_HEAD))),
            Err(NotHttp)
        );
        assert_eq!(
            parse(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(65))),
            Err(NotHttp)
        );
    }

    #[test]
    fn a_websocket_is_one_with_our_protocol_and_the_right_answer_to_the_key() {
        let answer = |more: &str| {
            let text = format!("HTTP/1.1 101 Yes\r\nUpgrade: WebSocket\r\n{more}\r\n");
            let mut head = Head::new(Wanted::WebSocket { accept: "s3pPL=" });
            match head.parse(text.as_bytes()) {
                Ok(Some(Answer::Upgraded { length })) => length == text.len(),
                _ => false,
            }
        };
        let (accept, protocol) = (
            "Sec-WebSocket-Accept: s3pPL=\r\n",
            "Sec-WebSocket-Protocol: tunnelcast\r\n",
        );
        assert!(answer(&format!("{accept}{protocol}")));
        assert!(!answer(accept));
        assert!(!answer(protocol));
        assert!(!answer(&format!(
            "{protocol}Sec-WebSocket-Accept: S3PPL=\r\n"
        )));
        assert!(!answer(&format!(
            "{accept}Sec-WebSocket-Protocol: chat\r\n"
        )));
    }

    #[test]
    fn a_title_is_found_and_made_safe() {
        let page = b"<HTML><Title lang=en>\n Wel\x1bcome  to\tnginx! </TITLE>";
        assert_eq!(title(page).as_deref(), Some("Welcome to nginx!"));
        assert_eq!(title(b"<title>cut sho"), None);
        assert_eq!(title(b"\xff<title></title>"), None);
    }
}
