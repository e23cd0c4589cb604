//! The sessions of a publisher's links, of which there are one or two: over which the picture comes, and who is heard.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::Rights;
use super::side::SideOf;
use super::thrift::Allowance;
use super::times::Clocks;
use crate::config::AGENT;
use crate::drive::Turn;
use crate::links::moves::{self, Moves};
use crate::links::{Merge, place};
use crate::media::{LevelSet, MediaTime, Tracks};
use crate::server::gate::{Gate, Pass, Record};
use crate::session::CloseReason;
use crate::session::client::{Event, Session, Want};
use crate::transport::{Carrier, Kind};
use crate::wire::{CloseCode, StreamName, Text};

/// Both sessions, by carrier.
#[derive(Debug)]
pub(super) struct Pair {
    stream: StreamName,
    tracks: Tracks,
    sides: [Option<Side>; 2],
    /// What each may bring: it outlives links, so that another link does not begin anew.
    allowances: [Allowance; 2],
    /// It was more.
    too_much: bool,
    moves: Option<Moves>,
    /// Which levels he is asked for beside the best.
    levels: LevelSet,
    merge: Merge,
    /// What came, yet to be put together.
    came: Vec<Event>,
    heard: Option<Instant>,
    minded: Option<Instant>,
    picture: Option<Instant>,
    /// How the session ended that ended last.
    last_words: Option<CloseReason>,
}

/// One link's session.
#[derive(Debug)]
struct Side {
    session: Session,
    kind: Kind,
    addr: SocketAddr,
    pass: Pass,
    _rights: Rights,
}

impl Pair {
    pub(super) fn new(stream: StreamName, tracks: Tracks) -> Self {
        Self {
            stream,
            tracks,
            sides: [None, None],
            allowances: Default::default(),
            too_much: false,
            moves: None,
            levels: LevelSet::NONE,
            merge: Merge::default(),
            came: Vec::new(),
            heard: None,
            minded: None,
            picture: None,
            last_words: None,
        }
    }

    /// A link has turned; `wanted`: somebody watches.
    pub(super) fn add(
        &mut self,
        (kind, addr): (Kind, SocketAddr),
        (pass, rights): (Pass, Rights),
        wanted: bool,
        now: Instant,
    ) {
        let carrier = kind.carrier();
        let mut session = Self::session(&pass, now);
        if kind.has_datagrams() {
            session.with_datagrams();
        }
        session.linked(now);
        if self.levels != LevelSet::NONE && pass.max_bps().is_none() {
            session.levels(self.levels);
        }
        self.allowances[place(carrier)].set(pass.max_bps(), now);
        self.too_much = false;
        self.sides[place(carrier)] = Some(Side {
            session,
            kind,
            addr,
            pass,
            _rights: rights,
        });
        self.heard = Some(now);
        if !wanted {
            return;
        }
        match &mut self.moves {
            None => self.wake(now),
            Some(moves) => {
                moves.handle(moves::Event::Stands(carrier), now);
                self.subscribe(carrier, false);
            }
        }
    }

    fn session(pass: &Pass, now: Instant) -> Session {
        let want = Want {
            agent: Text::new(AGENT),
            max_bps: pass.max_bps(),
            ..Want::default()
        };
        Session::new(want, now)
    }

    /// These levels are wanted beside the best. A token that has a rate is for one picture alone.
    pub(super) fn levels(&mut self, wanted: LevelSet) {
        self.levels = wanted;
        for side in self.sides.iter_mut().flatten() {
            if side.pass.max_bps().is_none() {
                side.session.levels(wanted);
            }
        }
    }

    /// Somebody watches from now on.
    pub(super) fn wake(&mut self, now: Instant) {
        let deaf = |side: &Side| {
            let since = side.session.unanswered();
            since.is_some_and(|since| now.saturating_duration_since(since) > LONG_UNANSWERED)
        };
        let [udp, tcp] = &self.sides;
        let first = match (udp, tcp) {
            (Some(udp), Some(_)) if deaf(udp) => Carrier::Tcp,
            (Some(_), _) => Carrier::Udp,
            (None, Some(_)) => Carrier::Tcp,
            (None, None) => return,
        };
        let mut moves = Moves::new(first, false, now);
        let other = moves::other(first);
        self.merge = Merge::new(first);
        self.subscribe(first, true);
        if self.sides[place(other)].is_some() {
            moves.handle(moves::Event::Stands(other), now);
            self.subscribe(other, false);
        }
        (self.picture, self.minded) = (None, None);
        self.moves = Some(moves);
    }

    /// Nobody watches any more.
    pub(super) fn rest(&mut self) {
        self.moves = None;
        self.came.clear();
        for side in self.sides.iter_mut().flatten() {
            side.session.unsubscribe();
        }
    }

    /// Sends away whoever's token is not good any more. When one is over by itself.
    pub(super) fn check(&mut self, gate: &Gate, now: Instant) -> Option<Instant> {
        let mut until = None;
        for side in self.sides.iter_mut().flatten() {
            if let Some(refusal) = gate.over(&side.pass) {
                gate.note(&Record {
                    event: "cut",
                    addr: side.addr,
                    transport: side.kind.name(),
                    role: side.pass.role,
                    token: side.pass.token(),
                    viewer: None,
                    what: &refusal.words,
                });
                side.session.close(refusal.code, now);
            } else {
                until = until.into_iter().chain(gate.until(&side.pass, now)).min();
            }
        }
        until
    }

    /// Says goodbye on every link.
    pub(super) fn close(&mut self, code: CloseCode, now: Instant) {
        for side in self.sides.iter_mut().flatten() {
            side.session.close(code, now);
        }
    }

    /// The link of this carrier is closed; whether it was the last.
    pub(super) fn gone(&mut self, carrier: Carrier, now: Instant) -> bool {
        self.sides[place(carrier)] = None;
        self.merge.give_up(carrier);
        if let Some(moves) = &mut self.moves {
            moves.handle(moves::Event::Gone(carrier), now);
        }
        let last = self.links() == 0;
        if last {
            self.moves = None;
        }
        last
    }

    /// Takes the session of this carrier away, to say goodbye on its link.
    pub(super) fn take(&mut self, carrier: Carrier) -> Option<Session> {
        let side = self.sides[place(carrier)].take();
        side.map(|side| side.session)
    }

    pub(super) const fn stream(&self) -> &StreamName {
        &self.stream
    }

    pub(super) fn links(&self) -> usize {
        self.sides.iter().flatten().count()
    }

    /// When anything came last.
    pub(super) const fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Why the last link ended.
    pub(super) const fn last_words(&mut self) -> Option<CloseReason> {
        self.last_words.take()
    }

    /// What came since this was last asked, of the one stream that all links bring.
    pub(super) fn came(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.came)
    }

    /// How the picture comes, and from where.
    pub(super) fn over(&self) -> Option<(&'static str, SocketAddr)> {
        let active = self.moves.as_ref().map(Moves::active);
        let active = active.and_then(|active| self.sides[place(active)].as_ref());
        let side = active.or_else(|| self.sides.iter().flatten().next())?;
        Some((side.kind.name(), side.addr))
    }

    /// The publisher's clock.
    pub(super) fn theirs(&self, now: Instant) -> Option<MediaTime> {
        let known = self.sides.iter().flatten();
        let known = known.filter_map(|side| {
            let session = &side.session;
            Some((session.rtt()?, session.server_time(now)?))
        });
        known.min_by_key(|(rtt, _)| *rtt).map(|(_, time)| time)
    }

    /// The same, with ours.
    pub(super) fn clocks(&self, epoch: Instant, now: Instant) -> Clocks {
        Clocks {
            now,
            ours: MediaTime::from_duration(now.saturating_duration_since(epoch)),
            theirs: self.theirs(now),
        }
    }

    /// What is to be done about links; what concerns their sessions is done here.
    pub(super) fn next_move(&mut self, now: Instant) -> moves::Output {
        self.mind_ears(now);
        let Some(moves) = &mut self.moves else {
            return moves::Output::Wait(None);
        };
        let output = moves.poll(now);
        match output {
            // Whoever publishes dials by himself.
            moves::Output::Wait(_)
            | moves::Output::Dial(_)
            | moves::Output::Rebind(_)
            | moves::Output::Cut(_) => {}
            moves::Output::Ask(carrier) => {
                if let Some(side) = &mut self.sides[place(carrier)] {
                    side.session.ask(now);
                }
            }
            moves::Output::Try(carrier) => self.subscribe(carrier, true),
            moves::Output::Fetch(carrier) => {
                let side = self.sides[place(carrier)].as_ref();
                let older = side.is_some_and(|side| side.session.is_asked());
                self.merge.fetch(carrier, usize::from(older));
                self.subscribe(carrier, true);
            }
            moves::Output::Drop(carrier) => {
                self.merge.give_up(carrier);
                if let Some(side) = &mut self.sides[place(carrier)] {
                    side.session.close(CloseCode::Done, now);
                }
            }
            moves::Output::Move(carrier, reason) => {
                info!(to = %carrier, ?reason, "the publisher's picture moves");
                self.subscribe(moves::other(carrier), false);
                let kept = self.merge.arrive(carrier, now);
                self.came.extend(kept);
            }
        }
        output
    }

    /// Whether another network is to be thought of, which is the publisher's matter, is not asked here: only whether he
    /// hears us over UDP, when no picture has come for a while.
    fn mind_ears(&mut self, now: Instant) {
        let active = self.moves.as_ref().map(Moves::active);
        let still = self.picture.is_some_and(|picture| now >= picture + STILL);
        let [Some(udp), Some(tcp)] = &mut self.sides else {
            return;
        };
        if active != Some(Carrier::Udp) || !still {
            return;
        }
        let (udp, tcp) = (&mut udp.session, &mut tcp.session);
        if self.minded.is_none_or(|minded| now >= minded + STILL) {
            self.minded = Some(now);
            for session in [&mut *udp, &mut *tcp] {
                if session.unanswered().is_none() {
                    session.ask(now);
                }
            }
        }
        let deaf = |session: &Session, least: Duration| {
            let patience = session.rtt().map_or(least, |rtt| least.max(rtt * 4));
            let since = session.unanswered();
            since.is_some_and(|since| now >= since + patience)
        };
        if deaf(udp, DEAF)
            && !deaf(tcp, DEAF / 2)
            && let Some(moves) = &mut self.moves
        {
            moves.handle(moves::Event::Unheard, now);
        }
    }

    fn subscribe(&mut self, carrier: Carrier, picture: bool) {
        let Some(side) = &mut self.sides[place(carrier)] else {
            return;
        };
        let video = picture && self.tracks.video;
        if video || self.tracks.audio {
            let stream = self.stream.clone();
            side.session.subscribe(stream, video, self.tracks.audio);
        }
    }

    /// Something happened to the session of this carrier.
    pub(super) fn event(&mut self, carrier: Carrier, event: Event, now: Instant) -> Turn {
        if let Event::Closed(reason) = event {
            debug!(%carrier, ?reason, "a link ends");
            self.last_words = Some(reason);
            return Turn::Closed;
        }
        if self.moves.is_none() {
            // What was under way when nobody watched any more.
            return Turn::Again;
        }
        self.judge(carrier, &event, now);
        if let Some(event) = self.merge.take(carrier, event, now) {
            if matches!(event, Event::FrameEnd { .. }) {
                self.picture = Some(now);
            }
            self.came.push(event);
        }
        Turn::Again
    }

    /// What this tells of the way over which it came.
    fn judge(&mut self, carrier: Carrier, event: &Event, now: Instant) {
        let Event::FrameEnd { capture, .. } = event else {
            return;
        };
        let Some(moves) = &mut self.moves else {
            return;
        };
        let session = self.sides[place(carrier)].as_ref();
        if let Some(theirs) = session.and_then(|side| side.session.server_time(now)) {
            moves.handle(moves::Event::Frame(carrier, theirs.since(*capture)), now);
        }
        if self.merge.is_fetching(carrier) {
            self.merge.keep(carrier, event);
            moves.handle(moves::Event::Ready(carrier), now);
        }
    }

    /// The session of this carrier.
    pub(super) fn session_of(&mut self, carrier: Carrier) -> Option<&mut Session> {
        let side = self.sides[place(carrier)].as_mut();
        side.map(|side| &mut side.session)
    }

    /// So many bytes came over this carrier. Whoever takes more than his token gives him is sent away.
    pub(super) fn hears(&mut self, carrier: Carrier, bytes: usize, now: Instant) {
        self.heard = Some(now);
        if !self.allowances[place(carrier)].spend(bytes, now) && !self.too_much {
            self.too_much = true;
            warn!("the publisher sends more than its token allows: it is sent away");
            self.close(CloseCode::Misbehaved, now);
        }
        if let Some(moves) = &mut self.moves {
            moves.handle(moves::Event::Heard(carrier), now);
        }
    }

    /// One of the sessions, as what is driven.
    pub(super) const fn side(&mut self, carrier: Carrier) -> SideOf<'_> {
        SideOf {
            pair: self,
            carrier,
        }
    }
}

/// No picture for so long is worth a question.
const STILL: Duration = Duration::from_millis(250);
/// A question that waits so long was not heard.
const DEAF: Duration = Duration::from_millis(400);
/// Pings go each second; a link on which one waits for so long is not woken first.
const LONG_UNANSWERED: Duration = Duration::from_millis(1500);
