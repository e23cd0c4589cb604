//! The viewer's end of its sessions, over all its connections. Each link has a session of its own; what they bring is
//! one stream.

mod links;
mod way;

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub(super) use self::way::INBOX;
use self::way::WayOf;
use super::Switched;
use super::desk::{Desk, Inner, Wish};
use super::overlay::About;
use super::reach::Reached;
use crate::drive::Turn;
use crate::error::Error;
use crate::links::{Merge, Moves, moves, place};
use crate::playback::{Summary, Traffic};
use crate::session::CloseReason;
use crate::session::client::{Event, Opening, Session, Want, Welcome};
use crate::transport::Carrier;
use crate::wire::{CloseCode, Report, Resume};

/// One viewer, over all its connections.
pub(super) struct Viewer {
    /// The session that is begun before its link is there, with what it wants.
    begun: Option<(Session, Want)>,
    /// By way.
    ways: [Option<Session>; 2],
    about: [About; 2],
    want: Option<Want>,
    /// Proves, once, that another link is of this viewer.
    resume: Option<Resume>,
    moves: Option<Moves>,
    merge: Merge,
    /// A move of which the first picture has yet to be seen.
    moving: Option<Moving>,
    /// When the server was last asked because no picture came.
    minded: Option<Instant>,
    desk: Desk,
    inner: mpsc::Receiver<Inner>,
    stop: CancellationToken,
    until: Option<Instant>,
    /// Bytes that earlier sessions received.
    received_before: u64,
    transport: Option<&'static str>,
    /// Of the session that brought the picture last.
    rtt: Option<Duration>,
    switches: u64,
    /// Media came over the current connection.
    media: bool,
    offered: Vec<String>,
    /// Nothing is to begin any more.
    closing: bool,
    /// How the session ended that ended last.
    last_words: Option<Ended>,
    ended: Option<Ended>,
}

/// What was last before a move.
#[derive(Debug)]
struct Moving {
    switched: Switched,
    picture: Option<Instant>,
    sound: Option<Instant>,
}

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// As it should; with the reason.
    Done(String),
    /// The connection is to be made again; why it was lost.
    Lost(String),
    /// For good.
    Failed(Error),
}

impl Viewer {
    pub(super) fn new(
        desk: Desk,
        inner: mpsc::Receiver<Inner>,
        stop: CancellationToken,
        until: Option<Instant>,
    ) -> Self {
        Self {
            begun: None,
            ways: [None, None],
            about: Default::default(),
            want: None,
            resume: None,
            moves: None,
            merge: Merge::default(),
            moving: None,
            minded: None,
            desk,
            inner,
            stop,
            until,
            received_before: 0,
            transport: None,
            rtt: None,
            switches: 0,
            media: false,
            offered: Vec::new(),
            closing: false,
            last_words: None,
            ended: None,
        }
    }

    pub(super) const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Begins a session; gives its first words.
    pub(super) fn begin(&mut self, mut want: Want, now: Instant) -> Option<Opening> {
        want.resume = self.resume.take();
        let mut session = Session::new(want.clone(), now);
        let opening = session.opening(now);
        self.begun = Some((session, want));
        self.media = false;
        self.last_words = None;
        self.desk.begin();
        opening
    }

    /// The first link is there; `only`: there will be no other.
    pub(super) fn linked(&mut self, there: &Reached, only: bool, now: Instant) {
        let Some((session, want)) = self.begun.take() else {
            return;
        };
        let carrier = there.link.kind().carrier();
        self.want = Some(want);
        self.merge = Merge::new(carrier);
        self.moving = None;
        self.moves = Some(Moves::new(carrier, only, now));
        self.transport = Some(there.link.kind().name());
        self.desk.linked(there);
        self.add(session, there, now);
    }

    /// The session of a way, as what is driven.
    pub(super) const fn way(&mut self, carrier: Carrier) -> WayOf<'_> {
        WayOf {
            viewer: self,
            carrier,
        }
    }

    /// The connection is lost, and will be tried again after `pause`.
    pub(super) fn lost(&mut self, why: &str, pause: Duration) {
        self.begun = None;
        self.desk.lost(why, pause);
    }

    /// Whether the session that ended brought media: then it was worth its while.
    pub(super) const fn brought_media(&self) -> bool {
        self.media
    }

    /// Resolves when it is time to end; deals with keys and figures meanwhile.
    #[expect(
        clippy::disallowed_methods,
        reason = "figures are told each second while there is no session too"
    )]
    pub(super) async fn end_of_waiting(&mut self) {
        let stop = self.stop.clone();
        while !self.closing && self.until.is_none_or(|until| Instant::now() < until) {
            let tick = self.desk.next_stats();
            let tick = self.until.map_or(tick, |until| tick.min(until));
            tokio::select! {
                () = stop.cancelled() => return,
                () = time::sleep_until(tick.into()) => {
                    let now = Instant::now();
                    if now >= self.desk.next_stats() {
                        self.stats(now);
                    }
                }
                inner = self.inner.recv() => match inner {
                    Some(inner) => self.happened(inner, Instant::now()),
                    None => return,
                },
            }
        }
    }

    /// What became of the session.
    pub(super) fn ended(&mut self) -> Ended {
        self.ended
            .take()
            .unwrap_or_else(|| Ended::Lost("the session ended without a reason".to_owned()))
    }

    /// The end of it all: the figures, and what went wrong.
    pub(super) fn finish(mut self, reason: &str, now: Instant) -> (Summary, Option<Error>) {
        let summary = self.desk.finish(reason, &self.traffic(), now);
        let error = match self.ended.take() {
            Some(Ended::Failed(err)) => Some(err),
            _ if self.desk.lacks_snapshot() => Some(Error::NoPicture),
            _ => None,
        };
        (summary, error)
    }

    fn traffic(&self) -> Traffic {
        let sessions = self.ways.iter().flatten();
        let bytes: u64 = sessions.map(Session::bytes_received).sum();
        Traffic {
            transport: self.transport.map(str::to_owned),
            bytes_received: self.received_before + bytes,
            rtt: self.active().and_then(Session::rtt).or(self.rtt),
            held: self.active().and_then(Session::held),
            switches: self.switches,
        }
    }

    fn is_active(&self, carrier: Carrier) -> bool {
        let moves = self.moves.as_ref();
        moves.is_some_and(|moves| moves.active() == carrier)
    }

    /// Whether the server has taken this viewer over this way.
    fn is_welcome(&self, carrier: Carrier) -> bool {
        let session = self.ways[place(carrier)].as_ref();
        session.is_some_and(Session::is_welcome)
    }

    /// The session that brings the picture.
    fn active(&self) -> Option<&Session> {
        let moves = self.moves.as_ref()?;
        self.ways[place(moves.active())].as_ref()
    }

    fn stats(&mut self, now: Instant) {
        let second = self.desk.stats(&self.traffic(), now);
        if let Some(moves) = &self.moves
            && let Some(session) = &mut self.ways[place(moves.active())]
        {
            session.report(report(&second));
        }
    }

    fn happened(&mut self, inner: Inner, now: Instant) {
        match self.desk.happened(inner) {
            Some(Wish::Close) => self.close(now),
            Some(Wish::Fail(err)) => self.fail(err, now),
            None => {}
        }
    }

    /// Says goodbye; the sessions then end by themselves.
    fn close(&mut self, now: Instant) {
        self.closing = true;
        self.part(now);
    }

    fn part(&mut self, now: Instant) {
        for session in self.ways.iter_mut().flatten() {
            session.close(CloseCode::Done, now);
        }
    }

    fn fail(&mut self, err: Error, now: Instant) {
        self.ended = Some(Ended::Failed(err));
        self.close(now);
    }

    fn tell(&mut self, event: moves::Event, now: Instant) {
        if let Some(moves) = &mut self.moves {
            moves.handle(event, now);
        }
    }

    /// Something happened to the session of a way.
    fn event(&mut self, carrier: Carrier, event: Event, now: Instant) -> Turn {
        if let Event::Closed(reason) = event {
            self.last_words = Some(ended(&reason, self.closing));
            if let CloseReason::Peer { code, .. } = &reason
                && (self.is_active(carrier) || code.is_of_every_link() && self.is_welcome(carrier))
            {
                // The server has said goodbye, and means every link. The picture's may be dead, with the word lost in it.
                self.moves = None;
                self.ended = self.ended.take().or_else(|| self.last_words.take());
                self.part(now);
            }
            return Turn::Closed;
        }
        if let Event::Welcome(welcome) = &event {
            self.resume = Some(Resume {
                session: welcome.session,
                secret: welcome.resume.clone(),
            });
        }
        self.judge(carrier, &event, now);
        if let Some(event) = self.merge.take(carrier, event, now) {
            self.play(event, now);
        }
        Turn::Again
    }

    /// Something of the one stream that all links bring.
    fn play(&mut self, event: Event, now: Instant) {
        self.settle(&event, now);
        match &event {
            Event::Rung(rung) => self.desk.sized(rung),
            Event::FrameEnd { .. } | Event::Audio(_) => self.media = true,
            Event::Welcome(_)
            | Event::Subscribed { .. }
            | Event::Unsubscribed
            | Event::Refused { .. }
            | Event::Cells { .. }
            | Event::LateEnd { .. }
            | Event::Source { .. }
            | Event::Answer(_)
            | Event::Closed(_) => {}
        }
        match self.desk.playback().handle(event, now) {
            Some(Event::Welcome(welcome)) => self.welcome(&welcome),
            Some(Event::Refused {
                stream,
                code,
                reason,
            }) => {
                let offered = if self.offered.is_empty() {
                    "none".to_owned()
                } else {
                    self.offered.join(", ")
                };
                let reason = format!(
                    "{} ('{}'; there are: {offered})",
                    reason.as_str(),
                    stream.as_str()
                );
                self.fail(Error::Refused { code, reason }, now);
            }
            Some(Event::Source { state, notice }) => {
                let why = notice.as_ref().map_or("", |text| text.as_str());
                self.desk.source(state, why);
            }
            Some(Event::Subscribed { video: false, .. }) => {
                self.desk.without_picture();
                if self.desk.lacks_snapshot() {
                    // There will never be the picture that is waited for.
                    self.fail(Error::NoPicture, now);
                }
            }
            Some(
                Event::Subscribed { .. }
                | Event::Unsubscribed
                | Event::Rung(_)
                | Event::Cells { .. }
                | Event::FrameEnd { .. }
                | Event::LateEnd { .. }
                | Event::Audio(_)
                | Event::Answer(_)
                | Event::Closed(_),
            )
            | None => {}
        }
    }

    fn welcome(&mut self, welcome: &Welcome) {
        info!(server = welcome.agent.as_str(), "welcome");
        let names = welcome.streams.iter().map(|info| info.name.as_str());
        self.offered = names.map(str::to_owned).collect();
    }

    /// Hears the keys, and tells the figures. When there is more of that.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Instant> {
        // A server that never stops sending must not keep the keys from being heard.
        while let Ok(inner) = self.inner.try_recv() {
            self.happened(inner, now);
        }
        let over = self.stop.is_cancelled() || self.until.is_some_and(|until| now >= until);
        if over && !self.closing {
            self.close(now);
        }
        if now >= self.desk.next_stats() {
            self.stats(now);
        }
        self.mind_ears(now);
        let until = self.until.filter(|_| !self.closing);
        let first = [Some(self.desk.next_stats()), until];
        first.into_iter().flatten().min()
    }

    /// Resolves when there may be something to do that did not come over a link. Cancel-safe.
    #[expect(
        clippy::disallowed_methods,
        reason = "a goodbye has a deadline from now"
    )]
    pub(super) async fn woken(&mut self) {
        let (stop, closing) = (self.stop.clone(), self.closing);
        let stopped = async {
            if closing {
                std::future::pending::<()>().await;
            }
            stop.cancelled().await;
        };
        tokio::select! {
            () = stopped => {}
            inner = self.inner.recv() => match inner {
                Some(inner) => self.happened(inner, Instant::now()),
                None => std::future::pending().await,
            },
        }
    }
}

/// What the end of a session means; `done` if this side wanted it.
pub(super) fn ended(reason: &CloseReason, done: bool) -> Ended {
    match reason {
        _ if done => Ended::Done("done".to_owned()),
        CloseReason::Local(code) => Ended::Done(code.to_string()),
        CloseReason::Peer { code, reason } => {
            let text = if reason.is_empty() {
                code.to_string()
            } else {
                reason.as_str().to_owned()
            };
            if *code == CloseCode::Done {
                Ended::Done(text)
            } else if code.is_worth_retrying() {
                Ended::Lost(text)
            } else {
                Ended::Failed(Error::Refused {
                    code: *code,
                    reason: text,
                })
            }
        }
        CloseReason::Cut => Ended::Lost("the connection was cut".to_owned()),
        CloseReason::Silent => Ended::Lost("no sign of life from the server".to_owned()),
        CloseReason::Failed(err) => Ended::Failed(Error::Session(err.clone())),
    }
}

fn report(second: &Summary) -> Report {
    let us = |ms: Option<f64>| {
        let time = Duration::try_from_secs_f64(ms? / 1000.0).ok()?;
        u64::try_from(time.as_micros()).ok()
    };
    Report {
        frames_shown: u32::try_from(second.frames_shown).ok(),
        frames_partial: u32::try_from(second.frames_partial).ok(),
        latency_p50_us: us(second.latency_ms.p50),
        latency_p95_us: us(second.latency_ms.p95),
        audio_packets: u32::try_from(second.audio_packets).ok(),
        audio_lost: u32::try_from(second.audio_lost).ok(),
        audio_buffer_us: None,
        bytes_received: Some(second.bytes_received),
        rtt_us: us(second.rtt_ms),
    }
}

#[cfg(test)]
mod tests;
