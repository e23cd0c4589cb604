//! All sessions of a server: found by their ids, and bounded as long as they have not shown that they are any good.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{DuplexStream, ReadHalf, duplex, split};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::query::Id;
use super::session::{Downward, Session};
use super::{Mode, ROOM};
use crate::transport::base::Base;
use crate::transport::door::Door;
use crate::transport::sealed::seal;
use crate::transport::{AcceptError, Kind, Link};

/// The sessions that come to a server inside plain HTTP, whichever of its ports they come to. A handle: clones are the
/// same table.
#[derive(Clone, Debug)]
pub struct Table(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rows: Mutex<Rows>,
    opened: mpsc::Sender<Opened>,
    /// Where each counts once more, since it has several connections, and may have them from several addresses.
    door: Door,
    /// One for each session, which ends with it.
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Rows {
    next: u64,
    sessions: HashMap<Id, (u64, Arc<Session>)>,
    /// The oldest first.
    half_open: BTreeMap<u64, Id>,
}

/// A session whose viewer has said something: in `end` he speaks TLS to the server's own key.
///
/// Whoever takes it must say within 10 seconds that it is [`established`](Standing::establish), or it ends. Dropping
/// `end` ends it too.
#[derive(Debug)]
pub struct Opened {
    /// What the viewer says and hears.
    pub end: DuplexStream,
    /// From where the first request came: the viewer, or the last box on his way.
    pub peer: SocketAddr,
    /// To say that he is one.
    pub standing: Standing,
}

impl Opened {
    /// Seals it with another TLS session, as `sealed` says, within `within` (10 s are usual).
    pub async fn seal(
        self,
        sealed: Arc<ServerConfig>,
        within: Duration,
    ) -> Result<Link, AcceptError> {
        let Self {
            end,
            peer,
            standing,
        } = self;
        let base = Base::inside(end, peer);
        let link = seal::server(base, Kind::Http, peer, sealed, within).await?;
        standing.establish();
        Ok(link)
    }
}

/// Until told otherwise a session is one of those that may have been begun by anybody.
#[derive(Debug)]
pub struct Standing {
    table: Table,
    number: u64,
    session: Arc<Session>,
}

impl Standing {
    /// The TLS inside stands, so the viewer is one: from now on the session lasts as long as both ends do.
    pub fn establish(self) {
        self.table.rows().half_open.remove(&self.number);
        self.session.establish();
    }
}

impl Table {
    /// A table, and where its sessions come out. When nobody takes them any more, none begins; nor when the door lets
    /// nobody in.
    pub fn new(door: Door) -> (Self, mpsc::Receiver<Opened>) {
        let (opened, taken) = mpsc::channel(MOST_OPENED);
        let shared = Shared {
            rows: Mutex::default(),
            opened,
            door,
            tasks: TaskTracker::new(),
        };
        (Self(Arc::new(shared)), taken)
    }

    /// Resolves when nothing is left to be said to anybody. Whoever takes sessions has to end first, so that none begins.
    pub async fn idle(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// The session of this id, if it lives.
    pub(super) fn find(&self, id: Id) -> Option<Arc<Session>> {
        let rows = self.rows();
        rows.sessions.get(&id).map(|(_, session)| session.clone())
    }

    /// Begins a session, whose oldest sibling gives way if too many are half open. `None` if the id is taken, or if there
    /// are too many from there.
    ///
    /// What comes down is the caller's to read if it comes down as one answer.
    pub(super) fn begin(
        &self,
        id: Id,
        mode: Mode,
        peer: SocketAddr,
    ) -> Option<(Arc<Session>, Option<ReadHalf<DuplexStream>>)> {
        if self.0.opened.is_closed() {
            return None;
        }
        let seat = self.0.door.session(peer.ip())?;
        let mut rows = self.rows();
        let number = rows.next;
        let Entry::Vacant(row) = rows.sessions.entry(id) else {
            return None;
        };
        let session = Arc::new(Session::new(mode));
        row.insert((number, Arc::clone(&session)));
        rows.next += 1;
        rows.half_open.insert(number, id);
        if rows.half_open.len() > MOST_HALF_OPEN
            && let Some((oldest, id)) = rows.half_open.pop_first()
            && let Some(session) = rows.remove(id, oldest)
        {
            session.end();
        }
        drop(rows);
        let (end, near) = duplex(ROOM);
        let (from, to) = split(near);
        let standing = Standing {
            table: self.clone(),
            number,
            session: Arc::clone(&session),
        };
        let opened = Opened {
            end,
            peer,
            standing,
        };
        let (down, theirs) = match mode {
            Mode::Streamed => (Downward::Streamed, Some(from)),
            Mode::Finite => (Downward::Finite(from), None),
        };
        let run = Arc::clone(&session).run(to, down, opened, self.0.opened.clone());
        let table = self.clone();
        self.0.tasks.spawn(async move {
            run.await;
            drop(seat);
            let mut rows = table.rows();
            rows.half_open.remove(&number);
            rows.remove(id, number);
        });
        Some((session, theirs))
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.rows().sessions.len()
    }

    #[cfg(test)]
    pub(super) fn tasks(&self) -> usize {
        self.0.tasks.len()
    }
}

impl Rows {
    /// Unless another session has the id by now.
    fn remove(&mut self, id: Id, number: u64) -> Option<Arc<Session>> {
        match self.sessions.entry(id) {
            Entry::Occupied(row) if row.get().0 == number => Some(row.remove().1),
            Entry::Occupied(_) | Entry::Vacant(_) => None,
        }
    }
}

/// Sessions of which it is not known whether a viewer is behind them. An honest one is so for a few round trips.
pub(super) const MOST_HALF_OPEN: usize = 1024;
/// Sessions that wait for being taken: whoever takes them has only to start a task for each.
const MOST_OPENED: usize = 64;
