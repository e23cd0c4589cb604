//! One way in both directions, with one owner: no split, no lock, no task of its own.

mod tls;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio_rustls::TlsStream;

pub(super) use self::tls::RECORD;
use super::{Exporter, Kind, base::Base, quic};
use crate::trust::Pin;

/// A connection between a viewer and a server, ready for the session's bytes.
///
/// Dropped, it is cut, and the other side reads an error; [`shutdown`](Self::shutdown) ends it in good order.
#[derive(Debug)]
pub struct Link(Way);

#[derive(Debug)]
enum Way {
    Tls(Box<tls::Link>),
    Quic(Box<quic::Link>),
}

/// What [`Link::ready`] has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// So many bytes, at least one, were appended to `read_into`.
    Read(usize),
    /// So many bytes, at least one, were taken from `pending` since this was last reported. All of them are on their
    /// way, and more is wanted: now is the time to choose what comes next.
    Wrote(usize),
    /// A datagram has come.
    Datagram(Bytes),
    /// A frame has come, all of it; what was said later is not older than this.
    Frame(Bytes),
    /// There is room again: for a datagram, after [`Link::datagram_room`] was `Some(0)`, or for a frame, after one was
    /// handed over.
    Room,
    /// The other side has ended the connection in good order.
    Eof,
}

impl Link {
    /// Over TLS that ends at the other side itself, however it gets there.
    pub(super) fn tls(tls: TlsStream<Base>, early: BytesMut, peer: SocketAddr, kind: Kind) -> Self {
        Self(Way::Tls(Box::new(tls::Link::new(tls, early, peer, kind))))
    }

    pub(super) fn quic(link: quic::Link) -> Self {
        Self(Way::Quic(Box::new(link)))
    }

    /// Waits until something can be done, and does one thing: reads what is there, or writes of `pending` what the
    /// way takes.
    ///
    /// Cancel-safe: bytes are in `read_into`, or gone from `pending`, exactly if they were read or will be sent.
    /// `pending` may be empty; what was taken earlier is then still sent, and reported. To send what is newest, put
    /// into `pending` only while [`is_clear`](Self::is_clear) holds, at most 16 KiB.
    ///
    /// Nothing is read into `read_into` while it holds 64 KiB or more. After an error or [`Ready::Eof`] there
    /// is nothing left but to drop the link, or, after the latter, to shut it down.
    pub async fn ready(
        &mut self,
        read_into: &mut BytesMut,
        pending: &mut BytesMut,
    ) -> io::Result<Ready> {
        match &mut self.0 {
            Way::Tls(link) => link.ready(read_into, pending).await,
            Way::Quic(link) => link.ready(read_into, pending).await,
        }
    }

    /// Would what is put into an empty `pending` now go out at once? So it is from the start, and after each
    /// [`Ready::Wrote`].
    pub fn is_clear(&self) -> bool {
        match &self.0 {
            Way::Tls(link) => link.is_clear(),
            // What is taken is never more than may go out; the rest stays in `pending`.
            Way::Quic(_) => true,
        }
    }

    /// Another datagram that has come already, behind one that [`ready`](Self::ready) gave.
    pub fn next_datagram(&mut self) -> Option<Bytes> {
        match &self.0 {
            Way::Tls(_) => None,
            Way::Quic(link) => link.next_datagram(),
        }
    }

    /// The most bytes that a datagram may have just now; `None` where the way has no datagrams.
    ///
    /// `Some(0)` means that as many wait as are good for anything: [`ready`](Self::ready) says when there is
    /// [`Room`](Ready::Room).
    pub fn datagram_room(&self) -> Option<usize> {
        match &self.0 {
            Way::Tls(_) => None,
            Way::Quic(link) => link.datagram_room(),
        }
    }

    /// Sends a datagram, which may be lost, or overtake others. Never waits: it is `false` where it could not be sent,
    /// since it is longer than [`datagram_room`](Self::datagram_room) allows, or since the connection has ended.
    pub fn send_datagram(&mut self, datagram: Bytes) -> bool {
        match &mut self.0 {
            Way::Tls(_) => false,
            Way::Quic(link) => link.send_datagram(datagram),
        }
    }

    /// Is there nothing left to write of the last frame? Always `false` where the way has no frames, which is where it
    /// has no datagrams.
    pub fn frame_room(&self) -> bool {
        match &self.0 {
            Way::Tls(_) => false,
            Way::Quic(link) => link.frame_room(),
        }
    }

    /// Sends `head` and `body` as one frame, which arrives whole or not at all, before whatever frame is older. Never
    /// waits: it is written by [`ready`](Self::ready). A frame of which something is left to write is given up for it.
    ///
    /// Where the way has no frames, nothing happens.
    pub fn send_frame(&mut self, head: Bytes, body: Bytes) {
        match &mut self.0 {
            Way::Tls(_) => {}
            Way::Quic(link) => link.send_frame(head, body),
        }
    }

    /// Lets the other side send frames, of which a server takes none at first. Where the way has none, nothing happens.
    pub fn let_frames_in(&self) {
        match &self.0 {
            Way::Tls(_) => {}
            Way::Quic(link) => link.let_frames_in(),
        }
    }

    /// Sends `last`, says goodbye, and waits until the other side has both, so that nothing sent is lost to a reset.
    /// All within `within`; then the link is cut, and the error is [`io::ErrorKind::TimedOut`].
    pub async fn shutdown(self, last: &[u8], within: Duration) -> io::Result<()> {
        match self.0 {
            Way::Tls(link) => link.shutdown(last, within).await,
            Way::Quic(link) => link.shutdown(last, within).await,
        }
    }

    /// Goes on from another address of this machine, as after a change of networks, if the way can.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where it cannot, which is so on the server's side as well; otherwise what the
    /// system says. The link is then as it was.
    pub fn rebind(&self) -> io::Result<()> {
        match &self.0 {
            Way::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            Way::Quic(link) => link.rebind(),
        }
    }

    /// The way there and back, as it was while the link came up; `None` where that is not known.
    pub fn round_trip(&self) -> Option<Duration> {
        match &self.0 {
            Way::Tls(link) => link.round_trip(),
            Way::Quic(link) => Some(link.round_trip()),
        }
    }

    /// Which way the bytes go.
    pub const fn kind(&self) -> Kind {
        match &self.0 {
            Way::Tls(link) => link.kind(),
            Way::Quic(_) => Kind::Quic,
        }
    }

    /// The other side's address. A viewer's may change while the link lasts.
    pub fn peer(&self) -> SocketAddr {
        match &self.0 {
            Way::Tls(link) => link.peer(),
            Way::Quic(link) => link.peer(),
        }
    }

    /// The cipher, as the standard names it: `TLS_AES_256_GCM_SHA384`.
    pub fn cipher(&self) -> String {
        let name = match &self.0 {
            Way::Tls(link) => link.cipher(),
            Way::Quic(link) => link.cipher(),
        };
        name.unwrap_or("unknown").replacen("TLS13_", "TLS_", 1)
    }

    /// Binds what is said to this link, and to no other.
    pub fn exporter(&self) -> Option<Exporter> {
        match &self.0 {
            Way::Tls(link) => link.exporter(),
            Way::Quic(link) => link.exporter(),
        }
    }

    /// The key of the server at the other end; `None` on the server's own side.
    pub fn server_key(&self) -> Option<Pin> {
        match &self.0 {
            Way::Tls(link) => link.server_key(),
            Way::Quic(link) => link.server_key(),
        }
    }
}

/// Beyond so many bytes that nobody has looked at, nothing more is read.
pub(super) const MOST_UNREAD: usize = 64 * 1024;
