//! One connection to an HTTP proxy: a request out, a head back, and whatever is behind it.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::challenge::{self, Challenge};
use crate::transport::answer::{Head, NotHttp, page_title};
use crate::transport::dial::Looks;
use crate::trust::printable;

/// A connection, and what has come over it and not been looked at.
#[derive(Debug)]
pub(super) struct Line<S> {
    stream: S,
    came: BytesMut,
    /// Something has been answered on it.
    used: bool,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Of a 407.
    pub(super) challenges: Vec<Challenge>,
    body: Body,
    /// The connection is to go on behind the body.
    stays: bool,
}

/// Where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
    /// With the connection.
    Open,
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It had ended before, between two requests.
    Gone(io::Error),
    /// It ended.
    Lost(io::Error),
    NotHttp(Looks),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            came: BytesMut::new(),
            used: false,
        }
    }

    /// What is under it, and what came behind the last head.
    pub(super) fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.came.freeze())
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<Reply, Failure> {
        let first = !std::mem::replace(&mut self.used, true);
        let lost = |error, came: &[u8]| match came {
            [] if !first => Failure::Gone(error),
            _ => Failure::Lost(error),
        };
        let sent = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await
        };
        if let Err(error) = sent.await {
            return Err(lost(error, &self.came));
        }
        for _ in 0..MOST_HEADS {
            let reply = self.head(lost).await?;
            // What is said on the way to an answer.
            if !matches!(reply.status, 100 | 102..=199) {
                return Ok(reply);
            }
        }
        Err(Failure::NotHttp(Looks::Text(String::from("HTTP/1.1 100"))))
    }

    async fn head(&mut self, lost: impl Fn(io::Error, &[u8]) -> Failure) -> Result<Reply, Failure> {
        let mut head = Head::of_at_most(MOST_HEAD);
        loop {
            match head.read(&self.came, reply) {
                Ok(Some((reply, length))) => {
                    self.came.advance(length);
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(NotHttp) => return Err(Failure::NotHttp(looks(&self.came))),
            }
            match self.stream.read_buf(&mut self.came).await {
                Ok(0) => return Err(lost(io::ErrorKind::UnexpectedEof.into(), &self.came)),
                Ok(_) => {}
                Err(error) => return Err(lost(error, &self.came)),
            }
        }
    }

    /// The title of the page behind a head, safe to print; empty if there is none.
    pub(super) async fn title(mut self) -> String {
        page_title(&mut self.stream, self.came).await
    }

    /// Reads the body behind a head, so that the next answer can come. False if none can: the connection ends with
    /// the body, or that is too long to wait for.
    pub(super) async fn drain(&mut self, reply: &Reply) -> bool {
        if !reply.stays {
            return false;
        }
        let mut left = MOST_BODY;
        let drained = match reply.body {
            Body::Length(length) => self.skip(length, &mut left).await,
            Body::Chunked => self.chunks(&mut left).await,
            Body::Open => None,
        };
        drained.is_some()
    }

    async fn chunks(&mut self, left: &mut u64) -> Option<()> {
        loop {
            let size = self.text(left).await?;
            let digits = size.split(|byte| *byte == b';').next()?;
            let digits = std::str::from_utf8(digits).ok()?.trim();
            match u64::from_str_radix(digits, 16).ok()? {
                0 => break,
                size => self.skip(size, left).await?,
            }
            if !self.text(left).await?.is_empty() {
                return None;
            }
        }
        // What is said behind the last chunk.
        while !self.text(left).await?.is_empty() {}
        Some(())
    }

    /// A line's text, without its end.
    async fn text(&mut self, left: &mut u64) -> Option<Bytes> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.came[seen..].iter().position(|byte| *byte == b'\n') {
                let mut text = self.came.split_to(seen + at + 1).freeze();
                if text.len() > MOST_TEXT {
                    return None;
                }
                *left = left.checked_sub(u64::try_from(text.len()).ok()?)?;
                text.truncate(text.trim_ascii_end().len());
                return Some(text);
            }
            seen = self.came.len();
            if seen > MOST_TEXT {
                return None;
            }
            self.more().await?;
        }
    }

    async fn skip(&mut self, mut length: u64, left: &mut u64) -> Option<()> {
        *left = left.checked_sub(length)?;
        loop {
            let have = u64::try_from(self.came.len()).ok()?.min(length);
            self.came.advance(usize::try_from(have).ok()?);
            length -= have;
            if length == 0 {
                return Some(());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.came).await;
        (read.ok()? > 0).then_some(())
    }
}

fn reply(status: u16, head: &httparse::Response<'_, '_>) -> Reply {
    let mut challenges = Vec::new();
    let mut body = None;
    let (mut keeps, mut closes) = (head.version == Some(1), false);
    for header in head.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let lists = |word: &[u8]| {
            let mut words = header.value.split(|byte| *byte == b',');
            words.any(|one| one.trim_ascii().eq_ignore_ascii_case(word))
        };
        if is("proxy-authenticate") {
            challenge::parse(header.value, &mut challenges);
        } else if is("connection") || is("proxy-connection") {
            closes |= lists(b"close");
            keeps |= lists(b"keep-alive");
        } else if is("transfer-encoding") {
            // It goes before a length, wherever that stands.
            body = Some(if lists(b"chunked") {
                Body::Chunked
            } else {
                Body::Open
            });
        } else if is("content-length") && body.is_none() {
            let length = std::str::from_utf8(header.value).ok();
            let length = length.and_then(|length| length.trim().parse().ok());
            body = Some(length.map_or(Body::Open, Body::Length));
        }
    }
    Reply {
        status,
        challenges,
        body: body.unwrap_or(Body::Open),
        stays: keeps && !closes,
    }
}

fn looks(came: &[u8]) -> Looks {
    match Looks::of(came) {
        // It is HTTP that says this.
        Looks::Http => {
            let line = came.split(|byte| *byte == b'\n').next().unwrap_or_default();
            Looks::Text(printable(&String::from_utf8_lossy(line), 32))
        }
        other @ (Looks::Ssh | Looks::Greeting | Looks::Text(_) | Looks::Binary) => other,
    }
}

/// The most bytes of a head: proxies with single sign-on say a lot.
const MOST_HEAD: usize = 64 * 1024;
/// The most heads for one request, all but the last of which say that it goes on.
const MOST_HEADS: usize = 4;
/// The longest page that is read past; a new connection costs less.
const MOST_BODY: u64 = 256 * 1024;
/// The longest line between two chunks.
const MOST_TEXT: usize = 4 * 1024;
