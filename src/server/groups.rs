//! Which links belong to one viewer: a viewer has one, and another that stands by, or one after the other.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{gate::Pass, peer::why};
use crate::{
    session::{CloseReason, SessionError},
    transport::Seldom,
    wire::{Resume, ResumeSecret, SessionId, Text},
};

/// All viewers' links, by the sessions on them.
#[derive(Debug)]
pub(super) struct Groups {
    sessions: Mutex<HashMap<SessionId, Entry>>,
    /// Counts all who came.
    viewers: AtomicU64,
    /// All viewers who are there, by number.
    members: Mutex<BTreeMap<u64, Weak<Group>>>,
    /// Who may still come.
    places: Arc<Semaphore>,
    /// How many links there may still be, also of those who have not said who they are.
    links: Arc<Semaphore>,
    full: Seldom,
    failed: Seldom,
}

#[derive(Debug)]
struct Entry {
    /// Until it is used.
    secret: ResumeSecret,
    group: Arc<Group>,
    /// When the link ended.
    ended: Option<Instant>,
}

/// One viewer.
#[derive(Debug)]
pub(super) struct Group {
    id: u64,
    links: AtomicUsize,
    watching: AtomicBool,
    shown: Mutex<Shown>,
    who: Who,
    since: Instant,
    /// When he said goodbye last, over any of his links, and how.
    goodbye: Mutex<Option<(Instant, String)>>,
    dismissed: CancellationToken,
    _place: OwnedSemaphorePermit,
}

/// Who a viewer is.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) addr: SocketAddr,
    pub(super) agent: Text,
    pub(super) pass: Pass,
}

/// What a viewer watches, and how that comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) stream: Option<String>,
    pub(super) transport: &'static str,
    /// Over so many links.
    over: usize,
}

impl Groups {
    /// No more than so many viewers at once.
    pub(super) fn new(most: usize) -> Self {
        let permits = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            sessions: Mutex::default(),
            viewers: AtomicU64::new(1),
            members: Mutex::default(),
            places: permits(most),
            links: permits(most.saturating_mul(2).saturating_add(SPARE)),
            full: Seldom::default(),
            failed: Seldom::default(),
        }
    }

    /// The right to one more link, for as long as it is kept; `None` if there are enough.
    pub(super) fn link(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.links).try_acquire_owned().ok()
    }

    /// Another link of the viewer who is known by `resume`; `None` if he is not, or has enough of them. Its session may
    /// itself be resumed, once.
    pub(super) fn resume(
        &self,
        resume: &Resume,
        ident: (SessionId, ResumeSecret),
        now: Instant,
    ) -> Option<Arc<Group>> {
        let mut sessions = self.sessions();
        sessions.retain(|_, entry| {
            let ended = entry.ended;
            ended.is_none_or(|ended| now.saturating_duration_since(ended) < REMEMBERED)
        });
        let entry = sessions.get(&resume.session)?;
        let (ours, theirs) = (entry.secret.as_bytes(), resume.secret.as_bytes());
        verify_slices_are_equal(ours, theirs).ok()?;
        // One secret leads to the next: without a bound one place would be as many links as anybody wants.
        if entry.group.links.load(Ordering::Relaxed) >= MOST_LINKS {
            return None;
        }
        // It works once.
        let group = sessions.remove(&resume.session)?.group;
        link_of(&mut sessions, &group, ident);
        Some(group)
    }

    /// The first link of a new viewer; `None` if there is no place for another. Its session may be resumed, once.
    pub(super) fn enter(
        &self,
        ident: (SessionId, ResumeSecret),
        who: Who,
        now: Instant,
    ) -> Option<Arc<Group>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let group = Arc::new(Group {
            id: self.viewers.fetch_add(1, Ordering::Relaxed),
            links: AtomicUsize::new(0),
            watching: AtomicBool::new(false),
            shown: Mutex::default(),
            who,
            since: now,
            goodbye: Mutex::default(),
            dismissed: CancellationToken::new(),
            _place: place,
        });
        lock(&self.members).insert(group.id, Arc::downgrade(&group));
        link_of(&mut self.sessions(), &group, ident);
        Some(group)
    }

    /// The viewers from this number on, in order.
    pub(super) fn members(&self, from: u64, most: usize) -> Vec<Arc<Group>> {
        let members = lock(&self.members);
        let there = members
            .range(from..)
            .filter_map(|(_, group)| group.upgrade());
        there.take(most).collect()
    }

    /// How many viewers there are.
    pub(super) fn count(&self) -> usize {
        lock(&self.members).len()
    }

    /// The link of this session has ended; whether it was the viewer's last.
    pub(super) fn leave(&self, session: SessionId, group: &Group, now: Instant) -> bool {
        let mut sessions = self.sessions();
        let last = group.links.fetch_sub(1, Ordering::Relaxed) == 1;
        if last {
            // His place is free at once; who comes back is another.
            sessions.retain(|_, entry| entry.group.id != group.id);
            lock(&self.members).remove(&group.id);
        } else if let Some(entry) = sessions.get_mut(&session) {
            entry.ended = Some(now);
        }
        last
    }

    /// Says that one had no place, but not for each of many.
    pub(super) fn sends_away(&self) {
        if let Some(times) = self.full.now() {
            warn!(
                times,
                "as many viewers as --max-viewers allows: more are sent away"
            );
        }
    }

    /// Says how one broke the protocol; of many, of one a minute aloud.
    pub(super) fn misbehaved(&self, err: &SessionError) {
        match self.failed.now() {
            Some(times) => warn!(%err, times, "lost"),
            None => info!(%err, "lost"),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        lock(&self.sessions)
    }
}

impl Group {
    /// Counts up from 1.
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// One more link of his has this for him, this way, with or without its picture; whether that is news.
    pub(super) fn watches(&self, stream: &str, transport: &'static str, video: bool) -> bool {
        let first = !self.watching.swap(true, Ordering::Relaxed);
        let mut shown = lock(&self.shown);
        shown.stream = Some(stream.to_owned());
        shown.over += 1;
        let news = first || (video && shown.transport != transport);
        if news {
            shown.transport = transport;
        }
        news
    }

    /// One link less has anything for him.
    pub(super) fn stops(&self) {
        let mut shown = lock(&self.shown);
        shown.over = shown.over.saturating_sub(1);
        if shown.over == 0 {
            shown.stream = None;
        }
    }

    /// What he watches.
    pub(super) fn shown(&self) -> Shown {
        lock(&self.shown).clone()
    }

    /// Who he is.
    pub(super) const fn who(&self) -> &Who {
        &self.who
    }

    /// Since when he is there.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// One of his links is closed; how he said goodbye over another a moment ago, if this one was merely cut: he has
    /// closed them all, and may have had no time to say so on each.
    pub(super) fn parts(&self, reason: &CloseReason, now: Instant) -> Option<String> {
        let mut goodbye = lock(&self.goodbye);
        match reason {
            CloseReason::Peer { .. } => {
                *goodbye = Some((now, why(reason)));
                None
            }
            CloseReason::Cut | CloseReason::Silent => goodbye
                .as_ref()
                .filter(|(at, _)| now.saturating_duration_since(*at) < LATELY)
                .map(|(_, words)| words.clone()),
            CloseReason::Local(_) | CloseReason::Failed(_) => None,
        }
    }

    /// Sends him away, over all his links.
    pub(super) fn dismiss(&self) {
        self.dismissed.cancel();
    }

    /// Cancelled when he is sent away.
    pub(super) const fn dismissed(&self) -> &CancellationToken {
        &self.dismissed
    }

    /// Whether he ever watched anything.
    pub(super) fn is_watching(&self) -> bool {
        self.watching.load(Ordering::Relaxed)
    }
}

/// One more link of this viewer.
fn link_of(
    sessions: &mut HashMap<SessionId, Entry>,
    group: &Arc<Group>,
    (session, secret): (SessionId, ResumeSecret),
) {
    group.links.fetch_add(1, Ordering::Relaxed);
    let entry = Entry {
        secret,
        group: Arc::clone(group),
        ended: None,
    };
    sessions.insert(session, entry);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Links of one viewer: two, and some that died and have not been found out.
const MOST_LINKS: usize = 6;

/// Links beyond two for each viewer: of those who come, and of those who are gone and have not been found out.
const SPARE: usize = 64;

/// How long a session whose link has ended may be resumed, while the viewer has another.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Whoever leaves is gone from all his links within this.
const LATELY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CloseCode;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn now() -> Instant {
        Instant::now()
    }

    fn session(n: u8) -> (SessionId, ResumeSecret) {
        (
            SessionId::from_bytes([n; 16]),
            ResumeSecret::from_bytes([n; 32]),
        )
    }

    fn enter(groups: &Groups, n: u8, now: Instant) -> Option<Arc<Group>> {
        let who = Who {
            addr: SocketAddr::from(([192, 0, 2, n], 1)),
            agent: Text::new("viewer"),
            pass: Pass::for_anybody(),
        };
        groups.enter(session(n), who, now)
    }

    fn resume(session: u8, secret: u8) -> Resume {
        Resume {
            session: SessionId::from_bytes([session; 16]),
            secret: ResumeSecret::from_bytes([secret; 32]),
        }
    }

    #[test]
    fn another_link_with_the_secret_is_the_same_viewer_s_and_the_secret_works_once() {
        let groups = Groups::new(1);
        let first = enter(&groups, 1, now()).unwrap();
        let second = groups.resume(&resume(1, 1), session(2), now()).unwrap();
        assert_eq!((first.id(), second.id()), (1, 1));
        assert!(groups.resume(&resume(1, 1), session(3), now()).is_none());
        assert!(groups.resume(&resume(2, 1), session(3), now()).is_none());
        assert!(groups.resume(&resume(9, 9), session(3), now()).is_none());
        let third = groups.resume(&resume(2, 2), session(3), now()).unwrap();
        assert_eq!(third.id(), 1);
    }

    #[test]
    fn a_viewer_has_only_so_many_links() {
        let groups = Groups::new(1);
        let mut held = vec![enter(&groups, 1, now()).unwrap()];
        for n in 2..100 {
            held.extend(groups.resume(&resume(n - 1, n - 1), session(n), now()));
        }
        assert_eq!(held.len(), MOST_LINKS);
        let links: Vec<_> = (0..1000).map_while(|_| groups.link()).collect();
        assert_eq!(links.len(), 2 + SPARE);
    }

    #[test]
    fn the_secret_dies_with_the_viewer_s_last_link_and_his_place_is_free() {
        let groups = Groups::new(1);
        let group = enter(&groups, 1, now()).unwrap();
        assert!(enter(&groups, 2, now()).is_none());
        assert!(groups.leave(session(1).0, &group, now()));
        drop(group);
        assert!(groups.resume(&resume(1, 1), session(2), now()).is_none());
        assert_eq!(enter(&groups, 2, now()).unwrap().id(), 2);
        assert_eq!(groups.count(), 1);
    }

    #[test]
    fn a_link_that_ended_may_be_resumed_for_a_minute() {
        let groups = Groups::new(1);
        let t0 = now();
        let group = enter(&groups, 1, t0).unwrap();
        groups.resume(&resume(1, 1), session(2), t0).unwrap();
        assert!(!groups.leave(session(2).0, &group, t0));
        let late = t0 + REMEMBERED;
        assert!(groups.resume(&resume(2, 2), session(3), late).is_none());
    }

    #[test]
    fn what_is_watched_is_news_once_and_again_when_the_picture_comes_another_way() {
        let groups = Groups::new(1);
        let group = enter(&groups, 1, now()).unwrap();
        assert!(group.watches("cam", "quic", true));
        assert!(!group.watches("cam", "tls", false));
        assert!(group.watches("cam", "tls", true));
        assert!(!group.watches("cam", "tls", true));
    }

    #[test]
    fn a_goodbye_on_one_link_is_that_of_the_others_which_were_cut_then() {
        let groups = Groups::new(1);
        let group = enter(&groups, 1, now()).unwrap();
        let (cut, t0) = (CloseReason::Cut, now());
        let done = CloseReason::Peer {
            code: CloseCode::Done,
            reason: Text::new(""),
        };
        assert_eq!(group.parts(&cut, t0), None);
        assert_eq!(group.parts(&done, t0), None);
        assert_eq!(group.parts(&cut, t0).as_deref(), Some("done"));
        assert_eq!(group.parts(&cut, t0 + LATELY), None);
    }

    #[test]
    fn who_has_stopped_on_all_his_links_watches_nothing() {
        let groups = Groups::new(1);
        let group = enter(&groups, 1, now()).unwrap();
        group.watches("cam", "quic", true);
        group.watches("cam", "tls", false);
        group.stops();
        assert_eq!(group.shown().stream.as_deref(), Some("cam"));
        group.stops();
        assert_eq!(group.shown().stream, None);
        group.watches("door", "quic", true);
        assert_eq!(group.shown().stream.as_deref(), Some("door"));
    }
}
