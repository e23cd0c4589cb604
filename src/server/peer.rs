//! One viewer: his session, his share of a stream, and what is said of him.

mod commands;

use std::{sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, trace};

use self::commands::Job;
use super::gate::{Gate, Pass, Record, Refusal};
use super::groups::{Group, Groups, Who};
use super::relay::{Relays, Ticket};
use super::share::Share;
use super::{Notice, Notices, Viewer, info};
use crate::{
    drive::{Beside, Endpoint, Turn},
    hub::Hub,
    media::{Role, TokenId},
    session::{CloseReason, Output, SessionError, server, server::Admission},
    transport::{Exporter, Link},
    trust::Tokens,
    wire::{
        Answer, CloseCode, Hello, PublishInfo, ResumeSecret, SessionId, StreamInfo, Text,
        TokenProof,
    },
};

/// The server's end of one viewer's session.
pub(super) struct Peer {
    session: server::Session,
    hub: Arc<Hub>,
    share: Option<Share>,
    stop: CancellationToken,
    stopping: bool,
    notices: Notices,
    viewer: Viewer,
    groups: Arc<Groups>,
    /// Of the session.
    ident: (SessionId, ResumeSecret),
    /// Whose link it is, once he has said hello.
    group: Option<Arc<Group>>,
    relays: Arc<Relays>,
    /// He publishes: the link turns.
    leaving: Option<Leaving>,
    /// How often the streams had changed when he was told what there is.
    seen: u64,
    gate: Arc<Gate>,
    exporter: Option<Exporter>,
    /// What he said that he wants to be.
    role: Role,
    /// Of somebody who is no viewer.
    pass: Option<Pass>,
    changes: watch::Receiver<Arc<Tokens>>,
    /// The tokens have changed.
    changed: bool,
    /// When his token is over.
    until: Option<Instant>,
    /// A refusal that costs him time, which is over then.
    no: Option<(Instant, CloseCode, Text, OwnedSemaphorePermit)>,
    sent_away: bool,
    /// What a command has begun.
    job: Option<Job>,
    /// What came of it.
    done: Option<Answer>,
}

/// What is left of a peer whose link has turned.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) ticket: Ticket,
    pub(super) pass: Pass,
    /// Whether the welcome is written.
    welcomed: bool,
}

impl Peer {
    pub(super) fn new(
        session: server::Session,
        hub: Arc<Hub>,
        stop: CancellationToken,
        notices: Notices,
        (groups, ident): (Arc<Groups>, (SessionId, ResumeSecret)),
        (relays, gate): (Arc<Relays>, Arc<Gate>),
        link: &Link,
    ) -> Self {
        let viewer = Viewer {
            id: 0,
            addr: link.peer(),
            transport: link.kind().name(),
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
            relays,
            leaving: None,
            seen: 0,
            changes: gate.changes(),
            gate,
            exporter: link.exporter(),
            role: Role::Watch,
            pass: None,
            changed: false,
            until: None,
            no: None,
            sent_away: false,
            job: None,
            done: None,
        }
    }

    /// Lets whoever says this in, or does not.
    fn hello(&mut self, hello: &Hello, now: Instant) {
        info!(agent = hello.agent.as_str(), role = %hello.role, "hello");
        self.role = hello.role;
        let resume = hello.resume.as_ref().filter(|_| hello.role == Role::Watch);
        if let Some(resume) = resume {
            self.group = self.groups.resume(resume, self.ident.clone(), now);
            if let Some(group) = self.group.clone() {
                self.viewer.id = group.id();
                // It may have been taken back a moment ago, when this link was not yet one of his.
                match self.gate.over(&group.who().pass) {
                    Some(refusal) => self.refuse(refusal, hello.token.as_ref(), now),
                    None => self.admit(&group.who().pass, now),
                }
                return;
            }
        }
        let asked = self.gate.ask(hello, self.exporter, self.viewer.addr, now);
        let pass = match asked {
            Ok(pass) => pass,
            Err(refusal) => return self.refuse(refusal, hello.token.as_ref(), now),
        };
        match pass.role {
            Role::Watch => {
                let who = Who {
                    addr: self.viewer.addr,
                    agent: hello.agent.clone(),
                    pass,
                };
                match self.groups.enter(self.ident.clone(), who, now) {
                    Some(group) => {
                        self.viewer.id = group.id();
                        self.group = Some(Arc::clone(&group));
                        self.admit(&group.who().pass, now);
                    }
                    None => {
                        let token = hello.token.as_ref().map(|said| said.id);
                        self.note("refused", token, "there is no place");
                        self.groups.sends_away();
                        self.session.close(CloseCode::Busy, now);
                    }
                }
            }
            Role::Publish => {
                if let Some(info) = &hello.publish {
                    self.publishes(info, pass, now);
                } else {
                    let words = "the hello does not say what is to be published";
                    self.note("refused", pass.token(), words);
                    self.session
                        .refuse(CloseCode::Misbehaved, Text::new(words), now);
                }
            }
            Role::Control | Role::Admin => {
                self.admit(&pass, now);
                self.pass = Some(pass);
            }
        }
    }

    /// Somebody may publish, as far as his token goes.
    fn publishes(&mut self, info: &PublishInfo, pass: Pass, now: Instant) {
        match self.relays.knock(info, pass.token(), now) {
            Ok(ticket) => {
                self.admit(&pass, now);
                // His link has another end soon, which looks after the token.
                self.until = None;
                self.leaving = Some(Leaving {
                    ticket,
                    pass,
                    welcomed: false,
                });
            }
            Err((code, words)) => {
                self.note("refused", pass.token(), &words);
                self.session.refuse(code, Text::new(&words), now);
            }
        }
    }

    /// The link has turned; what it goes on with.
    pub(super) fn leave(&mut self) -> Option<Leaving> {
        self.leaving.take()
    }

    fn is_leaving(&self) -> bool {
        let leaving = self.leaving.as_ref();
        !self.stopping && leaving.is_some_and(|leaving| leaving.welcomed)
    }

    /// What may be watched, as it is now.
    fn look_again(&mut self) {
        let changes = self.hub.changes();
        if self.role != Role::Watch || self.seen == changes {
            return;
        }
        self.seen = changes;
        let Some(group) = &self.group else {
            return;
        };
        let streams = self.meant(&group.who().pass);
        self.session.offer(streams);
    }

    /// The streams that this pass is for.
    fn meant(&self, pass: &Pass) -> Vec<StreamInfo> {
        let pattern = pass.streams();
        let streams = self.hub.streams();
        let meant = streams
            .iter()
            .filter(|stream| pattern.matches(stream.name()));
        match pass.role {
            Role::Watch => meant.filter_map(|stream| info(stream)).collect(),
            Role::Publish | Role::Control | Role::Admin => Vec::new(),
        }
    }

    fn admit(&mut self, pass: &Pass, now: Instant) {
        self.seen = self.hub.changes();
        let streams = self.meant(pass);
        self.until = self.gate.until(pass, now);
        self.note("admitted", pass.token(), "");
        let admission = Admission {
            streams,
            pattern: pass.streams(),
            max_bps: pass.max_bps(),
        };
        self.session.admit(admission, now);
    }

    fn refuse(&mut self, refusal: Refusal, said: Option<&TokenProof>, now: Instant) {
        if !refusal.quiet {
            self.note("refused", said.map(|said| said.id), &refusal.words);
        }
        let (code, words) = (refusal.code, Text::new(&refusal.words));
        match refusal.wait {
            Some((wait, place)) => self.no = Some((now + wait, code, words, place)),
            None => self.session.refuse(code, words, now),
        }
    }

    /// Does what time, or somebody else, has decided of this one.
    fn decided(&mut self, now: Instant) {
        if let Some(answer) = self.done.take() {
            self.job = None;
            self.session.answered(answer);
        }
        if let Some((_, code, words, _)) = self.no.take_if(|(at, ..)| now >= *at) {
            self.session.refuse(code, words, now);
        }
        let over = self.until.is_some_and(|until| now >= until);
        if over || std::mem::take(&mut self.changed) {
            let (group, own) = (self.group.clone(), self.pass.take());
            let group = group.as_ref().map(|group| &group.who().pass);
            if let Some(pass) = group.or(own.as_ref()) {
                self.until = self.gate.until(pass, now);
                if let Some(refusal) = self.gate.over(pass).filter(|_| !self.sent_away) {
                    self.sent_away = true;
                    self.note("cut", pass.token(), &refusal.words);
                    let words = Text::new(&refusal.words);
                    self.session.refuse(refusal.code, words, now);
                    self.until = None;
                }
            }
            self.pass = own;
        }
        if let Some(group) = self.group.clone()
            && !self.sent_away
            && group.dismissed().is_cancelled()
        {
            self.sent_away = true;
            let words = "the server's owner has sent you away";
            self.note("cut", group.who().pass.token(), words);
            self.session
                .refuse(CloseCode::Dismissed, Text::new(words), now);
        }
    }

    fn note(&self, event: &'static str, token: Option<TokenId>, what: &str) {
        self.gate.note(&Record {
            event,
            addr: self.viewer.addr,
            transport: self.viewer.transport,
            role: self.role,
            token,
            viewer: self.group.as_ref().map(|group| group.id()),
            what,
        });
    }

    fn event(&mut self, event: server::Event, now: Instant) -> Turn {
        match event {
            server::Event::Hello(hello) => self.hello(&hello, now),
            server::Event::Subscribed(wanted) => {
                if let Some(stream) = self.hub.stream(wanted.stream.as_str()) {
                    self.stops_watching();
                    self.share = Some(Share::new(stream, &wanted));
                    self.viewer.stream = Some(wanted.stream.as_str().to_owned());
                    let (name, over) = (wanted.stream.as_str(), self.viewer.transport);
                    let group = self.group.as_ref();
                    if group.is_some_and(|group| group.watches(name, over, wanted.video)) {
                        self.tell("watching", None);
                    }
                }
            }
            server::Event::Unsubscribed => self.stops_watching(),
            server::Event::Step { step, steps } => {
                info!(step, steps, "another picture");
                (self.viewer.step, self.viewer.steps) = (Some(step), Some(steps));
                self.tell("watching", None);
                (self.viewer.step, self.viewer.steps) = (None, None);
            }
            server::Event::Command(command) => self.command(&command, now),
            server::Event::Report(report) => trace!(?report, "report"),
            // Only a publisher has anything to do with that.
            server::Event::Levels(_) => {}
            server::Event::Closed(reason) => {
                self.stops_watching();
                match &reason {
                    CloseReason::Failed(err) => self.groups.misbehaved(err),
                    CloseReason::Cut | CloseReason::Silent => info!(?reason, "lost"),
                    CloseReason::Local(_) | CloseReason::Peer { .. } => info!(?reason, "left"),
                }
                if let Some(group) = self.group.take() {
                    let words = group.parts(&reason, now).unwrap_or_else(|| why(&reason));
                    if self.groups.leave(self.ident.0, &group, now) && group.is_watching() {
                        self.tell("left", Some(words));
                    }
                }
                return Turn::Closed;
            }
        }
        Turn::Again
    }

    /// Nothing is sent over this link any more.
    fn stops_watching(&mut self) {
        if self.share.take().is_some()
            && let Some(group) = &self.group
        {
            group.stops();
        }
    }

    fn tell(&mut self, state: &'static str, reason: Option<String>) {
        self.viewer.state = state;
        self.viewer.reason = reason;
        self.notices.tell(Notice::Viewer(self.viewer.clone()));
    }
}

impl Endpoint for Peer {
    const INBOX: usize = 0;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.look_again();
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
        Share::beside(&mut self.share, &mut self.session, (now, room), out)
    }

    fn end(&mut self) {
        self.session.end();
    }

    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn {
        if self.stop.is_cancelled() && !self.stopping {
            self.stopping = true;
            self.session.close(CloseCode::Going, now);
        }
        self.decided(now);
        match Share::poll(&mut self.share, &mut self.session, now, out) {
            Output::Send => {
                if let Some(leaving) = &mut self.leaving {
                    leaving.welcomed = true;
                }
                Turn::Sent
            }
            Output::Event(event) => self.event(event, now),
            Output::Idle(_) if self.is_leaving() => Turn::Left,
            Output::Idle(deadline) => {
                let no = self.no.as_ref().map(|(at, ..)| *at);
                let first = [deadline, no, self.until].into_iter().flatten().min();
                Turn::Idle(first)
            }
        }
    }

    async fn woken(&mut self) {
        let (stopping, stop) = (self.stopping, &self.stop);
        let stopped = async {
            if stopping {
                std::future::pending::<()>().await;
            }
            stop.cancelled().await;
        };
        let dismissed = self.group.as_ref().filter(|_| !self.sent_away);
        let dismissed = async {
            match dismissed {
                Some(group) => group.dismissed().cancelled().await,
                None => std::future::pending().await,
            }
        };
        let job = self.job.as_mut().filter(|_| self.done.is_none());
        let job = async {
            match job {
                Some(job) => job.done().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stopped => {}
            () = dismissed => {}
            () = Share::changed(&mut self.share) => {}
            done = job => self.done = Some(done),
            changed = self.changes.changed() => match changed {
                Ok(()) => self.changed = true,
                // The server is gone, and says so otherwise.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

pub(super) fn why(reason: &CloseReason) -> String {
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
