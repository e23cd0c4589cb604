//! How a TCP socket is set up, on both sides.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What the kernel may hold of ours that it has not sent: one chunk, so that what is sent is chosen at the last moment.
pub(super) const UNSENT: u32 = 16 * 1024;

/// Makes a connected socket send at once, hold little, and notice when the other side has gone.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE);
    #[cfg(not(target_os = "openbsd"))]
    let keepalive = keepalive.with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        socket.set_tcp_notsent_lowat(UNSENT)?;
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    }
    Ok(())
}

/// Waits until the kernel wants more: until it holds little that it has not sent.
///
/// A write alone does not tell: the kernel goes on adding to the packet that it has begun, up to 64 KiB, however much
/// is unsent. Only asked whether the socket is writable it says what `TCP_NOTSENT_LOWAT` means: less than half of that.
pub(super) fn poll_hungry(stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        // Inside `try_io`, so that tokio forgets that the socket was ready once, unless it has become so again.
        match stream.try_io(Interest::WRITABLE, || if_hungry(stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

#[cfg(target_os = "linux")]
fn if_hungry(stream: &TcpStream) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&at_once)) {
        Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
        // Ready, or in a state of which the write will tell.
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn if_hungry(_: &TcpStream) -> io::Result<()> {
    Ok(())
}

/// A session says something far more often; this is for sockets on which nobody speaks any more.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long bytes may stay unacknowledged, or a viewer may not read at all, before the kernel gives the socket up.
#[cfg(any(target_os = "linux", target_os = "android"))]
const USER_TIMEOUT: Duration = Duration::from_secs(30);
