//! Frames, each on a stream of its own, of which only the newest matters.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, OpenUni, RecvStream, SendStream};

use super::SUPERSEDED;

/// The frame that is being sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// For which no stream has been opened yet.
    next: Option<[Bytes; 2]>,
    writing: Option<Writing>,
    /// Of the last frame. It only has to differ among the few that are unfinished.
    priority: i32,
}

#[derive(Debug)]
struct Writing {
    stream: SendStream,
    parts: [Bytes; 2],
}

impl Outbox {
    /// Takes a frame, and gives up the one before unless quinn has all of it.
    pub(super) fn put(&mut self, frame: [Bytes; 2]) {
        if let Some(mut old) = self.writing.take() {
            // It may have been reset by the other side already.
            let _ = old.stream.reset(SUPERSEDED);
        }
        self.next = Some(frame);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.next.is_none() && self.writing.is_none()
    }

    /// Writes; ready once all of a frame is written, or once the other side does not want the rest.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut open: Pin<&mut OpenUni<'_>>,
        window: &mut Window,
        connection: &Connection,
    ) -> Poll<()> {
        loop {
            if let Some(Writing { stream, parts }) = &mut self.writing {
                if parts.iter().any(|part| !part.is_empty()) {
                    window.open(connection, FRAME_AHEAD);
                    let written = ready!(pin!(stream.write_chunks(parts)).poll(cx));
                    if written.is_ok() {
                        continue;
                    }
                } else {
                    // Fails where the other side has stopped it, which is as good an end.
                    let _ = stream.finish();
                }
                self.writing = None;
                return Poll::Ready(());
            }
            if self.next.is_none() {
                return Poll::Pending;
            }
            let Ok(stream) = ready!(open.as_mut().poll(cx)) else {
                // The connection has ended, of which the other stream tells.
                return Poll::Pending;
            };
            self.priority = (self.priority + 1) % CONTROL_PRIORITY;
            let _ = stream.set_priority(self.priority);
            self.writing = self.next.take().map(|parts| Writing { stream, parts });
        }
    }
}

/// How much quinn may hold that has not arrived. By default it takes megabytes, sent or not: then what is sent would
/// not be chosen at the last moment, and a frame that is out of date could not be given up.
#[derive(Debug, Default)]
pub(super) struct Window(u64);

impl Window {
    /// Lets quinn hold what the network carries at the moment, and so many bytes more.
    pub(super) fn open(&mut self, connection: &Connection, ahead: u64) {
        let window = connection.stats().path.cwnd.saturating_add(ahead);
        if self.0 != window {
            self.0 = window;
            connection.set_send_window(window);
        }
    }
}

/// The frames that are coming in, from the oldest to the newest.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    arriving: VecDeque<Arriving>,
    /// The newest that has come.
    newest: Option<u64>,
}

#[derive(Debug)]
struct Arriving {
    stream: RecvStream,
    bytes: BytesMut,
}

impl Inbox {
    /// Takes a stream that the other side has opened. Streams come in the order in which they were opened; one that is
    /// dropped is stopped, so that nothing more of it is sent.
    pub(super) fn put(&mut self, stream: RecvStream) {
        if self.newest > Some(stream.id().index()) {
            return;
        }
        self.arriving.push_back(Arriving {
            stream,
            bytes: BytesMut::new(),
        });
        if self.arriving.len() > MOST_ARRIVING {
            self.arriving.pop_front();
        }
    }

    /// Reads; ready once all of a frame is there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let mut chunks = 0;
        // From the newest on, since it makes the others superfluous.
        for at in (0..self.arriving.len()).rev() {
            while let Some(Arriving { stream, bytes }) = self.arriving.get_mut(at) {
                let Poll::Ready(read) = pin!(stream.read_chunk(CHUNK, true)).poll(cx) else {
                    break;
                };
                match read {
                    Ok(Some(chunk)) if bytes.len() + chunk.bytes.len() <= MOST_FRAME => {
                        bytes.extend_from_slice(&chunk.bytes);
                    }
                    Ok(None) => {
                        self.newest = Some(stream.id().index());
                        let frame = std::mem::take(bytes).freeze();
                        self.arriving.drain(..=at);
                        return Poll::Ready(frame);
                    }
                    // Too long, given up by the other side, or lost with the connection.
                    Ok(Some(_)) | Err(_) => {
                        self.arriving.remove(at);
                        break;
                    }
                }
                chunks += 1;
                if chunks == MOST_CHUNKS {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        Poll::Pending
    }
}

/// The most frames that are kept unfinished. When another comes, the oldest is given up.
pub(super) const MOST_ARRIVING: usize = 4;
/// The most bytes of a frame: a picture of 16 MiB, and what is said about it.
const MOST_FRAME: usize = 16 * 1024 * 1024 + 64 * 1024;
/// Read at a time, and how often before somebody else has his turn.
const CHUNK: usize = 64 * 1024;
const MOST_CHUNKS: usize = 256;

/// Above that of every frame.
pub(super) const CONTROL_PRIORITY: i32 = i32::MAX;
/// What quinn holds of frames beyond what is on its way, so that there is always a packet to send.
const FRAME_AHEAD: u64 = 32 * 1024;
