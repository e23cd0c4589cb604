//! A link over QUIC.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use quinn::{
    Connection, ConnectionError, Endpoint, ReadError, RecvStream, SendStream, StoppedError,
    WriteError,
};
use rustls_pki_types::CertificateDer;
use tokio::time::{Instant, sleep};

use super::frames::{CONTROL_PRIORITY, Inbox, Outbox, Window};
use super::{CUT, DONE, Ear, Socket, settings};
use crate::transport::link::MOST_UNREAD;
use crate::transport::{Exporter, Ready, first};
use crate::trust::Pin;

/// One connection, with its one stream.
#[derive(Debug)]
pub(in crate::transport) struct Link {
    connection: Connection,
    control: Control,
    window: Window,
    inbox: Inbox,
    outbox: Outbox,
    /// Somebody has been told that there is no room for datagrams.
    starved: AtomicBool,
    /// Whose turn it is, so that nobody starves the others.
    turn: usize,
    client: Option<Client>,
    cipher: Option<&'static str>,
}

/// What a viewer has of its own: the socket, and who listens to it.
#[derive(Debug)]
pub(in crate::transport) struct Client {
    pub(in crate::transport) endpoint: Endpoint,
    pub(in crate::transport) ear: Arc<Ear>,
}

#[derive(Debug)]
struct Control {
    send: SendStream,
    receive: RecvStream,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    Write,
    Read,
    Datagram,
    FrameIn,
    FrameOut,
}

const TURNS: [Turn; 5] = [
    Turn::Write,
    Turn::Read,
    Turn::Datagram,
    Turn::FrameIn,
    Turn::FrameOut,
];

impl Link {
    pub(in crate::transport) fn new(
        connection: Connection,
        send: SendStream,
        receive: RecvStream,
        client: Option<Client>,
        cipher: Option<&'static str>,
    ) -> Self {
        // Fails only on a stream that has ended.
        let _ = send.set_priority(CONTROL_PRIORITY);
        Self {
            connection,
            control: Control { send, receive },
            window: Window::default(),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            starved: AtomicBool::new(false),
            turn: 0,
            client,
            cipher,
        }
    }

    pub(in crate::transport) async fn ready(
        &mut self,
        read_into: &mut BytesMut,
        pending: &mut BytesMut,
    ) -> io::Result<Ready> {
        let Self {
            connection,
            control,
            window,
            inbox,
            outbox,
            starved,
            turn,
            ..
        } = self;
        let connection = &*connection;
        // These are forgotten with the future that polls them, so they last as long as this one.
        let mut datagram = pin!(connection.read_datagram());
        let mut newcomer = pin!(connection.accept_uni());
        let mut open = pin!(connection.open_uni());
        let mut again = pin!(sleep(ROOM_INTERVAL));
        poll_fn(|cx| {
            if starved.load(Ordering::Relaxed) {
                if room(connection) != Some(0) {
                    starved.store(false, Ordering::Relaxed);
                    return Poll::Ready(Ok(Ready::Room));
                }
                // quinn tells of room only those who wait to send, which can be for ever (`send_datagram_wait`).
                while again.as_mut().poll(cx).is_ready() {
                    again.as_mut().reset(Instant::now() + ROOM_INTERVAL);
                }
            }
            for step in *turn..*turn + TURNS.len() {
                let done = match TURNS[step % TURNS.len()] {
                    Turn::Write if pending.is_empty() => Poll::Pending,
                    Turn::Write => {
                        window.open(connection, CONTROL_AHEAD);
                        control.poll_write(cx, pending)
                    }
                    Turn::Read => control.poll_read(cx, read_into),
                    Turn::Datagram => match datagram.as_mut().poll(cx) {
                        Poll::Ready(Ok(bytes)) => Poll::Ready(Ok(Ready::Datagram(bytes))),
                        // That the connection has ended is told by the control stream, once all of that is read.
                        Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
                    },
                    Turn::FrameIn => {
                        while let Poll::Ready(Ok(stream)) = newcomer.as_mut().poll(cx) {
                            inbox.put(stream);
                        }
                        inbox.poll(cx).map(|frame| Ok(Ready::Frame(frame)))
                    }
                    Turn::FrameOut => {
                        let written = outbox.poll(cx, open.as_mut(), window, connection);
                        written.map(|()| Ok(Ready::Room))
                    }
                };
                if done.is_ready() {
                    *turn = (step + 1) % TURNS.len();
                    return done;
                }
            }
            Poll::Pending
        })
        .await
    }

    /// A datagram that is there already.
    pub(in crate::transport) fn next_datagram(&self) -> Option<Bytes> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(self.connection.read_datagram()).poll(&mut context) {
            Poll::Ready(datagram) => datagram.ok(),
            Poll::Pending => None,
        }
    }

    pub(in crate::transport) fn datagram_room(&self) -> Option<usize> {
        let room = room(&self.connection);
        if room == Some(0) {
            self.starved.store(true, Ordering::Relaxed);
        }
        room
    }

    pub(in crate::transport) fn send_datagram(&self, datagram: Bytes) -> bool {
        // Beyond this quinn would drop what waits.
        room(&self.connection).is_some_and(|room| datagram.len() <= room)
            && self.connection.send_datagram(datagram).is_ok()
    }

    pub(in crate::transport) const fn frame_room(&self) -> bool {
        self.outbox.is_empty()
    }

    pub(in crate::transport) fn send_frame(&mut self, head: Bytes, body: Bytes) {
        self.outbox.put([head, body]);
    }

    pub(in crate::transport) fn let_frames_in(&self) {
        settings::let_frames_in(&self.connection);
    }

    pub(in crate::transport) async fn shutdown(
        mut self,
        last: &[u8],
        within: Duration,
    ) -> io::Result<()> {
        let end =
            async {
                self.window.open(&self.connection, CONTROL_AHEAD);
                let said = match self.control.send.write_all(last).await {
                    Ok(()) => {
                        // Fails where the other side has stopped the stream, which is told below.
                        let _ = self.control.send.finish();
                        self.control.send.stopped().await
                    }
                    Err(WriteError::ConnectionLost(error)) => Err(error.into()),
                    Err(error) => return Err(error.into()),
                };
                match said {
                    Ok(_) => Ok(()),
                    // The other side has said goodbye before us, and wants no more.
                    Err(StoppedError::ConnectionLost(ConnectionError::ApplicationClosed(
                        close,
                    ))) if close.error_code == DONE => Ok(()),
                    Err(error) => Err(error.into()),
                }
            };
        let ended = tokio::time::timeout(within, end).await?;
        self.connection.close(DONE, b"");
        ended
    }

    pub(in crate::transport) fn rebind(&self) -> io::Result<()> {
        let Some(Client { endpoint, ear }) = &self.client else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let socket = Socket::new(self.peer(), Arc::clone(ear))?;
        endpoint.rebind_abstract(Arc::new(socket))
    }

    pub(in crate::transport) fn peer(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    pub(in crate::transport) fn round_trip(&self) -> Duration {
        // The least: later ones may have been held up by our own datagrams.
        self.connection.min_rtt()
    }

    pub(in crate::transport) const fn cipher(&self) -> Option<&'static str> {
        self.cipher
    }

    pub(in crate::transport) fn exporter(&self) -> Option<Exporter> {
        exporter(&self.connection)
    }

    pub(in crate::transport) fn server_key(&self) -> Option<Pin> {
        let identity = self.connection.peer_identity()?;
        let certificates = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        Pin::of_certificate(certificates.first()?).ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Before the streams are dropped, which would end them as if in good order. Nothing, after a shutdown.
        self.connection.close(CUT, b"");
    }
}

impl Control {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pending: &mut BytesMut,
    ) -> Poll<io::Result<Ready>> {
        let written = ready!(pin!(self.send.write(pending)).poll(cx));
        match written {
            Ok(n) => {
                pending.advance(n);
                Poll::Ready(Ok(Ready::Wrote(n)))
            }
            // What the other side still said comes first; the reading side ends as well.
            Err(WriteError::ConnectionLost(_)) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        read_into: &mut BytesMut,
    ) -> Poll<io::Result<Ready>> {
        if read_into.len() >= MOST_UNREAD {
            // What would wake us is the reading that comes after the caller has made room.
            return Poll::Pending;
        }
        let read = ready!(pin!(self.receive.read_chunk(CHUNK, true)).poll(cx));
        Poll::Ready(match read {
            Ok(Some(chunk)) => {
                read_into.extend_from_slice(&chunk.bytes);
                Ok(Ready::Read(chunk.bytes.len()))
            }
            Ok(None) => Ok(Ready::Eof),
            Err(ReadError::ConnectionLost(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        })
    }
}

/// Of a connection whose handshake is done.
pub(in crate::transport) fn exporter(connection: &Connection) -> Option<Exporter> {
    let mut out = Exporter::default();
    let done = connection.export_keying_material(&mut out, first::LABEL, b"");
    done.ok().map(|()| out)
}

/// The longest datagram that can be sent without another being dropped for it; 0 where that is not worth it.
fn room(connection: &Connection) -> Option<usize> {
    let most = connection.max_datagram_size()?;
    let waits = settings::DATAGRAMS.saturating_sub(connection.datagram_send_buffer_space());
    let then = waits + most;
    // What goes at once does not wait. Without this a large picture waited for the clock, a millisecond or two, on a way
    // that would have taken it whole.
    let fits = then <= DATAGRAMS_AHEAD
        || then <= settings::DATAGRAMS && then as u64 <= connection.stats().path.cwnd;
    Some(if fits { most } else { 0 })
}

/// So much may wait in quinn whatever the way carries: what is not sent soon had better not be sent.
const DATAGRAMS_AHEAD: usize = 64 * 1024;

/// How often it is looked whether there is room again.
const ROOM_INTERVAL: Duration = Duration::from_millis(1);
/// What quinn holds of the control stream beyond what is on its way: more than of frames, so that these never keep it.
const CONTROL_AHEAD: u64 = 96 * 1024;
/// Read at a time.
const CHUNK: usize = 16 * 1024;
