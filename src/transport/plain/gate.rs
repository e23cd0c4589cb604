//! A long answer's next bytes are chosen when the kernel wants them, not when HTTP has room for them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Shut from when a piece was taken until the kernel is hungry again. Both sides of it live in the connection's task.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    shut: bool,
    waiting: Option<Waker>,
}

impl Gate {
    pub(super) fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.shut {
            state.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    pub(super) fn shut(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.shut = true;
    }

    fn is_shut(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.shut
    }

    fn open(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.shut = false;
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
    }
}

/// Says whether what carries a connection wants more.
pub(in crate::transport) type Hungry<S> = fn(&S, &mut Context<'_>) -> Poll<io::Result<()>>;

/// A connection that opens the gate when all that HTTP gave it has gone, and its carrier is hungry.
#[derive(Debug)]
pub(in crate::transport) struct Gated<S> {
    under: S,
    hungry: Hungry<S>,
    gate: Gate,
}

impl<S> Gated<S> {
    pub(super) const fn new(under: S, hungry: Hungry<S>, gate: Gate) -> Self {
        Self {
            under,
            hungry,
            gate,
        }
    }

    /// The connection itself.
    pub(in crate::transport) fn into_inner(self) -> S {
        self.under
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.under).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.under).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.under).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.under.is_write_vectored()
    }

    /// HTTP flushes whenever it has nothing to write, so this is where it is seen that a piece has gone.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.under).poll_flush(cx))?;
        if self.gate.is_shut()
            && let Poll::Ready(hungry) = (self.hungry)(&self.under, cx)
        {
            hungry?;
            self.gate.open();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.under).poll_shutdown(cx)
    }
}
