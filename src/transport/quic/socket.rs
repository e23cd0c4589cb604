//! A viewer's UDP socket, which hears what quinn does not want to know: that nobody is there.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use socket2::{Domain, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::watch;

/// Bound to one server: only then does the system hand on what comes back by ICMP.
#[derive(Debug)]
pub(in crate::transport) struct Socket {
    udp: UdpSocket,
    state: UdpSocketState,
    ear: Arc<Ear>,
}

impl Socket {
    pub(in crate::transport) fn new(to: SocketAddr, ear: Arc<Ear>) -> io::Result<Self> {
        let any = match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = socket2::Socket::new(
            Domain::for_address(to),
            Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )?;
        socket.set_nonblocking(true)?;
        socket.bind(&any.into())?;
        // Elsewhere a connected socket must not be told where to send to, and quinn always says it. (Windows reports a
        // refusal on an unconnected socket as well.)
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.connect(&to.into())?;
        let udp = UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new((&udp).into())?;
        Ok(Self { udp, state, ear })
    }

    /// Listens for what comes by ICMP, for as long as it is polled. Waiting for packets alone would not do: an error
    /// does not make the socket readable, so it would be found only when the next packet is sent.
    pub(in crate::transport) async fn errors(&self) -> io::Error {
        loop {
            let done = self.udp.async_io(Interest::ERROR, || {
                let error = self.udp.take_error()?;
                error.ok_or_else(|| io::ErrorKind::WouldBlock.into())
            });
            match done.await {
                Ok(error) => self.ear.failed(&error),
                Err(error) => return error,
            }
        }
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.udp.try_io(Interest::WRITABLE, || {
            self.state.try_send((&self.udp).into(), transmit)
        });
        match sent {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                // For quinn it is lost like any other packet: a network may come back.
                self.ear.failed(&error);
                Ok(())
            }
            done => done,
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.udp.poll_recv_ready(cx))?;
            let received = self.udp.try_io(Interest::READABLE, || {
                self.state.recv((&self.udp).into(), bufs, meta)
            });
            match received {
                Ok(n) => {
                    self.ear.heard();
                    return Poll::Ready(Ok(n));
                }
                // With such an error quinn would give the socket up.
                Err(error) => self.ear.failed(&error),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// There is one connection over the socket, so one that waits.
#[derive(Debug)]
struct Poller(Arc<Socket>);

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.udp.poll_send_ready(cx)
    }
}

/// What has been heard of a server, before its connection stands.
pub(in crate::transport) struct Ear {
    heard: AtomicBool,
    refused: watch::Sender<Option<io::ErrorKind>>,
    told: Box<dyn Fn(Heard) + Send + Sync>,
}

/// News of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Heard {
    /// It has said something.
    Answer,
    /// It, or something on the way to it, has refused.
    Refusal,
}

impl Ear {
    /// `told` is called once for each that is heard, from wherever it is heard.
    pub(in crate::transport) fn new(told: impl Fn(Heard) + Send + Sync + 'static) -> Self {
        Self {
            heard: AtomicBool::new(false),
            refused: watch::Sender::new(None),
            told: Box::new(told),
        }
    }

    pub(in crate::transport) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Waits until the server is known to be out of reach, which is nothing once it has said something.
    pub(in crate::transport) async fn refused(&self) -> io::ErrorKind {
        let mut refused = self.refused.subscribe();
        loop {
            if let Some(kind) = *refused.borrow_and_update() {
                return kind;
            }
            // The sender is our own.
            let _ = refused.changed().await;
        }
    }

    fn heard(&self) {
        if !self.heard.load(Ordering::Relaxed) && !self.heard.swap(true, Ordering::Relaxed) {
            (self.told)(Heard::Answer);
        }
    }

    /// Takes note of an error of the socket.
    pub(in crate::transport) fn failed(&self, error: &io::Error) {
        // Anybody can send ICMP; once the server has answered it is to be believed instead.
        if self.has_heard() || !is_refusal(error.kind()) {
            return;
        }
        let first = self.refused.send_if_modified(|refused| {
            let first = refused.is_none();
            refused.get_or_insert(error.kind());
            first
        });
        if first {
            (self.told)(Heard::Refusal);
        }
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ear")
            .field("heard", &self.heard)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

/// Does it mean that there is no way to the server? Not so a packet that is too long, which is how a size is probed.
const fn is_refusal(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionRefused    // ICMP: port unreachable
            | io::ErrorKind::ConnectionReset // the same in the words of Windows
            | io::ErrorKind::HostUnreachable // ICMP: prohibited
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::PermissionDenied // our own firewall
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_refusal_is_heard_without_another_packet() {
        let gone = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let destination = gone.local_addr().unwrap();
        drop(gone);
        let (tell, told) = std::sync::mpsc::channel();
        let ear = Arc::new(Ear::new(move |heard| tell.send(heard).unwrap()));
        let socket = Socket::new(destination, Arc::clone(&ear)).unwrap();
        socket.udp.writable().await.unwrap();
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: b"anybody?",
            segment_size: None,
            src_ip: None,
        };
        socket.try_send(&transmit).unwrap();
        tokio::select! {
            kind = ear.refused() => assert_eq!(kind, io::ErrorKind::ConnectionRefused),
            error = socket.errors() => panic!("{error}"),
        }
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Heard::Refusal]);
        assert!(!ear.has_heard());
    }

    #[test]
    fn a_packet_that_is_too_long_is_no_refusal() {
        let ear = Ear::new(|heard| panic!("{heard:?}"));
        ear.failed(&io::Error::from_raw_os_error(90)); // EMSGSIZE
        ear.failed(&io::ErrorKind::WouldBlock.into());
    }
}
