//! Which way to try when, without IO: QUIC first, TLS a little later, and the first one that a server has welcomed
//! carries the session.
//!
//! # The contract
//!
//! - Call [`Race::poll`] at once, after each [`Race::handle`], and when the time that it said has come, until it gives
//!   [`Output::Wait`]. After [`Output::Won`] or [`Output::Failed`] there is nothing but [`Output::Over`].
//! - Nobody is stopped because another was faster: what [`Beside`] says goes on, and stands by. After
//!   [`Output::Failed`] whatever is still under way is to be dropped.
//! - What comes from a way that was not started, or that has lost already, changes nothing.
//!
//! `Addresses` is the same within one way: which of a name's addresses to try when.

mod addresses;
mod plan;
mod report;
#[cfg(test)]
mod tests;

use std::mem;
use std::time::{Duration, Instant};

pub(super) use self::addresses::{Addresses, Step};
pub use self::plan::{Plan, Udp, Ways};
pub use self::report::{Beside, Failure, Fate, Report, Why};
use super::Carrier;

/// What the attempts say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<E> {
    /// A UDP packet has come back, whatever is in it.
    Heard,
    /// QUIC's handshake has got on by a step.
    Progress,
    /// The system or the network says that UDP may not go there (ICMP, `EPERM`). QUIC itself may go on, at another
    /// address for instance; where it does not, [`Event::Failed`] comes too.
    UdpRefused,
    /// The server has welcomed an authenticated session on this way.
    Welcome(Carrier),
    /// This way has failed, for whatever reason.
    Failed(Carrier, E),
    /// What answered there has a key that a person must be asked about, or be told of.
    Rejected(Carrier, E),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<E> {
    /// Try this way now. Each comes at most once.
    Start(Carrier),
    /// The session goes on here.
    Won(Report<E>),
    /// There is no way.
    Failed(Failure<E>),
    /// Nothing until then, or until there is an event.
    Wait(Instant),
    /// Nothing any more: it was won or lost, and that has been said.
    Over,
}

/// One attempt to reach a server; `E` is why a way fails.
#[derive(Debug)]
pub struct Race<E> {
    plan: Plan,
    began: Instant,
    quic: Lane<E>,
    tls: Lane<E>,
    /// When TLS starts even if QUIC has not failed by then.
    tls_at: Option<Instant>,
    udp: Echo,
    stage: Stage,
}

/// How far a way has come.
#[derive(Debug)]
enum Lane<E> {
    /// It must not be tried.
    Barred,
    /// It waits for its time, or for the other to fail.
    Held,
    /// It is to be started now.
    Due,
    Running,
    Failed(E),
    Rejected(E),
}

/// What UDP has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Echo {
    Nothing,
    Refused,
    Heard,
}

#[derive(Debug)]
enum Stage {
    Running,
    Won(Carrier, Duration),
    Failed(Duration),
    Over,
}

impl<E> Race<E> {
    /// Begins now.
    pub fn new(plan: Plan, now: Instant) -> Self {
        let mut race = Self {
            plan,
            began: now,
            quic: Lane::Barred,
            tls: Lane::Barred,
            tls_at: None,
            udp: Echo::Nothing,
            stage: Stage::Running,
        };
        match (plan.ways.allow(Carrier::Udp), plan.ways.allow(Carrier::Tcp)) {
            (true, true) => match plan.udp {
                Udp::Broken { .. } => (race.quic, race.tls) = (Lane::Held, Lane::Due),
                Udp::Unknown if plan.proxied => (race.quic, race.tls) = (Lane::Due, Lane::Due),
                Udp::Unknown => {
                    (race.quic, race.tls) = (Lane::Due, Lane::Held);
                    race.tls_at = Some(now + SILENT);
                }
            },
            (true, false) => race.quic = Lane::Due,
            (false, _) => race.tls = Lane::Due,
        }
        race
    }

    /// Takes what an attempt says.
    pub fn handle(&mut self, event: Event<E>, now: Instant) {
        self.advance(now);
        if !matches!(self.stage, Stage::Running) {
            return;
        }
        let carrier = match &event {
            Event::Heard | Event::Progress | Event::UdpRefused => Carrier::Udp,
            Event::Welcome(carrier) | Event::Failed(carrier, _) | Event::Rejected(carrier, _) => {
                *carrier
            }
        };
        if !matches!(self.lane(carrier), Lane::Running) {
            return;
        }
        match event {
            Event::Heard => self.heard(self.began + UNFINISHED),
            Event::Progress => self.heard(now + UNFINISHED),
            Event::UdpRefused => {
                if self.udp == Echo::Nothing {
                    self.udp = Echo::Refused;
                }
                release(&mut self.tls);
            }
            Event::Welcome(carrier) => self.stage = Stage::Won(carrier, now - self.began),
            Event::Failed(carrier, reason) => self.lose(carrier, Lane::Failed(reason), now),
            Event::Rejected(carrier, reason) => {
                self.lose(carrier, Lane::Rejected(reason), now);
                // TLS is what works if anything does, so its word is final. Whatever answers UDP with a wrong key may
                // be a box that knows no UDP at all.
                if carrier == Carrier::Tcp {
                    self.stage = Stage::Failed(now - self.began);
                }
            }
        }
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Output<E> {
        self.advance(now);
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Running => self.stage = Stage::Running,
            Stage::Won(carrier, took) => return Output::Won(self.report(carrier, took)),
            Stage::Failed(took) => return Output::Failed(self.failure(took)),
            Stage::Over => return Output::Over,
        }
        for carrier in Carrier::ALL {
            let lane = self.lane_mut(carrier);
            if matches!(lane, Lane::Due) {
                *lane = Lane::Running;
                return Output::Start(carrier);
            }
        }
        let end = self.began + self.plan.within;
        Output::Wait(match (&self.tls, self.tls_at) {
            (Lane::Held, Some(at)) => at.min(end),
            _ => end,
        })
    }

    /// Does what time alone does.
    fn advance(&mut self, now: Instant) {
        if self.tls_at.is_some_and(|at| now >= at) {
            release(&mut self.tls);
        }
        if matches!(self.stage, Stage::Running) && now >= self.began + self.plan.within {
            self.stage = Stage::Failed(now - self.began);
        }
    }

    /// UDP answers, which is worth waiting for until `until`.
    fn heard(&mut self, until: Instant) {
        self.udp = Echo::Heard;
        let latest = self.began + LATEST;
        self.tls_at = self.tls_at.map(|at| at.max(until).min(latest));
    }

    /// This way is out; the other need not wait any more, if there is one.
    fn lose(&mut self, carrier: Carrier, lost: Lane<E>, now: Instant) {
        *self.lane_mut(carrier) = lost;
        release(&mut self.quic);
        release(&mut self.tls);
        if Carrier::ALL
            .iter()
            .all(|carrier| self.lane(*carrier).is_out())
        {
            self.stage = Stage::Failed(now - self.began);
        }
    }

    const fn lane(&self, carrier: Carrier) -> &Lane<E> {
        match carrier {
            Carrier::Udp => &self.quic,
            Carrier::Tcp => &self.tls,
        }
    }

    const fn lane_mut(&mut self, carrier: Carrier) -> &mut Lane<E> {
        match carrier {
            Carrier::Udp => &mut self.quic,
            Carrier::Tcp => &mut self.tls,
        }
    }

    fn report(&mut self, winner: Carrier, took: Duration) -> Report<E> {
        let other = match winner {
            Carrier::Udp => Carrier::Tcp,
            Carrier::Tcp => Carrier::Udp,
        };
        let beside = match self.lane(other) {
            Lane::Barred | Lane::Failed(_) | Lane::Rejected(_) => Beside::Nothing,
            Lane::Held | Lane::Due => Beside::Untried(other),
            Lane::Running => Beside::GoesOn(other),
        };
        let why = match winner {
            Carrier::Udp => None,
            Carrier::Tcp => Some(self.why_not_quic()),
        };
        Report {
            winner,
            took,
            beside,
            why,
        }
    }

    fn why_not_quic(&mut self) -> Why<E> {
        match (mem::replace(&mut self.quic, Lane::Barred), self.udp) {
            (Lane::Barred, _) => Why::NotAllowed,
            (Lane::Held | Lane::Due, _) => match self.plan.udp {
                Udp::Broken { ago } => Why::Remembered { ago },
                Udp::Unknown => Why::Silent,
            },
            (Lane::Running, Echo::Heard) => Why::Slower,
            (Lane::Running, Echo::Nothing) => Why::Silent,
            (Lane::Running | Lane::Failed(_), Echo::Refused) => Why::Refused,
            (Lane::Failed(reason), Echo::Nothing | Echo::Heard) => Why::Failed(reason),
            (Lane::Rejected(reason), _) => Why::Rejected(reason),
        }
    }

    fn failure(&mut self, took: Duration) -> Failure<E> {
        Failure {
            quic: mem::replace(&mut self.quic, Lane::Barred).into_fate(),
            tls: mem::replace(&mut self.tls, Lane::Barred).into_fate(),
            took,
        }
    }
}

impl<E> Lane<E> {
    /// Nothing can come of it any more.
    const fn is_out(&self) -> bool {
        match self {
            Self::Barred | Self::Failed(_) | Self::Rejected(_) => true,
            Self::Held | Self::Due | Self::Running => false,
        }
    }

    fn into_fate(self) -> Fate<E> {
        match self {
            Self::Barred => Fate::NotAllowed,
            Self::Held | Self::Due => Fate::Untried,
            Self::Running => Fate::Unfinished,
            Self::Failed(reason) => Fate::Failed(reason),
            Self::Rejected(reason) => Fate::Rejected(reason),
        }
    }
}

/// Nothing is left to wait for.
fn release<E>(lane: &mut Lane<E>) {
    if matches!(lane, Lane::Held) {
        *lane = Lane::Due;
    }
}

/// Without any answer to UDP, TLS starts after this.
const SILENT: Duration = Duration::from_millis(100);
/// With an answer, QUIC's handshake has so long for its next step, counted from the start for the first.
const UNFINISHED: Duration = Duration::from_millis(250);
/// However well QUIC gets on, by then TLS starts.
const LATEST: Duration = Duration::from_secs(2);
