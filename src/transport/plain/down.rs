//! The long answer: what is in the buffer goes out at once.

use std::convert::Infallible;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame};
use tokio::io::{AsyncReadExt as _, DuplexStream, ReadHalf};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::gate::Gate;
use super::session::Session;
use super::{LEAST_ROOM, PREAMBLE, ROOM};

/// Ends with the session. Dropped before, since its reader has gone, it ends the session.
pub(in crate::transport) struct Down {
    session: Arc<Session>,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    from: ReadHalf<DuplexStream>,
    gate: Gate,
    room: BytesMut,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Preamble,
    Bytes,
    End,
}

impl Down {
    pub(super) fn new(session: Arc<Session>, from: ReadHalf<DuplexStream>, gate: Gate) -> Self {
        Self {
            over: Box::pin(session.when_ended()),
            session,
            from,
            gate,
            room: BytesMut::new(),
            stage: Stage::Preamble,
        }
    }
}

impl fmt::Debug for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Down")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl Body for Down {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        match this.stage {
            Stage::Preamble => {
                this.stage = Stage::Bytes;
                let preamble = Bytes::from_static(PREAMBLE);
                return Poll::Ready(Some(Ok(Frame::data(preamble))));
            }
            Stage::Bytes => {}
            Stage::End => return Poll::Ready(None),
        }
        if this.over.as_mut().poll(cx).is_ready() {
            this.stage = Stage::End;
            return Poll::Ready(None);
        }
        ready!(this.gate.poll_open(cx));
        if this.room.capacity() < LEAST_ROOM {
            this.room.reserve(ROOM);
        }
        let read = ready!(pin!(this.from.read_buf(&mut this.room)).poll(cx));
        // Of a buffer in memory nothing can go wrong.
        if read.unwrap_or(0) == 0 {
            this.stage = Stage::End;
            this.session.drained();
            return Poll::Ready(None);
        }
        this.gate.shut();
        let piece = this.room.split().freeze();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.stage == Stage::End
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        if self.stage != Stage::End {
            self.session.end();
        }
    }
}
