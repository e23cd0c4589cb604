//! What somebody at the other end of a link takes of a stream, and how it is brought to him.

use std::{future::pending, sync::Arc, time::Instant};

use bytes::BytesMut;
use tokio::sync::watch;

use crate::{
    drive::Beside,
    hub::{Status, Stream, Subscription},
    media::{self, AudioPacket, Level, Tracks, VideoStep},
    session::{Feed, Output, server},
    wire::{SourceState, Text},
};

/// A subscription, and how its source is.
pub(crate) struct Share {
    subscription: Subscription,
    status: watch::Receiver<Status>,
    /// Whether the status has changed since the other side was told.
    news: bool,
}

/// Feeds a session that takes nothing.
struct Nothing;

impl Share {
    /// As it was asked for.
    pub(crate) fn new(stream: Arc<Stream>, wanted: &server::Subscription) -> Self {
        let want = Tracks {
            video: wanted.video,
            audio: wanted.audio,
        };
        Self {
            status: stream.status(),
            subscription: Subscription::new(stream, want),
            news: true,
        }
    }

    /// Of one level of the picture alone.
    pub(crate) fn of_level(stream: Arc<Stream>, level: Level) -> Self {
        Self {
            status: stream.status(),
            subscription: Subscription::of_level(stream, level),
            news: true,
        }
    }

    /// The next step of a session, with what is taken over it.
    pub(crate) fn poll(
        share: &mut Option<Self>,
        session: &mut server::Session,
        now: Instant,
        out: &mut BytesMut,
    ) -> Output<server::Event> {
        let Some(share) = share else {
            return session.poll(now, &mut Nothing, out);
        };
        if std::mem::take(&mut share.news) {
            let (state, notice) = source(&share.status.borrow_and_update());
            session.source(state, notice);
        }
        session.poll(now, &mut share.subscription, out)
    }

    /// What goes beside the link's stream.
    pub(crate) fn beside(
        share: &mut Option<Self>,
        session: &mut server::Session,
        (now, room): (Instant, usize),
        out: &mut BytesMut,
    ) -> Beside {
        loop {
            if let Some(whole) = session.whole(now) {
                return Beside::Frame(whole.head, whole.jpeg);
            }
            let sent = match share {
                Some(share) => session.datagram(now, &mut share.subscription, room, out),
                None => false,
            };
            if sent {
                return Beside::Datagram;
            }
            if !session.has_whole() {
                break;
            }
        }
        if session.has_words() {
            Beside::Words
        } else {
            Beside::Nothing
        }
    }

    /// Resolves when there may be something new in it. Cancel-safe.
    pub(crate) async fn changed(share: &mut Option<Self>) {
        match share {
            Some(share) => tokio::select! {
                () = share.subscription.changed() => {}
                _ = share.status.changed() => share.news = true,
            },
            None => pending().await,
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

/// A source's status as it is told.
pub(super) fn source(status: &Status) -> (SourceState, Option<Text>) {
    let state = match status {
        Status::Idle | Status::Open(media::SourceState::Opening) => SourceState::Opening,
        Status::Open(media::SourceState::Live) => SourceState::Live,
        Status::Open(media::SourceState::Lost { .. }) => SourceState::Lost,
        Status::Open(media::SourceState::Ended { .. }) => SourceState::Ended,
    };
    (state, status.why().map(Text::new))
}
