//! Streams that others publish: who may fill which, and the tasks that take what they send.
//!
//! A stream belongs to whoever publishes it. When he is gone it stays for a while, with its last picture, so that its
//! viewers see that he is gone and go on when he is back.

mod assemble;
mod below;
mod captures;
mod filling;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod levels;
mod order;
mod pair;
mod receiver;
mod side;
mod thrift;
mod times;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, info_span};

#[cfg(fuzzing)]
pub use self::fuzz::fuzz_relay;
use self::levels::Turns;
use self::receiver::Receiver;
use super::gate::{Gate, Pass};
use super::{Notices, pictures};
use crate::drive::Lane;
use crate::hub::{Hub, Stream};
use crate::media::{Level, TokenId, Tracks};
use crate::timeline::Limits;
use crate::transport::{Kind, door::Seat};
use crate::wire::{CloseCode, PublishInfo, PublisherKey};

/// All streams that are published to this server.
#[derive(Debug)]
pub(super) struct Relays {
    hub: Arc<Hub>,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// How many there may be.
    most: usize,
    settings: Settings,
    tasks: TaskTracker,
}

/// What every relayed stream has from the server.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) pictures: pictures::Settings,
    pub(super) limits: Limits,
    /// How long a publisher goes on after the last viewer has gone.
    pub(super) linger: Duration,
    pub(super) notices: Notices,
    pub(super) gate: Arc<Gate>,
    pub(super) stop: CancellationToken,
    turns: Arc<Turns>,
}

#[derive(Debug)]
struct Entry {
    stream: Arc<Stream>,
    /// Who publishes it, or did.
    key: PublisherKey,
    token: Option<TokenId>,
    /// Counts publishers.
    publisher: u64,
    links: mpsc::Sender<Arrival>,
    presence: Arc<Mutex<Presence>>,
}

/// Whether a publisher is there.
#[derive(Clone, Copy, Debug)]
struct Presence {
    links: usize,
    /// When he said something last, or left.
    heard: Instant,
    /// When he was let in, until his link is there.
    expected: Option<Instant>,
}

/// A publisher's link that has turned.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) lane: Lane,
    pub(super) kind: Kind,
    pub(super) addr: SocketAddr,
    /// Which publisher's.
    pub(super) publisher: u64,
    /// It is for this level below the best alone.
    pub(super) level: Option<Level>,
    /// By what right he publishes.
    pub(super) pass: Pass,
    pub(super) rights: Rights,
}

/// What counts a link, and its connection where it has one of its own, as long as it is kept.
pub(super) type Rights = (Option<OwnedSemaphorePermit>, Option<Arc<Seat>>);

/// The right to publish.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) publisher: u64,
    pub(super) level: Option<Level>,
    pub(super) links: mpsc::Sender<Arrival>,
}

/// A publisher, as `--json` tells it.
#[derive(Clone, Debug, Serialize)]
pub struct Publisher {
    /// The stream's name.
    pub name: String,
    /// Where it is.
    pub addr: SocketAddr,
    /// How its picture comes.
    pub transport: &'static str,
    /// `publishing` or `left`.
    pub state: &'static str,
    /// Why it left.
    pub reason: Option<String>,
}

impl std::fmt::Display for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            addr,
            transport,
            ..
        } = self;
        match &self.reason {
            None => write!(f, "stream {name} is published from {addr} over {transport}"),
            Some(why) => write!(f, "the publisher of stream {name} is gone: {why}"),
        }
    }
}

impl Settings {
    pub(super) fn new(
        pictures: pictures::Settings,
        (limits, linger): (Limits, Duration),
        notices: Notices,
        (gate, stop): (Arc<Gate>, CancellationToken),
    ) -> Self {
        Self {
            pictures,
            limits: Limits {
                // Of many streams each has less.
                bytes: limits.bytes / SHARE,
                ..limits
            },
            linger,
            notices,
            gate,
            stop,
            turns: Arc::new(Turns::of_this_machine()),
        }
    }
}

impl Relays {
    /// None yet, and never more than `most` at once.
    pub(super) fn new(hub: Arc<Hub>, most: usize, settings: Settings, tasks: TaskTracker) -> Self {
        Self {
            hub,
            entries: Mutex::default(),
            most,
            settings,
            tasks,
        }
    }

    /// Somebody wants to publish; whether he may, as far as names go.
    ///
    /// # Errors
    /// Why not, for programs and for people.
    pub(super) fn knock(
        self: &Arc<Self>,
        info: &PublishInfo,
        token: Option<TokenId>,
        now: Instant,
    ) -> Result<Ticket, (CloseCode, String)> {
        let name = info.stream.as_str();
        let tracks = Tracks {
            video: info.video,
            audio: info.audio,
        };
        if !tracks.video && !tracks.audio {
            let words = "neither a picture nor sound is to be published".to_owned();
            return Err((CloseCode::Misbehaved, words));
        }
        let mut entries = self.entries();
        if let Some(level) = info.level {
            let level = level.level().ok_or_else(|| {
                let words = "this server knows no such level of a picture".to_owned();
                (CloseCode::Incompatible, words)
            })?;
            return entries
                .get(name)
                .and_then(|entry| entry.beside(info, token, level))
                .ok_or_else(|| {
                    let words = format!("nobody publishes '{name}' with that key now");
                    (CloseCode::NoSuchStream, words)
                });
        }
        if let Some(entry) = entries.get_mut(name) {
            let (had, said) = (entry.key.as_bytes(), info.key.as_bytes());
            if verify_slices_are_equal(had, said).is_err() {
                entry.is_free_for(info, token, now)?;
                (entry.key, entry.token) = (info.key.clone(), token);
                entry.publisher += 1;
            }
            if entry.stream.tracks() == tracks {
                entry.presence().expected = Some(now);
                return Ok(entry.ticket());
            }
            // Whoever watches what there was cannot be given something else under way.
            let publisher = entry.publisher + 1;
            let entry = self.begin(info, tracks, token, publisher, now);
            let ticket = entry.ticket();
            if let Some(old) = entries.insert(name.to_owned(), entry) {
                self.hub.insert(Arc::clone(&entries[name].stream));
                drop(old);
            }
            return Ok(ticket);
        }
        if self.hub.stream(name).is_some() {
            return Err(taken(name, "it is the server's own"));
        }
        if entries.len() >= self.most && !self.make_room(&mut entries, now) {
            let words = format!(
                "as many streams are published as --max-streams allows: {}",
                self.most
            );
            return Err((CloseCode::Busy, words));
        }
        let entry = self.begin(info, tracks, token, 1, now);
        self.hub.insert(Arc::clone(&entry.stream));
        let ticket = entry.ticket();
        entries.insert(name.to_owned(), entry);
        Ok(ticket)
    }

    /// A stream and the task that fills it.
    fn begin(
        self: &Arc<Self>,
        info: &PublishInfo,
        tracks: Tracks,
        token: Option<TokenId>,
        publisher: u64,
        now: Instant,
    ) -> Entry {
        let name = info.stream.as_str();
        let stream = Stream::new(name, tracks, self.settings.limits);
        let (links, arrivals) = mpsc::channel(ARRIVALS);
        let presence = Arc::new(Mutex::new(Presence {
            links: 0,
            heard: now,
            expected: Some(now),
        }));
        let receiver = Receiver::new(
            (info.stream.clone(), Arc::clone(&stream)),
            arrivals,
            Arc::clone(&presence),
            self.settings.clone(),
            now,
        );
        let (relays, mine) = (Arc::clone(self), Arc::clone(&stream));
        let follower = super::follow(
            Arc::clone(&stream),
            self.settings.notices.clone(),
            self.settings.stop.child_token(),
        );
        let work = async move {
            let _forgotten = Forgotten(relays, mine);
            // It ends when the server stops, while goodbyes are yet to be said.
            let follower = async {
                follower.await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = receiver.run() => {}
                () = follower => {}
            }
        };
        self.tasks.spawn(work.instrument(info_span!("relay", name)));
        Entry {
            stream,
            key: info.key.clone(),
            token,
            publisher,
            links,
            presence,
        }
    }

    /// Forgets a stream whose publisher left longest ago and that nobody watches.
    fn make_room(&self, entries: &mut BTreeMap<String, Entry>, now: Instant) -> bool {
        let idle = entries.values().filter(|entry| {
            let presence = *entry.presence();
            presence.links == 0
                && !presence.is_expected(now)
                && *entry.stream.viewers().borrow() == 0
        });
        let oldest = idle.min_by_key(|entry| entry.presence().heard);
        let Some(name) = oldest.map(|entry| entry.stream.name().to_owned()) else {
            return false;
        };
        if let Some(entry) = entries.remove(&name) {
            self.hub.remove(&entry.stream);
        }
        true
    }

    /// The task of this stream has ended.
    fn forget(&self, stream: &Arc<Stream>) {
        self.hub.remove(stream);
        let mut entries = self.entries();
        if entries
            .get(stream.name())
            .is_some_and(|entry| Arc::ptr_eq(&entry.stream, stream))
        {
            entries.remove(stream.name());
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// Whether he was let in a moment ago, and his link has yet to turn.
    fn is_expected(&self, now: Instant) -> bool {
        self.expected.is_some_and(|at| is_lately(at, now))
    }
}

/// The task of this stream has ended when this is dropped, however that comes.
struct Forgotten(Arc<Relays>, Arc<Stream>);

impl Drop for Forgotten {
    fn drop(&mut self) {
        self.0.forget(&self.1);
    }
}

impl Entry {
    /// Whether another publisher may have the name.
    fn is_free_for(
        &self,
        info: &PublishInfo,
        token: Option<TokenId>,
        now: Instant,
    ) -> Result<(), (CloseCode, String)> {
        let name = info.stream.as_str();
        let presence = *self.presence();
        // He answers questions each second; who does not is gone, though nobody has said so.
        let there =
            presence.is_expected(now) || (presence.links > 0 && is_lately(presence.heard, now));
        match (there, info.take_over, self.token == token) {
            (false, ..) | (true, true, true) => Ok(()),
            (true, false, _) => Err(taken(
                name,
                "another publishes it (--take-over takes its place)",
            )),
            (true, true, false) => Err(taken(name, "another publishes it, with another token")),
        }
    }

    fn ticket(&self) -> Ticket {
        Ticket {
            publisher: self.publisher,
            level: None,
            links: self.links.clone(),
        }
    }

    /// The same for a link beside those over which the best picture comes, where this is who publishes that.
    fn beside(&self, info: &PublishInfo, token: Option<TokenId>, level: Level) -> Option<Ticket> {
        let (has, said) = (self.key.as_bytes(), info.key.as_bytes());
        let is_his = verify_slices_are_equal(has, said).is_ok() && self.token == token;
        (is_his && self.presence().links > 0).then(|| Ticket {
            level: Some(level),
            ..self.ticket()
        })
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_lately(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < ALIVE
}

fn taken(name: &str, why: &str) -> (CloseCode, String) {
    let words = format!("the name '{name}' is taken: {why}");
    (CloseCode::Taken, words)
}

/// Links that a task has not looked at yet.
const ARRIVALS: usize = 8;
/// Who has said nothing for so long may be replaced.
const ALIVE: Duration = Duration::from_secs(4);
/// A published stream keeps so much less than the server's own.
const SHARE: usize = 4;

#[cfg(test)]
mod tests;
