//! A link over TLS, by TCP or inside something else: what is sent is chosen when the kernel wants it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin as Pinned, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::TlsStream;

use super::{MOST_UNREAD, Ready};
use crate::transport::{Exporter, Kind, base::Base, first};
use crate::trust::Pin;

/// TLS, once HTTP has been upgraded.
#[derive(Debug)]
pub(super) struct Link {
    tls: TlsStream<Base>,
    /// What came together with the other side's HTTP head.
    early: BytesMut,
    peer: SocketAddr,
    kind: Kind,
    /// Bytes taken from `pending` that have not been reported yet.
    taken: usize,
    /// The kernel has said, since we last wrote, that it wants more.
    hungry: bool,
    /// Writing has failed; what the other side still said comes first.
    broken: Option<io::Error>,
    turn: Turn,
}

/// Whose turn it is, so that neither side starves the other.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Read,
    Write,
}

impl Link {
    pub(super) fn new(tls: TlsStream<Base>, early: BytesMut, peer: SocketAddr, kind: Kind) -> Self {
        Self {
            tls,
            early,
            peer,
            kind,
            taken: 0,
            hungry: false,
            broken: None,
            turn: Turn::Write,
        }
    }

    pub(super) async fn ready(
        &mut self,
        read_into: &mut BytesMut,
        pending: &mut BytesMut,
    ) -> io::Result<Ready> {
        poll_fn(|cx| self.poll_ready(cx, read_into, pending)).await
    }

    pub(super) fn is_clear(&self) -> bool {
        self.taken == 0 && !self.wants_flush()
    }

    /// Ends our direction, and waits for the other side to end its own.
    pub(super) async fn shutdown(mut self, last: &[u8], within: Duration) -> io::Result<()> {
        let end = async {
            self.tls.write_all(last).await?;
            self.tls.shutdown().await?;
            // Small, since it is kept in the task of everybody who may once be shut down.
            let mut rest = [0; 256];
            // Bounded by time; whatever else the other side says, or how it ends, is of no interest any more.
            while self.tls.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            Ok(())
        };
        tokio::time::timeout(within, end).await?
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.tls.get_ref().0.round_trip()
    }

    pub(super) fn cipher(&self) -> Option<&'static str> {
        let suite = self.tls.get_ref().1.negotiated_cipher_suite()?;
        suite.suite().as_str()
    }

    pub(super) fn exporter(&self) -> Option<Exporter> {
        let out = Exporter::default();
        match &self.tls {
            TlsStream::Client(tls) => {
                tls.get_ref()
                    .1
                    .export_keying_material(out, first::LABEL, None)
            }
            TlsStream::Server(tls) => {
                tls.get_ref()
                    .1
                    .export_keying_material(out, first::LABEL, None)
            }
        }
        .ok()
    }

    pub(super) fn server_key(&self) -> Option<Pin> {
        let certificates = self.tls.get_ref().1.peer_certificates()?;
        Pin::of_certificate(certificates.first()?).ok()
    }

    /// Whether something that was written is not with the kernel yet.
    fn wants_flush(&self) -> bool {
        let (base, session) = self.tls.get_ref();
        session.wants_write() || base.wants_flush()
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
        let read = ready!(self.poll_read_some(cx, read_into));
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

    fn poll_read_some(
        &mut self,
        cx: &mut Context<'_>,
        read_into: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        if read_into.capacity() - read_into.len() < LEAST_ROOM {
            if let TlsStream::Server(tls) = &mut self.tls {
                // Of many who say nothing, none keeps room for what he may say; what is said is little, and copied.
                let mut room = [0; LEAST_ROOM];
                let mut room = ReadBuf::new(&mut room);
                ready!(Pinned::new(tls).poll_read(cx, &mut room))?;
                read_into.extend_from_slice(room.filled());
                return Poll::Ready(Ok(room.filled().len()));
            }
            read_into.reserve(RECORD);
        }
        pin!(self.tls.read_buf(read_into)).poll(cx)
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
            if self.wants_flush() {
                ready!(Pinned::new(&mut self.tls).poll_flush(cx))?;
            }
            if pending.is_empty() && self.taken == 0 {
                return Poll::Pending;
            }
            if !self.hungry {
                ready!(self.tls.get_ref().0.poll_hungry(cx))?;
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
pub(in crate::transport) const RECORD: usize = 16 * 1024;

/// Room that a read is worth making for.
const LEAST_ROOM: usize = 4 * 1024;
