//! One session at the server: POSTs put in order into the buffer, and what comes out of it given to GETs.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::finite::Pieces;
use super::table::Opened;
use super::{LINGER, Mode, WINDOW};

/// What the requests of a session share with its task.
#[derive(Debug)]
pub(super) struct Session {
    up: Mutex<Up>,
    /// A POST has put something into `up`.
    came: Notify,
    /// All POSTs below this number are in the buffer.
    taken: watch::Sender<u64>,
    /// Where what comes down comes down in pieces.
    pieces: Option<Pieces>,
    /// The long answer has come to its end.
    drained: Notify,
    established: watch::Sender<bool>,
    over: CancellationToken,
}

/// At most [`WINDOW`] POSTs, from the number on whose turn it is.
#[derive(Debug, Default)]
struct Up {
    next: u64,
    waiting: BTreeMap<u64, Bytes>,
}

/// Who reads the buffer.
#[derive(Debug)]
pub(super) enum Downward {
    /// The long answer.
    Streamed,
    /// The session's task.
    Finite(ReadHalf<DuplexStream>),
}

impl Session {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            up: Mutex::default(),
            came: Notify::new(),
            taken: watch::Sender::new(0),
            pieces: match mode {
                Mode::Streamed => None,
                Mode::Finite => Some(Pieces::default()),
            },
            drained: Notify::new(),
            established: watch::Sender::new(false),
            over: CancellationToken::new(),
        }
    }

    /// Lives until either end has gone. `opened` is handed on with the first POST.
    pub(super) async fn run(
        self: Arc<Self>,
        to: WriteHalf<DuplexStream>,
        down: Downward,
        opened: Opened,
        table: mpsc::Sender<Opened>,
    ) {
        let live = async {
            if timeout(FIRST_POST, self.next_up()).await.is_err() {
                return;
            }
            if let Err(error) = table.try_send(opened) {
                tracing::debug!(%error, "a session inside HTTP is not taken");
                return;
            }
            let mut ups = pin!(self.fill(to));
            let mut downs = pin!(self.drain(down));
            // What is left of the other direction; whoever wants more has gone.
            let _cut = tokio::select! {
                _ = &mut ups => timeout(LINGER, downs).await.map(drop),
                () = &mut downs => timeout(LINGER, ups).await.map(drop),
            };
        };
        tokio::select! {
            () = self.over.cancelled() => {}
            () = live => {}
            () = self.stays_unknown(&table) => {}
            () = self.abandoned() => {}
        }
        self.end();
        // Requests may hold on to the session a little longer, but not to what it held.
        let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        up.waiting.clear();
        if let Some(pieces) = &self.pieces {
            pieces.clear();
        }
    }

    /// Ends it, whatever it is doing.
    pub(super) fn end(&self) {
        self.over.cancel();
    }

    pub(super) async fn ended(&self) {
        self.over.cancelled().await;
    }

    pub(super) fn when_ended(&self) -> WaitForCancellationFutureOwned {
        self.over.clone().cancelled_owned()
    }

    pub(super) fn establish(&self) {
        self.established.send_replace(true);
    }

    /// Whether a viewer is behind it, and it lives.
    pub(super) fn is_established(&self) -> bool {
        *self.established.borrow() && !self.over.is_cancelled()
    }

    /// Waits until a viewer is behind it.
    pub(super) async fn established(&self) {
        let mut established = self.established.subscribe();
        if established.wait_for(|is| *is).await.is_err() {
            pending().await
        }
    }

    pub(super) const fn pieces(&self) -> Option<&Pieces> {
        self.pieces.as_ref()
    }

    /// The long answer has given all that was in the buffer, and the other end of that is closed.
    pub(super) fn drained(&self) {
        self.drained.notify_one();
    }

    /// May a POST of this number come, again or for the first time?
    pub(super) fn expects(&self, number: u64) -> bool {
        let up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        number < up.next.saturating_add(WINDOW)
    }

    /// Takes what a POST brought, unless one of the same number has brought it already.
    pub(super) fn offer(&self, number: u64, bytes: Bytes) {
        let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        if number >= up.next && number - up.next < WINDOW && !self.over.is_cancelled() {
            up.waiting.entry(number).or_insert(bytes);
            self.came.notify_one();
        }
    }

    /// Waits until the POST of this number is in the buffer; `false` if the session ends before.
    pub(super) async fn taken(&self, number: u64) -> bool {
        let mut taken = self.taken.subscribe();
        tokio::select! {
            biased;
            done = taken.wait_for(|taken| *taken > number) => done.is_ok(),
            () = self.over.cancelled() => false,
        }
    }

    /// What the POST brought whose turn it is. It stays where it is.
    async fn next_up(&self) -> Bytes {
        loop {
            {
                let up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(bytes) = up.waiting.get(&up.next) {
                    return bytes.clone();
                }
            }
            self.came.notified().await;
        }
    }

    /// Writes POSTs into the buffer until an empty one says that it was the last.
    async fn fill(&self, mut to: WriteHalf<DuplexStream>) -> io::Result<()> {
        loop {
            let bytes = self.next_up().await;
            if bytes.is_empty() {
                to.shutdown().await?;
            } else {
                to.write_all(&bytes).await?;
            }
            let next = {
                let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
                let done = up.next;
                up.waiting.remove(&done);
                up.next += 1;
                up.next
            };
            self.taken.send_replace(next);
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    async fn drain(&self, down: Downward) {
        match (down, &self.pieces) {
            (Downward::Finite(from), Some(pieces)) => pieces.collect(from, self).await,
            (Downward::Streamed | Downward::Finite(_), _) => self.drained.notified().await,
        }
    }

    /// Nobody has said in time that a viewer is behind it, or nobody is there any more who could.
    async fn stays_unknown(&self, table: &mpsc::Sender<Opened>) {
        tokio::select! {
            () = self.established() => pending().await,
            () = sleep(ESTABLISH) => {}
            () = table.closed() => {}
        }
    }

    /// Nobody asks for pieces any more. The long answer notices by itself when its reader goes.
    async fn abandoned(&self) {
        match &self.pieces {
            Some(pieces) => pieces.abandoned().await,
            None => pending().await,
        }
    }
}

/// From the GET to the first POST.
const FIRST_POST: Duration = Duration::from_secs(10);
/// From the GET until the TLS inside stands.
const ESTABLISH: Duration = Duration::from_secs(20);
