//! What carries a TLS session: bytes in order, both ways, and a word on when more is wanted.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::sealed::websocket::WebSocket;
use super::tcp;

/// Below TLS: TCP, or something that stands for it.
#[derive(Debug)]
pub(super) struct Base {
    under: Under,
    head: Option<Head>,
    /// What has come from under it already.
    early: Bytes,
    answer: Answer,
    held: Option<Held>,
}

/// Written, and kept back.
#[derive(Debug, Default)]
struct Held {
    bytes: BytesMut,
    /// It may go.
    free: bool,
}

/// How long the other side takes for its first answer. While TLS shakes hands each waits for the other, so that it is a
/// round trip, to the very end, whatever lies between.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// It was asked nothing.
    None,
    /// Something was sent then.
    Awaited(Instant),
    /// It came so long after what was sent before.
    Took(Duration),
}

/// The first bytes that come, which tell who is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Head(Arc<OnceLock<Vec<u8>>>);

impl Head {
    /// Empty until something has come.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.get().map_or(&[], Vec::as_slice)
    }
}

#[derive(Debug)]
enum Under {
    Tcp(TcpStream),
    /// Through a proxy that is itself spoken to in TLS.
    Nested(Box<TlsStream<TcpStream>>),
    /// Inside HTTP, whose other end is driven elsewhere; and the address at the end of that.
    Inside(DuplexStream, SocketAddr),
    /// Inside a WebSocket, inside TLS.
    WebSocket(Box<WebSocket>),
}

impl Base {
    /// TLS inside TLS to a proxy.
    pub(super) fn nested(proxy: TlsStream<TcpStream>) -> Self {
        Self::new(Under::Nested(Box::new(proxy)))
    }

    /// One end of a buffer of which the other end is carried inside HTTP, to or from `peer`.
    pub(super) fn inside(end: DuplexStream, peer: SocketAddr) -> Self {
        Self::new(Under::Inside(end, peer))
    }

    /// In the messages of a WebSocket.
    pub(super) fn websocket(socket: WebSocket) -> Self {
        Self::new(Under::WebSocket(Box::new(socket)))
    }

    const fn new(under: Under) -> Self {
        Self {
            under,
            head: None,
            early: Bytes::new(),
            answer: Answer::None,
            held: None,
        }
    }

    /// With bytes that came before it was one, and that are read first.
    pub(super) fn with_early(mut self, early: Bytes) -> Self {
        self.early = early;
        self
    }

    /// Keeps back what is written from now on, until something is read or it is [let go](Self::let_go): so that what is
    /// written in several steps leaves in one.
    pub(super) fn hold(&mut self) {
        self.held = Some(Held::default());
    }

    /// What was kept back goes with the next flush, and nothing more is kept.
    pub(super) const fn let_go(&mut self) {
        if let Some(held) = &mut self.held {
            held.free = true;
        }
    }

    /// Writes what was kept back.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut held) = self.held.take() else {
            return Poll::Ready(Ok(()));
        };
        while !held.bytes.is_empty() {
            let written = self.under.poll_write(cx, &held.bytes);
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => held.bytes.advance(n),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.held = Some(held);
                    return Poll::Pending;
                }
            }
            self.wrote();
        }
        if !held.free {
            self.held = Some(held);
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps the first bytes that will come.
    pub(super) fn head(&mut self) -> Head {
        self.head.get_or_insert_default().clone()
    }

    /// The address at the other end of TCP: the server's, or its proxy's.
    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        match &self.under {
            Under::Tcp(tcp) => tcp.peer_addr(),
            Under::Nested(tls) => tls.get_ref().0.peer_addr(),
            Under::Inside(_, peer) => Ok(*peer),
            Under::WebSocket(socket) => socket.peer(),
        }
    }

    /// How long the other side took for its first answer; `None` before.
    pub(super) const fn round_trip(&self) -> Option<Duration> {
        match self.answer {
            Answer::Took(took) => Some(took),
            Answer::None | Answer::Awaited(_) => None,
        }
    }

    fn wrote(&mut self) {
        if let Answer::None | Answer::Awaited(_) = self.answer {
            self.answer = Answer::Awaited(Instant::now());
        }
    }

    /// Waits until what carries it wants more, so that what is sent can be chosen then.
    pub(super) fn poll_hungry(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.under {
            Under::Tcp(tcp) => tcp::poll_hungry(tcp, cx),
            Under::Nested(tls) => tcp::poll_hungry(tls.get_ref().0, cx),
            // It takes what it has room for, which is little.
            Under::Inside(..) => Poll::Ready(Ok(())),
            Under::WebSocket(socket) => socket.poll_hungry(cx),
        }
    }

    /// Whether it has taken something that only a flush gets out.
    pub(super) fn wants_flush(&self) -> bool {
        if self.held.is_some() {
            return true;
        }
        match &self.under {
            Under::Tcp(_) | Under::Inside(..) => false,
            Under::Nested(tls) => tls.get_ref().1.wants_write(),
            Under::WebSocket(socket) => socket.wants_flush(),
        }
    }
}

impl Under {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Nested(tls) => Pin::new(tls).poll_write(cx, bytes),
            Self::Inside(end, _) => Pin::new(end).poll_write(cx, bytes),
            Self::WebSocket(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Nested(tls) => Pin::new(tls).poll_flush(cx),
            Self::Inside(end, _) => Pin::new(end).poll_flush(cx),
            Self::WebSocket(socket) => Pin::new(socket).poll_flush(cx),
        }
    }
}

impl From<TcpStream> for Base {
    fn from(tcp: TcpStream) -> Self {
        Self::new(Under::Tcp(tcp))
    }
}

impl AsyncRead for Base {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.held.is_some() {
            // Who waits for an answer has asked all that he wants to ask.
            ready!(self.poll_held(cx))?;
            ready!(self.under.poll_flush(cx))?;
        }
        let before = buf.filled().len();
        if self.early.is_empty() {
            ready!(match &mut self.under {
                Under::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
                Under::Nested(tls) => Pin::new(tls).poll_read(cx, buf),
                Under::Inside(end, _) => Pin::new(end).poll_read(cx, buf),
                Under::WebSocket(socket) => Pin::new(socket).poll_read(cx, buf),
            })?;
        } else {
            let fits = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(fits));
        }
        let came = &buf.filled()[before..];
        if let Answer::Awaited(since) = self.answer
            && !came.is_empty()
        {
            self.answer = Answer::Took(since.elapsed());
        }
        if !came.is_empty()
            && let Some(head) = self.head.take()
        {
            // Whoever asked has it as well.
            let _unheard = head.0.set(came[..came.len().min(HEAD)].to_vec());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Base {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(held) = &mut self.held {
            if !held.free {
                held.bytes.extend_from_slice(bytes);
                return Poll::Ready(Ok(bytes.len()));
            }
            ready!(self.poll_held(cx))?;
        }
        let written = ready!(self.under.poll_write(cx, bytes))?;
        self.wrote();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(held) = &mut self.held {
            if !held.free {
                let before = held.bytes.len();
                for slice in slices {
                    held.bytes.extend_from_slice(slice);
                }
                return Poll::Ready(Ok(held.bytes.len() - before));
            }
            ready!(self.poll_held(cx))?;
        }
        let written = ready!(match &mut self.under {
            Under::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Under::Nested(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
            Under::Inside(end, _) => Pin::new(end).poll_write_vectored(cx, slices),
            Under::WebSocket(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
        })?;
        self.wrote();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.under {
            Under::Tcp(tcp) => tcp.is_write_vectored(),
            Under::Nested(tls) => tls.is_write_vectored(),
            Under::Inside(end, _) => end.is_write_vectored(),
            Under::WebSocket(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(held) = &self.held {
            if !held.free {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_held(cx))?;
        }
        self.under.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        match &mut self.under {
            Under::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Under::Nested(tls) => Pin::new(tls).poll_shutdown(cx),
            Under::Inside(end, _) => Pin::new(end).poll_shutdown(cx),
            Under::WebSocket(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

/// Enough to tell what a stranger speaks.
const HEAD: usize = 32;
