//! What somebody asks of the server itself, and who may.

use std::{collections::HashMap, sync::Arc, time::Instant};

use tokio::task::{JoinHandle, spawn_blocking};

use super::Peer;
use crate::server::share::source;
use crate::{
    config::AGENT,
    media::{Role, TokenId},
    server::{gate::Pass, groups::Group},
    trust::TrustError,
    wire::{
        Answer, CloseCode, Command, ServerInfo, StreamStatus, Text, ViewerStatus,
        limits::{MAX_ANSWERED_VIEWERS, MAX_LISTED_STREAMS},
    },
};

/// Something that a command has begun.
#[derive(Debug)]
pub(super) struct Job {
    id: u64,
    work: JoinHandle<Result<(), TrustError>>,
}

impl Job {
    /// What came of it. Cancel-safe.
    pub(super) async fn done(&mut self) -> Answer {
        match (&mut self.work).await {
            Ok(Ok(())) => Answer::done(self.id),
            Ok(Err(err)) => Answer::not(self.id, CloseCode::Forbidden, &err.to_string()),
            Err(_) => Answer::not(self.id, CloseCode::Internal, "it failed"),
        }
    }
}

impl Peer {
    /// Does what is asked, if whoever asks may.
    pub(super) fn command(&mut self, command: &Command, now: Instant) {
        let what = command.what.as_str();
        let words = format!("{what} {}", command.arg.as_str());
        let token = self.pass.as_ref().and_then(|pass| pass.token());
        let needed = COMMANDS.iter().find(|(known, _)| *known == what);
        let refusal = match needed {
            None => {
                let known: Vec<_> = COMMANDS.iter().map(|(known, _)| *known).collect();
                let known = known.join(", ");
                Some((
                    CloseCode::Incompatible,
                    format!("this server knows no '{what}', but {known}"),
                ))
            }
            Some((_, role)) if !self.may(*role) => Some((
                CloseCode::Forbidden,
                format!(
                    "'{what}' needs a token with the role '{role}', and this link is for '{}'",
                    self.role
                ),
            )),
            Some(_) if self.job.is_some() => {
                Some((CloseCode::Busy, "one thing after the other".to_owned()))
            }
            Some(_) => None,
        };
        let event = if refusal.is_some() {
            "refused"
        } else {
            "command"
        };
        self.note(event, token, words.trim_end());
        if let Some((code, words)) = refusal {
            self.session.answered(Answer::not(command.id, code, &words));
            return;
        }
        if let Some(answer) = self.answer(command, now) {
            self.session.answered(answer);
        }
    }

    /// Whoever watches may nothing here, whatever his token is.
    fn may(&self, role: Role) -> bool {
        self.pass
            .as_ref()
            .is_some_and(|pass| pass.role.includes(role))
    }

    /// `None` if it takes its time.
    fn answer(&mut self, command: &Command, now: Instant) -> Option<Answer> {
        let (id, arg) = (command.id, command.arg.as_str());
        Some(match command.what.as_str() {
            "info" => Answer {
                info: Some(self.info(now)),
                ..Answer::done(id)
            },
            "list" => self.list(id, command.from, now),
            "streams" => self.streams(id, command.from),
            "kick" => {
                let number = arg.parse::<u64>().ok();
                let viewer = number.and_then(|number| {
                    let there = self.groups.members(number, 1).pop()?;
                    (there.id() == number).then_some(there)
                });
                match viewer {
                    Some(viewer) => {
                        viewer.dismiss();
                        Answer::done(id)
                    }
                    None => {
                        let words = format!("there is no viewer '{arg}'");
                        Answer::not(id, CloseCode::Forbidden, &words)
                    }
                }
            }
            "revoke" => match arg.parse::<TokenId>() {
                Ok(token) => {
                    let gate = Arc::clone(&self.gate);
                    // Another program may be changing the file.
                    let work = spawn_blocking(move || gate.revoke(token));
                    self.job = Some(Job { id, work });
                    return None;
                }
                Err(err) => Answer::not(id, CloseCode::Forbidden, &err.to_string()),
            },
            _ => Answer::not(id, CloseCode::Incompatible, "not known"),
        })
    }

    fn info(&self, now: Instant) -> ServerInfo {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        ServerInfo {
            agent: Text::new(AGENT),
            up_s: now.saturating_duration_since(self.gate.began()).as_secs(),
            viewers: number(self.groups.count()),
            streams: number(self.hub.streams().len()),
            tokens: number(self.gate.tokens().iter().count()),
            open: self.gate.is_open(),
        }
    }

    fn list(&self, id: u64, from: u64, now: Instant) -> Answer {
        let mut members = self.groups.members(from, MAX_ANSWERED_VIEWERS + 1);
        let more = members.len() > MAX_ANSWERED_VIEWERS;
        let next = members.last().filter(|_| more).map(|group| group.id());
        members.truncate(MAX_ANSWERED_VIEWERS);
        Answer {
            viewers: members.iter().map(|group| viewer(group, now)).collect(),
            next,
            ..Answer::done(id)
        }
    }

    /// `from` counts streams by name.
    fn streams(&self, id: u64, from: u64) -> Answer {
        let mut watched: HashMap<String, u64> = HashMap::new();
        for group in self.groups.members(0, usize::MAX) {
            if let Some(stream) = group.shown().stream {
                *watched.entry(stream).or_default() += 1;
            }
        }
        let pattern = self.pass.as_ref().map(Pass::streams);
        let mut all = self.hub.streams();
        all.retain(|stream| pattern.as_ref().is_some_and(|it| it.matches(stream.name())));
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let streams = all.iter().skip(skip).take(MAX_LISTED_STREAMS);
        let streams: Vec<StreamStatus> = streams
            .filter_map(|stream| {
                let viewers = watched.get(stream.name()).copied().unwrap_or_default();
                let (state, _) = source(&stream.status().borrow());
                Some(StreamStatus {
                    name: stream.name().parse().ok()?,
                    state: Some(state).filter(|_| *stream.viewers().borrow() > 0),
                    video: stream.tracks().video,
                    audio: stream.tracks().audio,
                    viewers,
                })
            })
            .collect();
        let end = skip.saturating_add(MAX_LISTED_STREAMS);
        let next = (all.len() > end).then(|| u64::try_from(end).unwrap_or(u64::MAX));
        Answer {
            streams,
            next,
            ..Answer::done(id)
        }
    }
}

fn viewer(group: &Group, now: Instant) -> ViewerStatus {
    let (who, shown) = (group.who(), group.shown());
    ViewerStatus {
        id: group.id(),
        addr: Text::new(&who.addr.to_string()),
        transport: Text::new(shown.transport),
        agent: who.agent.clone(),
        stream: shown.stream.and_then(|name| name.parse().ok()),
        token: who.pass.token(),
        since_s: now.saturating_duration_since(group.since()).as_secs(),
    }
}

/// What the server does when it is asked, and the role that it takes.
const COMMANDS: [(&str, Role); 5] = [
    ("streams", Role::Control),
    ("info", Role::Admin),
    ("list", Role::Admin),
    ("kick", Role::Admin),
    ("revoke", Role::Admin),
];
