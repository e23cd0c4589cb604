//! Levels below the best that the publisher makes himself, each over a link of its own, as long as his uplink has room.
//!
//! Whether it has is his to say: he dials such a link, and gives it up. What is looked after here is that nobody waits for
//! him: where a level is behind the best picture, its link is closed, and the server makes it again.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Rights;
use super::assemble::Assembler;
use super::times::{Clocks, Times};
use crate::config::AGENT;
use crate::drive::{Beside, Endpoint, Turn};
use crate::hub::Filler;
use crate::media::{Level, LevelSet, MediaTime};
use crate::server::pictures::Supply;
use crate::session::client::{Event, Session, Want};
use crate::session::{Output, SessionError};
use crate::transport::Kind;
use crate::wire::{CloseCode, LevelName, StreamName, Text};

/// Which levels are asked for: those that somebody has wanted for a while, until a while after nobody does.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    asked: LevelSet,
    /// Since when each is wanted, and when it was wanted last.
    wanted: [Option<(Instant, Instant)>; Level::COUNT],
}

impl Wishes {
    /// Somebody wants these; what is asked for from now on, where that is news.
    pub(super) fn look(&mut self, wanted: LevelSet, now: Instant) -> Option<LevelSet> {
        let mut asked = LevelSet::NONE;
        for (level, known) in Level::ALL.into_iter().zip(&mut self.wanted).skip(1) {
            known.take_if(|(_, last)| now.saturating_duration_since(*last) >= LINGER);
            if wanted.has(level) {
                let (since, _) = known.unwrap_or((now, now));
                *known = Some((since, now));
            }
            let long = known.is_some_and(|(since, last)| last >= since + PATIENCE);
            asked.set(level, long);
        }
        (std::mem::replace(&mut self.asked, asked) != asked).then_some(asked)
    }

    pub(super) const fn asked(&self) -> LevelSet {
        self.asked
    }
}

/// The server's end of a link that brings one level.
pub(super) struct Side {
    level: Level,
    session: Session,
    assembler: Assembler,
    times: Times,
    filler: Filler,
    supply: Supply,
    epoch: Instant,
    began: Instant,
    /// The number of the newest frame that came.
    newest: Option<u64>,
    stop: CancellationToken,
    closed: bool,
    _rights: Rights,
}

impl Side {
    pub(super) fn new(
        level: Level,
        (kind, stream): (Kind, StreamName),
        assembler: Assembler,
        (filler, times, supply): (Filler, Times, Supply),
        (stop, rights): (CancellationToken, Rights),
        (epoch, now): (Instant, Instant),
    ) -> Self {
        let want = Want {
            agent: Text::new(AGENT),
            ..Want::default()
        };
        let mut session = Session::new(want, now);
        if kind.has_datagrams() {
            session.with_datagrams();
        }
        session.linked(now);
        session.subscribe(stream, true, false);
        Self {
            level,
            session,
            assembler,
            times,
            filler,
            supply,
            epoch,
            began: now,
            newest: None,
            stop,
            closed: false,
            _rights: rights,
        }
    }

    fn close(&mut self, code: CloseCode, now: Instant) {
        if !std::mem::replace(&mut self.closed, true) {
            self.gives_up();
            self.session.close(code, now);
        }
    }

    /// Nothing of this level comes over this link any more.
    fn gives_up(&self) {
        // Whoever cancels it hands it back himself: another link may bring it by now.
        if !self.stop.is_cancelled() {
            hand_back(self.level, &self.filler, &self.supply);
        }
    }

    fn event(&mut self, event: Event, now: Instant) -> Turn {
        if let Event::Closed(reason) = &event {
            debug!(level = word(self.level), ?reason, "the level's link ends");
            self.gives_up();
            return Turn::Closed;
        }
        if self.closed {
            return Turn::Again;
        }
        if let Event::Audio(_) = event {
            // Nobody has asked for it.
            return Turn::Again;
        }
        // The clocks are compared over the links that bring the best picture.
        let clocks = Clocks {
            now,
            ours: MediaTime::from_duration(now.saturating_duration_since(self.epoch)),
            theirs: None,
        };
        match self.assembler.take(event, clocks) {
            Ok(Some(frame)) => {
                self.newest = Some(frame.number);
                if self.supply.set(self.level, true) {
                    info!(level = word(self.level), "the publisher makes it");
                }
                // Whoever has cancelled it meanwhile has handed it back before this took it again.
                if self.stop.is_cancelled() {
                    hand_back(self.level, &self.filler, &self.supply);
                }
            }
            Ok(None) => {}
            Err(breach) => {
                warn!(%breach, "a publisher's level is not taken any more");
                self.close(CloseCode::Misbehaved, now);
            }
        }
        Turn::Again
    }

    /// Whether viewers would wait for it.
    fn is_behind(&self, now: Instant) -> bool {
        match self.newest {
            Some(newest) => self.times.is_behind(newest, now),
            None => now.saturating_duration_since(self.began) >= FIRST_WITHIN,
        }
    }
}

impl Endpoint for Side {
    const INBOX: usize = 64 << 10;

    fn handle(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), SessionError> {
        self.session.handle(bytes, now)
    }

    fn handle_datagram(&mut self, datagram: Bytes, now: Instant) -> Result<(), SessionError> {
        self.session.handle_datagram(datagram, now)
    }

    fn handle_frame(&mut self, frame: Bytes, now: Instant) -> Result<(), SessionError> {
        self.session.handle_whole(frame, now)
    }

    fn end(&mut self) {
        self.session.end();
    }

    fn poll(&mut self, now: Instant, out: &mut BytesMut) -> Turn {
        if self.stop.is_cancelled() {
            self.close(CloseCode::Done, now);
        }
        match self.session.poll(now, out) {
            Output::Send => Turn::Sent,
            Output::Event(event) => self.event(event, now),
            Output::Idle(_) if !self.closed && self.is_behind(now) => {
                debug!(level = word(self.level), "it is behind the best picture");
                self.close(CloseCode::Done, now);
                Turn::Again
            }
            Output::Idle(deadline) => {
                let look = (!self.closed).then_some(now + LOOK);
                Turn::Idle(deadline.into_iter().chain(look).min())
            }
        }
    }

    fn beside(&mut self, now: Instant, _room: usize, out: &mut BytesMut) -> Beside {
        match self.session.datagram(now, out) {
            true => Beside::Datagram,
            false => Beside::Nothing,
        }
    }

    async fn woken(&mut self) {
        if self.closed {
            std::future::pending::<()>().await;
        }
        self.stop.cancelled().await;
    }
}

/// The server makes this level from now on, while it is wanted.
pub(super) fn hand_back(level: Level, filler: &Filler, supply: &Supply) {
    if supply.set(level, false) {
        filler.retire(level);
        filler.call();
        info!(level = word(level), "the server makes it again");
    }
}

fn word(level: Level) -> &'static str {
    LevelName::of(level).map_or("full", LevelName::word)
}

/// A newcomer may want a small first picture, and no other.
const PATIENCE: Duration = Duration::from_secs(2);
/// A viewer's rate control goes to and fro; a publisher is not told of each turn.
const LINGER: Duration = Duration::from_secs(5);
/// How long a link may stand without a frame.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether a level is behind.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_level_is_asked_for_that_is_wanted_for_a_while_and_until_a_while_after_nobody_wants_it() {
        let t0 = start();
        let at = |ms| t0 + Duration::from_millis(ms);
        let set = |levels: &[Level]| levels.iter().copied().collect::<LevelSet>();
        let (none, half) = (LevelSet::NONE, set(&[Level::Half]));
        let (quarter, both) = (set(&[Level::Quarter]), set(&[Level::Half, Level::Quarter]));
        let mut wishes = Wishes::default();
        assert_eq!(wishes.look(set(&[Level::Full, Level::Half]), at(0)), None);
        assert_eq!(wishes.look(half, at(1990)), None);
        assert_eq!(wishes.look(half, at(2000)), Some(half));
        assert_eq!(wishes.look(quarter, at(3000)), None);
        assert_eq!(wishes.look(both, at(5000)), Some(both));
        assert_eq!(wishes.look(quarter, at(9999)), None);
        assert_eq!(wishes.look(quarter, at(10_000)), Some(quarter));
        assert_eq!(wishes.look(none, at(14_999)), None);
        assert_eq!(wishes.look(none, at(15_000)), Some(none));
        // Newcomers' first pictures, now and then.
        for n in 0..9 {
            assert_eq!(wishes.look(quarter, at(20_000 + n * 6000)), None);
            assert_eq!(wishes.look(none, at(20_100 + n * 6000)), None);
        }
        assert_eq!(wishes.asked(), none);
    }
}
