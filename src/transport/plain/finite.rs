//! What comes down in pieces: each holds what came within 200 ms, and is kept until it must have arrived.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, DuplexStream, ReadHalf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::session::Session;
use super::{LEAST_ROOM, MOST_DOWN, PREAMBLE, ROOM, WINDOW};

/// The pieces of one session. The first, number 0, is the preamble.
#[derive(Debug)]
pub(super) struct Pieces {
    /// The last two, oldest first: of two requests under way either may have to be repeated.
    kept: Mutex<VecDeque<(u64, Bytes)>>,
    made: watch::Sender<Made>,
    asked: watch::Sender<Asked>,
}

/// Pieces below `below` are made; if `all`, there will be no more.
#[derive(Clone, Copy, Debug)]
struct Made {
    below: u64,
    all: bool,
}

/// So many requests wait, and none so far was for `below` or beyond.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    waiting: usize,
    below: u64,
}

impl Default for Pieces {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            made: watch::Sender::new(Made {
                below: 1,
                all: false,
            }),
            asked: watch::Sender::default(),
        }
    }
}

/// The answer to a request for a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// This is it.
    Made(Bytes),
    /// The end came before.
    End,
    /// Nobody asks for such a piece, except by mistake.
    Absurd,
}

impl Pieces {
    /// Waits for a piece.
    pub(super) async fn get(&self, number: u64, session: &Session) -> Piece {
        if number == 0 {
            self.asked
                .send_modify(|asked| asked.below = asked.below.max(1));
            return Piece::Made(Bytes::from_static(PREAMBLE));
        }
        if number >= self.made.borrow().below.saturating_add(WINDOW) {
            return Piece::Absurd;
        }
        let _waiting = Waiting::new(&self.asked, number);
        let mut made = self.made.subscribe();
        tokio::select! {
            biased;
            done = made.wait_for(|made| made.all || made.below > number) => drop(done),
            () = session.ended() => return Piece::End,
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(kept, _)| *kept == number);
        found.map_or(Piece::End, |(_, bytes)| Piece::Made(bytes.clone()))
    }

    /// Makes pieces as they are asked for, until the buffer's other end is closed.
    pub(super) async fn collect(&self, mut from: ReadHalf<DuplexStream>, session: &Session) {
        let mut asked = self.asked.subscribe();
        let mut number = 1;
        loop {
            // Not before: what is chosen late is newer.
            if asked.wait_for(|asked| asked.below > number).await.is_err() {
                return;
            }
            let Some(bytes) = gather(&mut from, session).await else {
                self.made.send_modify(|made| made.all = true);
                return;
            };
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= KEPT {
                kept.pop_front();
            }
            kept.push_back((number, bytes));
            drop(kept);
            number += 1;
            self.made.send_modify(|made| made.below = number);
        }
    }

    /// Waits until there has been no request for so long that there will be none.
    pub(super) async fn abandoned(&self) {
        let mut asked = self.asked.subscribe();
        loop {
            if asked.wait_for(|asked| asked.waiting == 0).await.is_err() {
                return;
            }
            let next = asked.wait_for(|asked| asked.waiting > 0);
            if timeout(ABANDONED, next).await.is_err() {
                return;
            }
        }
    }

    pub(super) fn clear(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clear();
    }
}

/// What comes within [`SPAN`] from the first byte on; nothing if nothing comes for long; `None` at the end.
///
/// As long as it is handshakes that are carried, both sides wait for each other, and a pause means that it is the
/// other's turn.
async fn gather(from: &mut ReadHalf<DuplexStream>, session: &Session) -> Option<Bytes> {
    let mut bytes = BytesMut::with_capacity(LEAST_ROOM);
    match timeout(HUSH, from.read_buf(&mut bytes)).await {
        Ok(Ok(1..)) => {}
        Ok(Ok(0) | Err(_)) => return None,
        Err(_) => return Some(Bytes::new()),
    }
    let until = Instant::now() + SPAN;
    while bytes.len() < MOST_DOWN {
        let patience = if session.is_established() {
            until
        } else {
            until.min(Instant::now() + PAUSE)
        };
        if bytes.capacity() - bytes.len() < LEAST_ROOM {
            bytes.reserve(ROOM);
        }
        let room = MOST_DOWN - bytes.len();
        let mut limited = (&mut bytes).limit(room);
        match timeout_at(patience, from.read_buf(&mut limited)).await {
            Ok(Ok(1..)) => {}
            // An end is found again with the next piece.
            Ok(Ok(0) | Err(_)) | Err(_) => break,
        }
    }
    Some(bytes.freeze())
}

/// A request that waits, counted until it does no longer.
struct Waiting<'a>(&'a watch::Sender<Asked>);

impl<'a> Waiting<'a> {
    fn new(asked: &'a watch::Sender<Asked>, number: u64) -> Self {
        asked.send_modify(|asked| {
            asked.waiting += 1;
            asked.below = asked.below.max(number.saturating_add(1));
        });
        Self(asked)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|asked| asked.waiting -= 1);
    }
}

const KEPT: usize = 2;
/// How much media a piece holds, in time.
const SPAN: Duration = Duration::from_millis(200);
/// A pause in a handshake.
const PAUSE: Duration = Duration::from_millis(5);
/// A request that is answered with nothing after so long is still in time for any box on the way.
const HUSH: Duration = Duration::from_secs(10);
/// Between an answer and the next request lie a round trip and what a box needs to look at the answer.
const ABANDONED: Duration = Duration::from_secs(10);
