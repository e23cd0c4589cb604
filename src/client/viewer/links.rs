//! What a viewer does about its links: another one, a move, a way that is gone.

use std::time::{Duration, Instant};

use tracing::{debug, info};

use super::{Moving, Viewer};
use crate::client::Switched;
use crate::client::overlay::About;
use crate::client::reach::Reached;
use crate::links::moves::{self, Reason};
use crate::links::place;
use crate::session::client::{Event, Opening, Session, Want};
use crate::transport::Carrier;
use crate::transport::dial::DialError;
use crate::wire::CloseCode;

impl Viewer {
    /// Begins another session, over the other way, that hears and does not see; gives its first words.
    pub(in crate::client) fn another(&mut self, carrier: Carrier, now: Instant) -> Option<Opening> {
        let want = self.want.as_ref()?;
        let want = Want {
            video: false,
            stream: want.stream.clone().filter(|_| want.audio),
            resume: self.resume.take(),
            ..want.clone()
        };
        debug!(%carrier, "another link");
        let mut session = Session::new(want.clone(), now);
        let opening = session.opening(now);
        self.begun = Some((session, want));
        opening
    }

    /// The other link is there; whether it is still wanted.
    pub(in crate::client) fn stands(
        &mut self,
        carrier: Carrier,
        there: &Reached,
        now: Instant,
    ) -> bool {
        let begun = self.begun.take().filter(|_| !self.closing);
        let (Some((session, _)), Some(moves)) = (begun, &mut self.moves) else {
            return false;
        };
        moves.handle(moves::Event::Stands(carrier), now);
        self.add(session, there, now);
        true
    }

    /// The other link could not be had.
    pub(in crate::client) fn failed(&mut self, carrier: Carrier, err: &DialError, now: Instant) {
        debug!(%carrier, %err, "no other link");
        if let Some((_, want)) = self.begun.take() {
            // It was probably not used.
            self.resume = self.resume.take().or(want.resume);
        }
        self.tell(moves::Event::Failed(carrier), now);
    }

    /// This machine has another address.
    pub(in crate::client) fn network_changed(&mut self, now: Instant) {
        info!("another network");
        self.tell(moves::Event::Network, now);
    }

    /// Finds out whether the server hears what is said over UDP, when no picture has come for a while: it waits for that.
    pub(super) fn mind_ears(&mut self, now: Instant) {
        let active = self.is_active(Carrier::Udp);
        let (picture, _) = self.merge.last();
        let [Some(udp), Some(tcp)] = &mut self.ways else {
            return;
        };
        let still = picture.is_some_and(|picture| now >= picture + STILL);
        if !active || !still {
            return;
        }
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
            session
                .unanswered()
                .is_some_and(|since| now >= since + patience)
        };
        if deaf(udp, DEAF) && !deaf(tcp, DEAF / 2) {
            self.tell(moves::Event::Unheard, now);
        }
    }

    pub(super) fn add(&mut self, mut session: Session, there: &Reached, now: Instant) {
        let kind = there.link.kind();
        let carrier = kind.carrier();
        if kind.has_datagrams() {
            session.with_datagrams();
        }
        session.linked(now);
        self.about[place(carrier)] = About {
            transport: kind.name(),
            cipher: there.link.cipher(),
            server: there.link.peer().to_string(),
            between: there.between.clone(),
            ..About::default()
        };
        self.ways[place(carrier)] = Some(session);
    }

    /// A link is closed.
    pub(in crate::client) fn gone(&mut self, carrier: Carrier, now: Instant) {
        let active = self.is_active(carrier) || self.moves.is_none();
        if let Some(session) = self.ways[place(carrier)].take() {
            self.received_before += session.bytes_received();
            if active {
                self.rtt = session.rtt().or(self.rtt);
            }
        }
        self.merge.give_up(carrier);
        self.tell(moves::Event::Gone(carrier), now);
        if self.ways.iter().all(Option::is_none) {
            self.moves = None;
            self.ended = self.ended.take().or_else(|| self.last_words.take());
        }
    }

    /// What is to be done about links. What concerns their sessions is done here.
    pub(in crate::client) fn next_move(&mut self, now: Instant) -> moves::Output {
        let Some(moves) = self.moves.as_mut().filter(|_| !self.closing) else {
            return moves::Output::Wait(None);
        };
        let output = moves.poll(now);
        match output {
            moves::Output::Wait(_)
            | moves::Output::Dial(_)
            | moves::Output::Rebind(_)
            | moves::Output::Cut(_) => {}
            moves::Output::Ask(carrier) => {
                if let Some(session) = &mut self.ways[place(carrier)] {
                    session.ask(now);
                }
            }
            moves::Output::Try(carrier) => self.subscribe(carrier, true),
            moves::Output::Fetch(carrier) => {
                let session = self.ways[place(carrier)].as_ref();
                let older = session.is_some_and(Session::is_asked);
                self.merge.fetch(carrier, usize::from(older));
                self.subscribe(carrier, true);
            }
            moves::Output::Drop(carrier) => {
                self.merge.give_up(carrier);
                if let Some(session) = &mut self.ways[place(carrier)] {
                    session.close(CloseCode::Done, now);
                }
            }
            moves::Output::Move(carrier, reason) => self.moved(carrier, reason, now),
        }
        output
    }

    fn subscribe(&mut self, carrier: Carrier, video: bool) {
        if let (Some(session), Some(want)) = (&mut self.ways[place(carrier)], &self.want)
            && let Some(stream) = want.stream.clone()
        {
            session.subscribe(stream, video && want.video, want.audio);
        }
    }

    /// What is seen comes over this way from now on.
    fn moved(&mut self, carrier: Carrier, reason: Reason, now: Instant) {
        let left = moves::other(carrier);
        let [from, to] = [left, carrier].map(|carrier| self.about[place(carrier)].transport);
        info!(from, to, ?reason, "moved");
        self.switches += 1;
        self.transport = Some(to);
        self.desk.moved(&self.about[place(carrier)]);
        let (picture, sound) = self.merge.last();
        self.moving = Some(Moving {
            switched: Switched {
                from,
                to,
                reason: reason.words(),
                video_gap_ms: None,
                audio_gap_ms: None,
            },
            picture,
            sound,
        });
        for event in self.merge.arrive(carrier, now) {
            self.play(event, now);
        }
        self.subscribe(left, false);
    }

    /// What this tells of the way over which it came.
    pub(super) fn judge(&mut self, carrier: Carrier, event: &Event, now: Instant) {
        let Event::FrameEnd { capture, .. } = event else {
            return;
        };
        let session = self.ways[place(carrier)].as_ref();
        if let Some(server) = session.and_then(|session| session.server_time(now)) {
            self.tell(moves::Event::Frame(carrier, server.since(*capture)), now);
        }
        if self.merge.is_fetching(carrier) {
            self.merge.keep(carrier, event);
            self.tell(moves::Event::Ready(carrier), now);
        }
    }

    /// The first picture behind a move is there, or the first sound.
    pub(super) fn settle(&mut self, event: &Event, now: Instant) {
        let gap = |before: Option<Instant>| {
            let gap = now.saturating_duration_since(before?);
            Some(gap.as_secs_f64() * 1000.0)
        };
        let Some(moving) = &mut self.moving else {
            return;
        };
        if let Event::FrameEnd { .. } = event
            && moving.switched.video_gap_ms.is_none()
        {
            moving.switched.video_gap_ms = gap(moving.picture);
        } else if let Event::Audio(_) = event
            && moving.switched.audio_gap_ms.is_none()
        {
            moving.switched.audio_gap_ms = gap(moving.sound);
        }
        let want = self.want.as_ref();
        let seen = moving.switched.video_gap_ms.is_some() || want.is_none_or(|want| !want.video);
        let heard = moving.switched.audio_gap_ms.is_some() || moving.sound.is_none();
        if seen && heard {
            let switched = moving.switched.clone();
            self.moving = None;
            self.desk.switched(switched);
        }
    }
}

/// No picture for so long is worth a question.
const STILL: Duration = Duration::from_millis(250);
/// A question that waits so long was not heard; pings and their answers are sent again when they are lost.
const DEAF: Duration = Duration::from_millis(400);
