//! The HTTP answer to our request, however it is cut into pieces.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::upgrade::PROTOCOL;
use crate::trust::printable;

/// A complete head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 101 to our protocol; from byte `length` on it is the session's.
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
pub(super) struct Head {
    scanned: usize,
    most: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self::of_at_most(MOST_HEAD)
    }
}

impl Head {
    /// A head that has not ended after so many bytes is none.
    pub(super) const fn of_at_most(most: usize) -> Self {
        Self { scanned: 0, most }
    }

    /// The answer to a request for `wanted`; `bytes` is everything that has come so far; `None` if more must come.
    pub(super) fn parse(
        &mut self,
        bytes: &[u8],
        wanted: Wanted<'_>,
    ) -> Result<Option<Answer>, NotHttp> {
        let answer = self.read(bytes, |status, head| {
            (status, wanted.is_granted(head.headers))
        })?;
        Ok(answer.map(|((status, granted), length)| match status {
            101 if granted => Answer::Upgraded { length },
            _ => Answer::Other { status, length },
        }))
    }

    /// What `make` makes of the status and the head, once that is whole, and how long it is. `bytes` as for
    /// [`parse`](Self::parse).
    pub(super) fn read<T>(
        &mut self,
        bytes: &[u8],
        make: impl FnOnce(u16, &httparse::Response<'_, '_>) -> T,
    ) -> Result<Option<(T, usize)>, NotHttp> {
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
            return if bytes.len() > self.most {
                Err(NotHttp)
            } else {
                Ok(None)
            };
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(length)) = httparse::ParserConfig::default()
            // What some box adds in its own way is no reason to understand nothing.
            .ignore_invalid_headers_in_responses(true)
            .parse_response(&mut response, bytes)
        else {
            return Err(NotHttp);
        };
        let status = response.code.ok_or(NotHttp)?;
        Ok(Some((make(status, &response), length)))
    }
}

/// Reads on for a while until the page that begins with `page` has said its title; empty if it has none.
pub(super) async fn page_title(
    stream: &mut (impl AsyncRead + Unpin),
    mut page: BytesMut,
) -> String {
    let more = async {
        while page.len() < MOST_PAGE && title(&page).is_none() {
            if !stream.read_buf(&mut page).await.is_ok_and(|n| n > 0) {
                break;
            }
        }
    };
    // The page's title is a courtesy: without it the status must do.
    let _ = tokio::time::timeout(PAGE_WAIT, more).await;
    title(&page).unwrap_or_default()
}

/// The title of an HTML page, safe to print.
pub(super) fn title(page: &[u8]) -> Option<String> {
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
const MOST_HEADERS: usize = 128;
/// How much of a page is read to find its title, and for how long.
const MOST_PAGE: usize = 16 * 1024;
const PAGE_WAIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADED: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: tunnelcast\r\n\r\nmore\n\n";

    #[test]
    fn an_answer_in_single_bytes_is_the_same_answer() {
        let length = UPGRADED.len() - 6;
        let mut head = Head::default();
        for end in 0..length {
            assert_eq!(head.parse(&UPGRADED[..end], Wanted::Tunnel), Ok(None));
        }
        assert_eq!(
            head.parse(&UPGRADED[..length], Wanted::Tunnel),
            Ok(Some(Answer::Upgraded { length }))
        );
        assert_eq!(
            Head::default().parse(UPGRADED, Wanted::Tunnel),
            Ok(Some(Answer::Upgraded { length }))
        );
    }

    #[test]
    fn other_answers_are_told_apart() {
        let parse = |text: &str| Head::default().parse(text.as_bytes(), Wanted::Tunnel);
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
            parse(&format!(
                "HTTP/1.1 200 OK\r\n{}\r\n",
                "a: b\r\n".repeat(129)
            )),
            Err(NotHttp)
        );
    }

    #[test]
    fn a_websocket_is_one_with_our_protocol_and_the_right_answer_to_the_key() {
        let answer = |more: &str| {
            let text = format!("HTTP/1.1 101 Yes\r\nUpgrade: WebSocket\r\n{more}\r\n");
            let wanted = Wanted::WebSocket { accept: "s3pPL=" };
            match Head::default().parse(text.as_bytes(), wanted) {
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
