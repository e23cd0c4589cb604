//! RFC 6455 WebSocket as a stream of bytes: a binary message for what is written at a time, nothing in between.
//!
//! It is polled by whoever has the link, so it needs no task: it is there exactly as long as the link, it answers pings
//! while the link is read, and what is not read waits with the sender.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use crate::transport::base::Base;
use crate::transport::link::RECORD;

/// A WebSocket inside TLS, once HTTP has been upgraded.
#[derive(Debug)]
pub(in crate::transport) struct WebSocket {
    socket: WebSocketStream<TlsStream<Base>>,
    /// What is left of the message that came last.
    unread: Bytes,
    /// Something may not be with the kernel yet.
    unsent: bool,
    /// The other side has said goodbye, or is gone.
    ended: bool,
}

impl WebSocket {
    /// The viewer's end; `early` came behind the head of the answer.
    pub(in crate::transport) async fn client(
        tls: tokio_rustls::client::TlsStream<Base>,
        early: BytesMut,
    ) -> Self {
        Self::new(tls.into(), early.to_vec(), Role::Client).await
    }

    /// The server's end; `early` came behind the head of the request.
    pub(in crate::transport) async fn server(
        tls: tokio_rustls::server::TlsStream<Base>,
        early: Bytes,
    ) -> Self {
        Self::new(tls.into(), early.to_vec(), Role::Server).await
    }

    async fn new(tls: TlsStream<Base>, early: Vec<u8>, role: Role) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(match role {
                Role::Client => RECORD,
                Role::Server => LITTLE,
            })
            .write_buffer_size(0)
            .max_write_buffer_size(LONGEST)
            .max_message_size(Some(LONGEST))
            .max_frame_size(Some(LONGEST));
        Self {
            socket: WebSocketStream::from_partially_read(tls, early, role, Some(config)).await,
            unread: Bytes::new(),
            unsent: false,
            ended: false,
        }
    }

    pub(in crate::transport) fn peer(&self) -> io::Result<SocketAddr> {
        self.carrier().peer()
    }

    /// Asks what carries it.
    pub(in crate::transport) fn poll_hungry(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carrier().poll_hungry(cx)
    }

    /// Whether something that was taken must still be flushed.
    pub(in crate::transport) const fn wants_flush(&self) -> bool {
        self.unsent
    }

    fn carrier(&self) -> &Base {
        self.socket.get_ref().get_ref().0
    }

    /// One message; nothing older is waiting.
    fn send(&mut self, cx: &mut Context<'_>, message: Bytes) -> Poll<io::Result<usize>> {
        let length = message.len();
        // Behind a goodbye nobody listens.
        if length > 0 && !self.ended {
            let message = Message::Binary(message);
            ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(failed)?;
            Pin::new(&mut self.socket)
                .start_send(message)
                .map_err(failed)?;
            self.unsent = true;
            // What does not go out now waits for the next flush.
            if let Poll::Ready(done) = self.poll_sent(cx) {
                done?;
            }
        }
        Poll::Ready(Ok(length))
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent {
            ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(failed)?;
            self.unsent = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The next bytes, none at the end.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() && !self.ended {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)).transpose() {
                Ok(Some(Message::Binary(message))) => self.unread = message,
                // The library answers by itself when it is next read or flushed.
                Ok(Some(Message::Ping(_))) => self.unsent = true,
                Ok(Some(Message::Pong(_))) => {}
                Ok(Some(Message::Close(_))) => (self.ended, self.unsent) = (true, true),
                Ok(None) => self.ended = true,
                Ok(Some(Message::Text(_) | Message::Frame(_))) => {
                    self.ended = true;
                    return Poll::Ready(Err(invalid("text instead of sealed bytes")));
                }
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Err(failed(error)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let message = self.poll_message(cx);
        // Also the answer to a ping or a goodbye. An error comes again when something is written.
        let _told_later = self.poll_sent(cx);
        ready!(message)?;
        let n = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..n]);
        self.unread.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(cx))?;
        let message = Bytes::copy_from_slice(&bytes[..bytes.len().min(MESSAGE)]);
        self.send(cx, message)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(cx))?;
        let mut message = BytesMut::new();
        for slice in slices {
            let room = MESSAGE - message.len();
            message.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        self.send(cx, message.freeze())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(cx)
    }

    /// Says goodbye. Who does it second ends the TLS around it as well: by then nothing is expected any more.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        ready!(Pin::new(&mut self.socket).poll_close(cx)).map_err(failed)?;
        if self.ended {
            return Pin::new(self.socket.get_mut()).poll_shutdown(cx);
        }
        Poll::Ready(Ok(()))
    }
}

/// What a viewer asks with, and the only right answer to it.
pub(in crate::transport) fn challenge() -> (String, String) {
    let key = generate_key();
    let accept = derive_accept_key(key.as_bytes());
    (key, accept)
}

/// The answer to a viewer's key.
pub(in crate::transport) fn accept(key: &[u8]) -> String {
    derive_accept_key(key)
}

fn failed(error: Error) -> io::Error {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the rest is about what the other side has sent"
    )]
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        Error::Protocol(ProtocolError::SendAfterClosing) => io::ErrorKind::BrokenPipe.into(),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            io::ErrorKind::UnexpectedEof.into()
        }
        other => invalid(&other.to_string()),
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("WebSocket: {why}"))
}

/// A full TLS record with all that belongs to it, so that each is one message.
const MESSAGE: usize = RECORD + 256;
/// No message of ours is longer; a box in between may have put some together.
const LONGEST: usize = 64 * 1024;
/// A viewer says little.
const LITTLE: usize = 4 * 1024;
