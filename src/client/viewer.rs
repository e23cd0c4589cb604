//! The viewer's end of a session, over all its connections.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::desk::{Desk, Inner, Wish};
use crate::drive::{Beside, Endpoint, Turn};
use crate::error::Error;
use crate::playback::{Summary, Traffic};
use crate::session::client::{Event, Session, Want, Welcome};
use crate::session::{CloseReason, Output, SessionError};
use crate::transport::Link;
use crate::wire::{CloseCode, Report};

/// One viewer, over all its connections.
pub(super) struct Viewer {
    session: Option<Session>,
    desk: Desk,
    inner: mpsc::Receiver<Inner>,
    stop: CancellationToken,
    until: Option<Instant>,
    /// Bytes that earlier sessions received.
    received_before: u64,
    transport: Option<&'static str>,
    /// Media came over the current session.
    media: bool,
    offered: Vec<String>,
    /// Nothing is to begin any more.
    closing: bool,
    ended: Option<Ended>,
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
    pub(super) const fn new(
        desk: Desk,
        inner: mpsc::Receiver<Inner>,
        stop: CancellationToken,
        until: Option<Instant>,
    ) -> Self {
        Self {
            session: None,
            desk,
            inner,
            stop,
            until,
            received_before: 0,
            transport: None,
            media: false,
            offered: Vec::new(),
            closing: false,
            ended: None,
        }
    }

    pub(super) const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Begins a session; its first words are appended to `first`.
    pub(super) fn begin(&mut self, want: Want, first: &mut BytesMut, now: Instant) {
        let mut session = Session::new(want, now);
        if session.poll(now, first) != Output::Send {
            debug!("a session without first words");
        }
        self.session = Some(session);
        self.media = false;
        self.desk.begin();
    }

    /// A link is there.
    #[expect(
        clippy::disallowed_methods,
        reason = "the session's time-outs count from here"
    )]
    pub(super) fn linked(&mut self, link: &Link, took: Duration, why: Option<String>) {
        if let Some(session) = &mut self.session {
            if link.kind().has_datagrams() {
                session.with_datagrams();
            }
            session.linked(Instant::now());
        }
        self.transport = Some(link.kind().name());
        self.desk.linked(link, took, why);
    }

    /// The connection is lost, and will be tried again after `pause`.
    pub(super) fn lost(&mut self, why: &str, pause: Duration) {
        if let Some(session) = self.session.take() {
            self.received_before += session.bytes_received();
        }
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
        let session = self.session.as_ref();
        Traffic {
            transport: self.transport.map(str::to_owned),
            bytes_received: self.received_before + session.map_or(0, Session::bytes_received),
            rtt: session.and_then(Session::rtt),
            switches: 0,
        }
    }

    fn stats(&mut self, now: Instant) {
        let second = self.desk.stats(&self.traffic(), now);
        if let Some(session) = &mut self.session {
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

    /// Says goodbye; the session then ends by itself.
    fn close(&mut self, now: Instant) {
        self.closing = true;
        if let Some(session) = &mut self.session {
            session.close(CloseCode::Done, now);
        }
    }

    fn fail(&mut self, err: Error, now: Instant) {
        self.ended = Some(Ended::Failed(err));
        self.close(now);
    }

    fn event(&mut self, event: Event, now: Instant) -> Turn {
        match &event {
            Event::Rung(rung) => self.desk.sized(rung.size()),
            Event::FrameEnd { .. } | Event::Audio(_) => self.media = true,
            Event::Welcome(_)
            | Event::Subscribed { .. }
            | Event::Unsubscribed
            | Event::Refused { .. }
            | Event::Cells { .. }
            | Event::Source { .. }
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
            Some(Event::Closed(reason)) => {
                let done = self.closing;
                self.ended.get_or_insert_with(|| ended(&reason, done));
                return Turn::Closed;
            }
            Some(
                Event::Subscribed { .. }
                | Event::Unsubscribed
                | Event::Rung(_)
                | Event::Cells { .. }
                | Event::FrameEnd { .. }
                | Event::Audio(_),
            )
            | None => {}
        }
        Turn::Again
    }

    fn welcome(&mut self, welcome: &Welcome) {
        info!(server = welcome.agent.as_str(), "welcome");
        let names = welcome.streams.iter().map(|info| info.name.as_str());
        self.offered = names.map(str::to_owned).collect();
    }
}

impl Endpoint for Viewer {
    const INBOX: usize = 64 << 10;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        match &mut self.session {
            Some(session) => session.handle(bytes, now),
            None => Ok(()),
        }
    }

    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        match &mut self.session {
            Some(session) => session.handle_datagram(datagram, now),
            None => Ok(()),
        }
    }

    fn handle_frame(&mut self, frame: Bytes, now: Instant) -> Result<(), SessionError> {
        match &mut self.session {
            Some(session) => session.handle_whole(frame, now),
            None => Ok(()),
        }
    }

    fn beside(&mut self, now: Instant, _room: usize, out: &mut BytesMut) -> Beside {
        let session = self.session.as_mut();
        match session.is_some_and(|session| session.datagram(now, out)) {
            true => Beside::Datagram,
            false => Beside::Nothing,
        }
    }

    fn end(&mut self) {
        if let Some(session) = &mut self.session {
            session.end();
        }
    }

    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn {
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
        let Some(session) = &mut self.session else {
            return Turn::Closed;
        };
        match session.poll(now, out) {
            Output::Send => Turn::Sent,
            Output::Event(event) => self.event(event, now),
            Output::Idle(deadline) => {
                let server = session.server_time(now);
                self.desk.playback().set_clock(server, now);
                let until = self.until.filter(|_| !self.closing);
                let first = [deadline, Some(self.desk.next_stats()), until];
                Turn::Idle(first.into_iter().flatten().min())
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a goodbye has a deadline from now"
    )]
    async fn woken(&mut self) {
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
fn ended(reason: &CloseReason, done: bool) -> Ended {
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
