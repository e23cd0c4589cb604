//! One way in both directions, with one owner: no split, no lock, no task of its own.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin as Pinned, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::{Kind, tcp};
use crate::trust::Pin;

/// A connection between a viewer and a server, ready for the session's bytes.
///
/// Dropped, it is cut, and the other side reads an error; [`shutdown`](Self::shutdown) ends it in good order.
#[derive(Debug)]
pub struct Link {
    tls: TlsStream<TcpStream>,
    /// What came together with the other side's HTTP head.
    early: BytesMut,
    peer: SocketAddr,
    /// Bytes taken from `pending` that have not been reported yet.
    taken: usize,
    /// The kernel has said, since we last wrote, that it wants more.
    hungry: bool,
    /// Writing has failed; what the other side still said comes first.
    broken: Option<io::Error>,
    turn: Turn,
}

/// What [`Link::ready`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// So many bytes, at least one, were appended to `read_into`.
    Read(usize),
    /// So many bytes, at least one, were taken from `pending` since this was last reported. All of them are with the
    /// kernel, and it wants more: now is the time to choose what comes next.
    Wrote(usize),
    /// The other side has ended the connection in good order.
    Eof,
}

/// Whose turn it is, so that neither side starves the other.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Read,
    Write,
}

impl Link {
    pub(super) fn new(tls: TlsStream<TcpStream>, early: BytesMut, peer: SocketAddr) -> Self {
        Self {
            tls,
            early,
            peer,
            taken: 0,
            hungry: false,
            broken: None,
            turn: Turn::Write,
        }
    }

    /// Waits until something can be done, and does one thing: reads what is there, or writes of `pending` what the
    /// socket takes.
    ///
    /// Cancel-safe: bytes are in `read_into`, or gone from `pending`, exactly if they were read or will be sent.
    /// `pending` may be empty; what was taken earlier is then still brought to the kernel, and reported. To send what
    /// is newest, put into `pending` only while [`is_clear`](Self::is_clear) holds, at most 16 KiB.
    ///
    /// Nothing is read while `read_into` holds 64 KiB or more. After an error or [`Ready::Eof`] there
    /// is nothing left but to drop the link, or, after the latter, to shut it down.
    pub async fn ready(
        &mut self,
        read_into: &mut BytesMut,
        pending: &mut BytesMut,
    ) -> io::Result<Ready> {
        poll_fn(|cx| self.poll_ready(cx, read_into, pending)).await
    }

    /// Would what is put into `pending` now go out at once? So it is from the start, and after each [`Ready::Wrote`].
    pub fn is_clear(&self) -> bool {
        self.taken == 0 && !self.tls.get_ref().1.wants_write()
    }

    /// Sends `last`, says goodbye in TLS, ends our direction, and waits for the other side to end its own, so that
    /// nothing sent is lost to a reset. All within `within`; then the link is cut, and the error is
    /// [`io::ErrorKind::TimedOut`].
    pub async fn shutdown(mut self, last: &[u8], within: Duration) -> io::Result<()> {
        let end = async {
            self.tls.write_all(last).await?;
            self.tls.shutdown().await?;
            let mut rest = [0; 4096];
            // Bounded by time; whatever else the other side says, or how it ends, is of no interest any more.
            while self.tls.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            Ok(())
        };
        tokio::time::timeout(within, end).await?
    }

    /// Which way the bytes go.
    pub const fn kind(&self) -> Kind {
        Kind::Tls
    }

    /// The other side's address, as TCP sees it.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The cipher, as the standard names it: `TLS_AES_256_GCM_SHA384`.
    pub fn cipher(&self) -> String {
        let suite = self.tls.get_ref().1.negotiated_cipher_suite();
        let name = suite.and_then(|suite| suite.suite().as_str());
        name.unwrap_or("unknown").replacen("TLS13_", "TLS_", 1)
    }

    /// The key of the server at the other end; `None` on the server's own side.
    pub fn server_key(&self) -> Option<Pin> {
        let certificates = self.tls.get_ref().1.peer_certificates()?;
        Pin::of_certificate(certificates.first()?).ok()
    }

    fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
        read_into: &mut BytesMut,
        pending: &mut BytesMut,
    ) -> Poll<io::Result<Ready>> {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            read_into.extend_from_slice(&early);
            return Poll::Ready(Ok(Ready::Read(early.len())));
        }
        let order = match self.turn {
            Turn::Read => [Turn::Read, Turn::Write],
            Turn::Write => [Turn::Write, Turn::Read],
        };
        for turn in order {
            let (done, next) = match turn {
                Turn::Read => (self.poll_read(cx, read_into), Turn::Write),
                Turn::Write => (self.poll_write(cx, pending), Turn::Read),
            };
            if done.is_ready() {
                self.turn = next;
                return done;
            }
        }
        Poll::Pending
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        read_into: &mut BytesMut,
    ) -> Poll<io::Result<Ready>> {
        if read_into.len() >= MOST_UNREAD {
            // What would wake us is the reading that comes after the caller has made room.
            return match self.broken.take() {
                Some(broken) => Poll::Ready(Err(broken)),
                None => Poll::Pending,
            };
        }
        if read_into.capacity() - read_into.len() < LEAST_ROOM {
            read_into.reserve(match self.tls {
                TlsStream::Client(_) => RECORD,
                TlsStream::Server(_) => LEAST_ROOM,
            });
        }
        let read = ready!(pin!(self.tls.read_buf(read_into)).poll(cx));
        Poll::Ready(match (read, self.broken.take()) {
            (Ok(n), broken) if n > 0 => {
                self.broken = broken;
                Ok(Ready::Read(n))
            }
            (Ok(_) | Err(_), Some(broken)) => Err(broken),
            (Ok(_), None) => Ok(Ready::Eof),
            (Err(error), None) => Err(error),
        })
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pending: &mut BytesMut,
    ) -> Poll<io::Result<Ready>> {
        if self.broken.is_some() {
            return Poll::Pending;
        }
        match ready!(self.poll_send(cx, pending)) {
            Ok(ready) => Poll::Ready(Ok(ready)),
            Err(error) => {
                self.broken = Some(error);
                // The reading side is looked at next, and wakes us when it ends.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// One record at a time, none before the last is with the kernel, and none while the kernel holds enough.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        pending: &mut BytesMut,
    ) -> Poll<io::Result<Ready>> {
        loop {
            if self.tls.get_ref().1.wants_write() {
                ready!(Pinned::new(&mut self.tls).poll_flush(cx))?;
            }
            if pending.is_empty() && self.taken == 0 {
                return Poll::Pending;
            }
            if !self.hungry {
                ready!(tcp::poll_hungry(self.tls.get_ref().0, cx))?;
                self.hungry = true;
            }
            // Only now, so that what comes next is chosen when it can go out.
            if pending.is_empty() || self.taken >= RECORD {
                return Poll::Ready(Ok(Ready::Wrote(std::mem::take(&mut self.taken))));
            }
            let chunk = &pending[..pending.len().min(RECORD)];
            self.hungry = false;
            let n = ready!(Pinned::new(&mut self.tls).poll_write(cx, chunk))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            pending.advance(n);
            self.taken += n;
        }
    }
}

/// The most plain text in a TLS record, and the most of ours that waits inside TLS.
pub(super) const RECORD: usize = 16 * 1024;

/// Beyond so many bytes that nobody has looked at, nothing more is read.
const MOST_UNREAD: usize = 64 * 1024;

/// Room that a read is worth making for.
const LEAST_ROOM: usize = 4 * 1024;
