//! What goes up: whatever there is at once, in numbered requests, four of which may be under way: each waits a round trip
//! for its answer, and who has to wait for one of two could not say for half of that what has come.
//!
//! A few bytes, which is what a viewer mostly says, go in a GET. Some boxes make a connection of their own to the server
//! for each POST, which takes them two round trips more, since it could not be sent again if an old one turned out to be
//! dead. Whoever does not take such a GET is sent POSTs alone.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, DuplexStream, ReadHalf};
use tokio::sync::{Mutex, watch};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::{Asking, Error, Lane, Pulse, Stream};
use crate::transport::plain::query::Asked;
use crate::transport::plain::{LEAST_ROOM, MOST_UP, MOST_WORD, ROOM};

/// Where all lanes take from.
#[derive(Debug)]
pub(super) struct Ups {
    source: Mutex<Source>,
    /// GETs do not get through.
    posts: AtomicBool,
    /// The server knows of the session.
    begun: watch::Sender<bool>,
}

#[derive(Debug)]
struct Source {
    from: ReadHalf<DuplexStream>,
    room: BytesMut,
    next: u64,
    ended: bool,
}

impl Ups {
    pub(super) fn new(from: ReadHalf<DuplexStream>) -> Self {
        Self {
            source: Mutex::new(Source {
                from,
                room: BytesMut::new(),
                next: 0,
                ended: false,
            }),
            posts: AtomicBool::new(false),
            begun: watch::Sender::new(false),
        }
    }

    /// What there is at once, which has number 0: it may go with the request that begins the session.
    pub(super) async fn first(&self) -> Option<Bytes> {
        let first = async { self.source.lock().await.next().await };
        let first = timeout(AT_ONCE, first).await;
        first.ok().map(|(_, bytes)| bytes)
    }

    /// The server knows of the session, so the rest may go.
    pub(super) fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// Carries, once the session has begun, until there is nothing more to carry, and the server knows that.
    pub(super) async fn carry<O, F, S, E>(
        &self,
        open: &O,
        asking: &Asking,
        pulse: &Pulse,
    ) -> Result<(), Error<E>>
    where
        O: Fn() -> F,
        F: Future<Output = Result<S, E>>,
        S: Stream,
    {
        let another = |after| async move {
            sleep(after).await;
            let mut lane = Lane::new(open);
            if lane.open().await.is_err() {
                // One is enough, where no more are allowed.
                pending().await
            }
            self.lane(lane, asking, pulse).await
        };
        let first = async {
            let mut lane = Lane::new(open);
            lane.open().await?;
            self.lane(lane, asking, pulse).await
        };
        tokio::select! {
            done = first => done,
            done = another(Duration::ZERO) => done,
            done = another(LATER) => done,
            done = another(LATER) => done,
        }
    }

    async fn lane<O, F, S, E>(
        &self,
        mut lane: Lane<'_, O>,
        asking: &Asking,
        pulse: &Pulse,
    ) -> Result<(), Error<E>>
    where
        O: Fn() -> F,
        F: Future<Output = Result<S, E>>,
        S: Stream,
    {
        let mut begun = self.begun.subscribe();
        // The sender is ours as well.
        let _ = lane.meanwhile(begun.wait_for(|begun| *begun)).await;
        loop {
            let next = async { self.source.lock().await.next().await };
            let (number, bytes) = lane.meanwhile(next).await;
            let last = bytes.is_empty();
            let mark = pulse.mark();
            let answer = self.say(&mut lane, asking, number, bytes).await?;
            pulse.heard(mark);
            if answer.is_none() || last {
                return Ok(());
            }
        }
    }
}

impl Ups {
    /// Has the server take these bytes.
    pub(super) async fn say<O, F, S, E>(
        &self,
        lane: &mut Lane<'_, O>,
        asking: &Asking,
        number: u64,
        bytes: Bytes,
    ) -> Result<Option<Bytes>, Error<E>>
    where
        O: Fn() -> F,
        F: Future<Output = Result<S, E>>,
        S: Stream,
    {
        let few = (1..=MOST_WORD).contains(&bytes.len());
        if few && !self.posts.load(Ordering::Relaxed) {
            let asked = lane.exchange(asking, Asked::Word(number), bytes.clone(), MOST_ANSWER);
            match asked.await {
                Err(Error::Refused { .. } | Error::Cut(_)) => {
                    tracing::debug!("what goes up inside HTTP goes in POSTs alone from here on");
                    self.posts.store(true, Ordering::Relaxed);
                }
                done => return done,
            }
        }
        let asked = lane.exchange(asking, Asked::Up(number), bytes, MOST_ANSWER);
        asked.await
    }
}

impl Source {
    /// What there is at once, as soon as there is anything, and its number. Empty at the end, once.
    async fn next(&mut self) -> (u64, Bytes) {
        if self.ended {
            // Another lane says so, and is answered when all is taken.
            pending::<()>().await;
        }
        let mut read = self.read().await;
        self.ended = read == 0;
        // Full as it was, its writer has more.
        while read == ROOM && self.room.len() + ROOM <= MOST_UP {
            yield_now().await;
            let more = pin!(self.read());
            let Some(n) = at_once(more).await else { break };
            read = n;
        }
        let number = self.next;
        self.next += 1;
        (number, self.room.split().freeze())
    }

    /// Appends at most [`ROOM`] bytes, which is what the buffer holds.
    async fn read(&mut self) -> usize {
        if self.room.capacity() - self.room.len() < LEAST_ROOM {
            self.room.reserve(ROOM);
        }
        // Of a buffer in memory nothing can go wrong.
        self.from.read_buf(&mut self.room).await.unwrap_or(0)
    }
}

/// What `work` gives without waiting.
async fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// What is written as soon as it can be is there by then.
const AT_ONCE: Duration = Duration::from_millis(20);
/// The first picture need not wait until connections stand that only what comes behind it needs.
const LATER: Duration = Duration::from_millis(500);
/// An answer to a POST says nothing; a page instead of one may.
const MOST_ANSWER: usize = 64 * 1024;
