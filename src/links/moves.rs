//! When a viewer moves from one way to the other while it plays. A state machine without clock and IO.
//!
//! The picture comes over the *active* way, the sound over both, so that it is heard which of them still carries
//! anything. QUIC is doubted when nothing has come over it for 150 ms or four times what is usual between two packets;
//! the move is made as soon as TLS, asked, says more than QUIC does. From TLS, QUIC is tried again after 5 s, 15 s,
//! 30 s, and then each minute; it must carry real media for two seconds, beside those that are seen, before the picture
//! moves there. A second move away from QUIC within a minute bars it for five minutes, and for twice as long each time.
//! What is heard does not tell that the server hears as well: where it leaves questions over QUIC unanswered that it answers
//! over TLS, the move is made too. Where neither way says anything, this machine may have another address: QUIC then goes on from that. Where it is known
//! to have one, QUIC goes on at once, or is tried at once, and TCP is given up if it stays silent.

mod event;
#[cfg(fuzzing)]
pub(crate) mod fuzz;

use std::time::{Duration, Instant};

pub(crate) use self::event::{Event, Output, Reason};
use crate::transport::Carrier;

#[derive(Debug)]
pub(crate) struct Moves {
    active: Carrier,
    /// Only this one is allowed.
    only: bool,
    quic: Way,
    tls: Way,
    stage: Stage,
    /// Yet to be done.
    todo: Vec<Output>,
    /// When TLS is to stand by.
    standby_at: Instant,
    /// When QUIC is tried next, and how often it was.
    probe_at: Instant,
    probes: usize,
    /// The last move away from QUIC, and how long QUIC is barred at the next one that comes soon.
    fell: Option<Instant>,
    bar: Duration,
    /// When this machine got another address, while it is not known whether TCP survives it.
    readdressed: Option<Instant>,
}

#[derive(Debug, Default)]
struct Way {
    stands: bool,
    dialling: bool,
    heard: Option<Instant>,
    /// What is usual between two packets.
    usual: Duration,
    /// Frames, and the sum of their ages, while it is tried.
    frames: u32,
    ages: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Calm,
    /// QUIC is doubted; since when TLS has said something that QUIC has not; when QUIC goes on from another address, if
    /// that has not been tried.
    Doubt {
        answered: Option<Instant>,
        rebind_at: Option<Instant>,
    },
    /// QUIC is tried since then.
    Trial {
        since: Instant,
    },
    /// The picture is fetched over the other way since then, for this reason.
    Fetching {
        to: Carrier,
        since: Instant,
        reason: Reason,
    },
}

impl Moves {
    /// The race was won by `active`; `only`: nothing else is allowed.
    pub(crate) fn new(active: Carrier, only: bool, now: Instant) -> Self {
        let mut moves = Self {
            active,
            only,
            quic: Way::default(),
            tls: Way::default(),
            stage: Stage::Calm,
            todo: Vec::new(),
            standby_at: now + STANDBY_AFTER,
            probe_at: now + PROBES[0],
            probes: 0,
            fell: None,
            bar: FIRST_BAR,
            readdressed: None,
        };
        let way = moves.way(active);
        way.stands = true;
        way.heard = Some(now);
        moves
    }

    /// Over which way the picture comes that is seen.
    pub(crate) const fn active(&self) -> Carrier {
        self.active
    }

    pub(crate) fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Stands(carrier) => {
                let way = self.way(carrier);
                *way = Way {
                    stands: true,
                    heard: Some(now),
                    ..Way::default()
                };
                if carrier != self.active && !self.seen(self.active).stands {
                    self.fetch(carrier, Reason::Broken, now);
                } else if carrier == Carrier::Udp && self.active == Carrier::Tcp {
                    self.begin_trial(now);
                }
            }
            Event::Failed(carrier) => {
                self.way(carrier).dialling = false;
                match carrier {
                    Carrier::Udp => self.put_off(now),
                    Carrier::Tcp => self.standby_at = now + PROBES[0],
                }
            }
            Event::Gone(carrier) => self.gone(carrier, now),
            Event::Heard(carrier) => {
                let way = self.way(carrier);
                if let Some(before) = way.heard {
                    let gap = now.saturating_duration_since(before).min(LONGEST_GAP);
                    way.usual = (way.usual * 15 + gap) / 16;
                }
                way.heard = Some(now);
                if let Stage::Doubt { answered, .. } = &mut self.stage {
                    match carrier {
                        Carrier::Udp => self.stage = Stage::Calm,
                        Carrier::Tcp => _ = answered.get_or_insert(now),
                    }
                }
            }
            Event::Frame(carrier, age) => {
                let way = self.way(carrier);
                way.frames += 1;
                way.ages += age;
            }
            Event::Unheard => {
                let calm = matches!(self.stage, Stage::Calm | Stage::Doubt { .. });
                if calm && self.active == Carrier::Udp && self.tls.stands && !self.only {
                    self.fall(Reason::Unheard, now);
                }
            }
            Event::Network => self.network(now),
            Event::Ready(carrier) => {
                if let Stage::Fetching { to, reason, .. } = self.stage
                    && to == carrier
                {
                    self.arrive(carrier, reason, now);
                }
            }
        }
    }

    /// What to do now; nothing more until there is [`Output::Wait`].
    pub(crate) fn poll(&mut self, now: Instant) -> Output {
        if self.todo.is_empty() {
            self.advance(now);
        }
        if self.todo.is_empty() {
            return Output::Wait(self.deadline(now));
        }
        self.todo.remove(0)
    }

    fn advance(&mut self, now: Instant) {
        if let Some(since) = self.readdressed
            && now >= since + SURVIVES
        {
            self.readdressed = None;
            if self.tls.stands && self.tls.heard.is_none_or(|heard| heard <= since) {
                self.todo.push(Output::Cut(Carrier::Tcp));
                return;
            }
        }
        match self.stage {
            Stage::Calm => self.advance_calm(now),
            Stage::Doubt {
                answered,
                rebind_at,
            } => {
                if answered.is_some_and(|answered| now >= answered + GRACE) {
                    self.fall(Reason::Silent, now);
                } else if rebind_at.is_some_and(|at| now >= at) {
                    self.stage = Stage::Doubt {
                        answered,
                        rebind_at: None,
                    };
                    self.todo.push(Output::Rebind(Carrier::Udp));
                }
            }
            Stage::Trial { since } => {
                let silent = self
                    .quic
                    .heard
                    .is_none_or(|heard| now >= heard + TRIAL_SILENCE);
                if silent {
                    self.give_up_trial(now);
                } else if now >= since + TRIAL {
                    if self.quic_is_good() {
                        self.fetch(Carrier::Udp, Reason::Better, now);
                    } else {
                        self.give_up_trial(now);
                    }
                }
            }
            Stage::Fetching { to, since, reason } => {
                let silent = self
                    .seen(to)
                    .heard
                    .is_none_or(|heard| now >= heard + TRIAL_SILENCE);
                if reason == Reason::Better && (silent || now >= since + FETCH_WITHIN) {
                    self.give_up_trial(now);
                }
            }
        }
    }

    fn advance_calm(&mut self, now: Instant) {
        if self.only {
            return;
        }
        match self.active {
            Carrier::Udp => {
                if !self.tls.stands && !self.tls.dialling && now >= self.standby_at {
                    self.dial(Carrier::Tcp);
                }
                if now >= self.doubt_at() {
                    self.stage = Stage::Doubt {
                        answered: None,
                        rebind_at: Some(now + MUTE),
                    };
                    if self.tls.stands {
                        self.todo.push(Output::Ask(Carrier::Tcp));
                    } else if !self.tls.dialling {
                        self.dial(Carrier::Tcp);
                    }
                }
            }
            Carrier::Tcp => {
                if !self.quic.stands && !self.quic.dialling && now >= self.probe_at {
                    self.dial(Carrier::Udp);
                }
            }
        }
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let survives = self.readdressed.map(|since| since + SURVIVES);
        self.stage_deadline(now).into_iter().chain(survives).min()
    }

    fn stage_deadline(&self, now: Instant) -> Option<Instant> {
        let at = match self.stage {
            Stage::Calm if self.only => return None,
            Stage::Calm => match self.active {
                Carrier::Udp => {
                    let standby =
                        (!self.tls.stands && !self.tls.dialling).then_some(self.standby_at);
                    return [standby, Some(self.doubt_at())].into_iter().flatten().min();
                }
                Carrier::Tcp => {
                    return (!self.quic.stands && !self.quic.dialling).then_some(self.probe_at);
                }
            },
            Stage::Doubt {
                answered,
                rebind_at,
            } => return answered.map(|at| at + GRACE).or(rebind_at),
            Stage::Trial { since } => {
                let silent = self.quic.heard.map_or(now, |heard| heard + TRIAL_SILENCE);
                silent.min(since + TRIAL)
            }
            Stage::Fetching { to, since, reason } => {
                if reason != Reason::Better {
                    return None;
                }
                let silent = self
                    .seen(to)
                    .heard
                    .map_or(now, |heard| heard + TRIAL_SILENCE);
                silent.min(since + FETCH_WITHIN)
            }
        };
        Some(at)
    }

    /// Another network: QUIC goes on from there, or is tried there; what was found out about the old one is void.
    fn network(&mut self, now: Instant) {
        (self.fell, self.bar, self.probes) = (None, FIRST_BAR, 0);
        self.probe_at = now;
        if self.quic.stands {
            self.todo.push(Output::Rebind(Carrier::Udp));
        }
        // A TCP connection belongs to its address. Where that is still there, or comes back, something is heard.
        self.readdressed = self.tls.stands.then_some(now);
    }

    /// When silence becomes suspicious.
    fn doubt_at(&self) -> Instant {
        let silence = (self.quic.usual * 4).clamp(DOUBT, LONGEST_GAP);
        self.quic
            .heard
            .map_or(self.standby_at, |heard| heard + silence)
    }

    fn dial(&mut self, carrier: Carrier) {
        self.way(carrier).dialling = true;
        self.todo.push(Output::Dial(carrier));
    }

    /// Over to TLS: QUIC is silent, or the server does not hear it.
    fn fall(&mut self, reason: Reason, now: Instant) {
        self.bar_quic(now);
        self.quic = Way::default();
        self.todo.push(Output::Drop(Carrier::Udp));
        self.fetch(Carrier::Tcp, reason, now);
    }

    /// QUIC is tried again, but not too soon.
    fn bar_quic(&mut self, now: Instant) {
        let again = self
            .fell
            .is_some_and(|fell| now.saturating_duration_since(fell) < FLAP);
        self.fell = Some(now);
        self.probes = 0;
        if again {
            self.probe_at = now + self.bar;
            self.bar = (self.bar * 2).min(LONGEST_BAR);
        } else {
            self.probe_at = now + PROBES[0];
        }
    }

    fn gone(&mut self, carrier: Carrier, now: Instant) {
        *self.way(carrier) = Way::default();
        let other = other(carrier);
        let fetching = matches!(self.stage, Stage::Fetching { to, .. } if to == carrier);
        if carrier == Carrier::Udp && (matches!(self.stage, Stage::Trial { .. }) || fetching) {
            self.stage = Stage::Calm;
            self.put_off(now);
        }
        if carrier == self.active && self.seen(other).stands {
            if carrier == Carrier::Udp {
                self.bar_quic(now);
            }
            self.fetch(other, Reason::Broken, now);
        } else if carrier == Carrier::Tcp && self.active == Carrier::Udp {
            self.stage = Stage::Calm;
            self.standby_at = now + STANDBY_AFTER;
        }
    }

    fn begin_trial(&mut self, now: Instant) {
        for way in [&mut self.quic, &mut self.tls] {
            (way.frames, way.ages) = (0, Duration::ZERO);
        }
        self.stage = Stage::Trial { since: now };
        self.todo.push(Output::Try(Carrier::Udp));
    }

    fn give_up_trial(&mut self, now: Instant) {
        self.quic = Way::default();
        self.stage = Stage::Calm;
        self.todo.push(Output::Drop(Carrier::Udp));
        self.put_off(now);
    }

    /// The next try of QUIC.
    fn put_off(&mut self, now: Instant) {
        self.probes += 1;
        let after = PROBES.get(self.probes).or(PROBES.last());
        self.probe_at = now + after.copied().unwrap_or(FLAP);
    }

    /// Whether QUIC, as it was tried, is at least as good as TLS.
    fn quic_is_good(&self) -> bool {
        let (quic, tls) = (&self.quic, &self.tls);
        let age = |way: &Way| way.ages / way.frames.max(1);
        quic.frames * 10 >= tls.frames * 9 && age(quic) <= age(tls) + WORSE
    }

    fn fetch(&mut self, to: Carrier, reason: Reason, now: Instant) {
        self.stage = Stage::Fetching {
            to,
            since: now,
            reason,
        };
        self.todo.push(Output::Fetch(to));
        if reason != Reason::Better {
            // There is nothing else to see.
            self.arrive(to, reason, now);
        }
    }

    fn arrive(&mut self, carrier: Carrier, reason: Reason, now: Instant) {
        self.stage = Stage::Calm;
        self.active = carrier;
        if carrier == Carrier::Udp {
            self.probes = 0;
            self.standby_at = now + STANDBY_AFTER;
        }
        self.todo.push(Output::Move(carrier, reason));
    }

    const fn seen(&self, carrier: Carrier) -> &Way {
        match carrier {
            Carrier::Udp => &self.quic,
            Carrier::Tcp => &self.tls,
        }
    }

    const fn way(&mut self, carrier: Carrier) -> &mut Way {
        match carrier {
            Carrier::Udp => &mut self.quic,
            Carrier::Tcp => &mut self.tls,
        }
    }
}

/// The other way.
pub(crate) const fn other(carrier: Carrier) -> Carrier {
    match carrier {
        Carrier::Udp => Carrier::Tcp,
        Carrier::Tcp => Carrier::Udp,
    }
}

/// Silence that is suspicious at least.
const DOUBT: Duration = Duration::from_millis(150);
/// Neither says anything for so long: this machine may have another address.
const MUTE: Duration = Duration::from_millis(250);
/// A TCP connection that says nothing for so long after a change of addresses is dead.
const SURVIVES: Duration = Duration::from_millis(500);
/// TLS has said something while QUIC is doubted; QUIC may be a little slower.
const GRACE: Duration = Duration::from_millis(50);
/// What is taken for usual at most, so that a source that stands still is not waited for.
const LONGEST_GAP: Duration = Duration::from_millis(400);
/// A short look at a stream is not worth a second connection.
const STANDBY_AFTER: Duration = Duration::from_secs(1);
/// From the start, or from a move to TLS, and between tries.
const PROBES: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// How long QUIC carries media before they are seen.
const TRIAL: Duration = Duration::from_secs(2);
/// Silence that ends a trial.
const TRIAL_SILENCE: Duration = Duration::from_millis(500);
/// How long the first picture may take.
const FETCH_WITHIN: Duration = Duration::from_secs(2);
/// How much older frames may be over QUIC than over TLS.
const WORSE: Duration = Duration::from_millis(5);
/// Two moves away from QUIC within this are one too many.
const FLAP: Duration = Duration::from_secs(60);
const FIRST_BAR: Duration = Duration::from_secs(300);
const LONGEST_BAR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
