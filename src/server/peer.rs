//! One viewer: his session, his share of a stream, and what is said of him.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, trace, warn};

use super::groups::{Group, Groups};
use super::{Notice, Viewer};
use crate::{
    drive::{Beside, Endpoint, Turn},
    hub::{Hub, Status, Subscription},
    media::{self, AudioPacket, Tracks, VideoStep},
    session::{CloseReason, Feed, Output, SessionError, server},
    wire::{CloseCode, ResumeSecret, SessionId, SourceState, Text},
};

/// The server's end of one viewer's session.
pub(super) struct Peer {
    session: server::Session,
    hub: Arc<Hub>,
    share: Option<Share>,
    stop: CancellationToken,
    stopping: bool,
    notices: mpsc::Sender<Notice>,
    viewer: Viewer,
    groups: Arc<Groups>,
    /// Of the session.
    ident: (SessionId, ResumeSecret),
    /// Whose link it is, once he has said hello.
    group: Option<Arc<Group>>,
}

/// What a viewer watches.
struct Share {
    subscription: Subscription,
    status: watch::Receiver<Status>,
    /// Whether the status has changed since the viewer was told.
    news: bool,
}

/// Feeds a session that watches nothing.
struct Nothing;

impl Peer {
    pub(super) fn new(
        session: server::Session,
        hub: Arc<Hub>,
        stop: CancellationToken,
        notices: mpsc::Sender<Notice>,
        (groups, ident): (Arc<Groups>, (SessionId, ResumeSecret)),
        addr: SocketAddr,
        transport: &'static str,
    ) -> Self {
        let viewer = Viewer {
            id: 0,
            addr,
            transport,
            state: "connected",
            stream: None,
            reason: None,
            step: None,
            steps: None,
        };
        Self {
            session,
            hub,
            share: None,
            stop,
            stopping: false,
            notices,
            viewer,
            groups,
            ident,
            group: None,
        }
    }

    fn event(&mut self, event: server::Event, now: Instant) -> Turn {
        match event {
            server::Event::Hello { agent, resume } => {
                info!(agent = agent.as_str(), "hello");
                self.group = self.groups.enter(resume.as_ref(), self.ident.clone(), now);
                match &self.group {
                    Some(group) => self.viewer.id = group.id(),
                    None => {
                        self.groups.sends_away();
                        self.session.close(CloseCode::Busy, now);
                    }
                }
            }
            server::Event::Subscribed(wanted) => {
                if let Some(stream) = self.hub.stream(wanted.stream.as_str()) {
                    let status = stream.status();
                    let want = Tracks {
                        video: wanted.video,
                        audio: wanted.audio,
                    };
                    self.share = Some(Share {
                        subscription: Subscription::new(stream, want),
                        status,
                        news: true,
                    });
                    self.viewer.stream = Some(wanted.stream.as_str().to_owned());
                    let transport = self.viewer.transport;
                    let group = self.group.as_ref();
                    if group.is_some_and(|group| group.watches(transport, wanted.video)) {
                        self.tell("watching", None);
                    }
                }
            }
            server::Event::Unsubscribed => self.share = None,
            server::Event::Step { step, steps } => {
                info!(step, steps, "another picture");
                (self.viewer.step, self.viewer.steps) = (Some(step), Some(steps));
                self.tell("watching", None);
                (self.viewer.step, self.viewer.steps) = (None, None);
            }
            server::Event::Report(report) => trace!(?report, "report"),
            server::Event::Closed(reason) => {
                self.share = None;
                match &reason {
                    CloseReason::Failed(err) => self.groups.misbehaved(err),
                    CloseReason::Cut | CloseReason::Silent => info!(?reason, "lost"),
                    CloseReason::Local(_) | CloseReason::Peer { .. } => info!(?reason, "left"),
                }
                if let Some(group) = self.group.take()
                    && self.groups.leave(self.ident.0, &group, now)
                    && group.is_watching()
                {
                    self.tell("left", Some(why(&reason)));
                }
                return Turn::Closed;
            }
        }
        Turn::Again
    }

    fn tell(&mut self, state: &'static str, reason: Option<String>) {
        self.viewer.state = state;
        self.viewer.reason = reason;
        // Notices are for a person's eyes: where nobody reads them they may be left out.
        if self
            .notices
            .try_send(Notice::Viewer(self.viewer.clone()))
            .is_err()
        {
            warn!("a notice was left out");
        }
    }
}

impl Endpoint for Peer {
    const INBOX: usize = 0;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.session.handle(bytes, now)
    }

    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        self.session.handle_datagram(datagram, now)
    }

    fn handle_frame(&mut self, _frame: Bytes, _now: Instant) -> Result<(), SessionError> {
        // A viewer's link allows none.
        Ok(())
    }

    fn beside(&mut self, now: Instant, room: usize, out: &mut BytesMut) -> Beside {
        if let Some(whole) = self.session.whole(now) {
            return Beside::Frame(whole.head, whole.jpeg);
        }
        let sent = match &mut self.share {
            Some(share) => self
                .session
                .datagram(now, &mut share.subscription, room, out),
            None => false,
        };
        match sent {
            true => Beside::Datagram,
            false if self.session.has_whole() => self.beside(now, room, out),
            false if self.session.has_words() => Beside::Words,
            false => Beside::Nothing,
        }
    }

    fn end(&mut self) {
        self.session.end();
    }

    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn {
        if self.stop.is_cancelled() && !self.stopping {
            self.stopping = true;
            self.session.close(CloseCode::Going, now);
        }
        let output = match &mut self.share {
            Some(share) => {
                if std::mem::take(&mut share.news) {
                    let (state, notice) = source(&share.status.borrow_and_update());
                    self.session.source(state, notice);
                }
                self.session.poll(now, &mut share.subscription, out)
            }
            None => self.session.poll(now, &mut Nothing, out),
        };
        match output {
            Output::Send => Turn::Sent,
            Output::Event(event) => self.event(event, now),
            Output::Idle(deadline) => Turn::Idle(deadline),
        }
    }

    async fn woken(&mut self) {
        let stopped = async {
            if self.stopping {
                std::future::pending::<()>().await;
            }
            self.stop.cancelled().await;
        };
        match &mut self.share {
            Some(share) => tokio::select! {
                () = stopped => {}
                () = share.subscription.changed() => {}
                _ = share.status.changed() => share.news = true,
            },
            None => stopped.await,
        }
    }
}

impl Feed for Nothing {
    fn next_audio(&mut self) -> Option<Arc<AudioPacket>> {
        None
    }

    fn next_video(&mut self) -> Option<VideoStep> {
        None
    }
}

/// A source's status as viewers are told it.
fn source(status: &Status) -> (SourceState, Option<Text>) {
    let state = match status {
        Status::Idle | Status::Open(media::SourceState::Opening) => SourceState::Opening,
        Status::Open(media::SourceState::Live) => SourceState::Live,
        Status::Open(media::SourceState::Lost { .. }) => SourceState::Lost,
        Status::Open(media::SourceState::Ended { .. }) => SourceState::Ended,
    };
    (state, status.why().map(Text::new))
}

fn why(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Local(code) => format!("told to go: {code}"),
        CloseReason::Peer {
            code: CloseCode::Done,
            ..
        } => "done".to_owned(),
        CloseReason::Peer { code, reason } if reason.is_empty() => code.to_string(),
        CloseReason::Peer { code, reason } => format!("{code}: {}", reason.as_str()),
        CloseReason::Cut => "the connection was cut".to_owned(),
        CloseReason::Silent => "no sign of life".to_owned(),
        CloseReason::Failed(err) => err.to_string(),
    }
}
