//! The task of one published stream: takes the publisher's links, has him send while somebody watches, and fills the
//! stream.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time;
use tracing::{Instrument as _, info, warn};

use super::filling::Filling;
use super::pair::Pair;
use super::side::Parting;
use super::{Arrival, Presence, Publisher, Rights, Settings};
use crate::drive::{self, Drained, Lane};
use crate::hub::Stream;
use crate::links::{Lanes, moves};
use crate::media::{Level, LevelSet, SourceState};
use crate::server::Notice;
use crate::server::gate::Pass;
use crate::server::peer::why;
use crate::session::client::{Event, Session, Want};
use crate::transport::{Carrier, Kind};
use crate::trust::Tokens;
use crate::wire::{self, CloseCode, StreamName};

/// Fills one stream.
pub(super) struct Receiver {
    stream: Arc<Stream>,
    settings: Settings,
    arrivals: mpsc::Receiver<Arrival>,
    presence: Arc<Mutex<Presence>>,
    lanes: Lanes,
    pair: Pair,
    /// Which publisher's the links are.
    publisher: u64,
    /// What is filled while somebody watches.
    filling: Option<Filling>,
    /// Goodbyes under way.
    partings: JoinSet<()>,
    /// Since when there is no publisher.
    gone: Option<Instant>,
    stopping: bool,
    /// Another stream has the name, and whoever watches this one is told so.
    retired: bool,
    /// The tokens; whether they were looked at since they changed, or a link came; and when one is over by itself.
    tokens: watch::Receiver<Arc<Tokens>>,
    checked: bool,
    until: Option<Instant>,
}

impl Receiver {
    pub(super) fn new(
        (name, stream): (StreamName, Arc<Stream>),
        arrivals: mpsc::Receiver<Arrival>,
        presence: Arc<Mutex<Presence>>,
        settings: Settings,
        now: Instant,
    ) -> Self {
        Self {
            pair: Pair::new(name, stream.tracks()),
            tokens: settings.gate.changes(),
            stream,
            settings,
            arrivals,
            presence,
            lanes: Lanes::default(),
            publisher: 0,
            filling: None,
            partings: JoinSet::new(),
            gone: Some(now),
            stopping: false,
            retired: false,
            checked: false,
            until: None,
        }
    }

    /// Runs until the server stops, or until the publisher has been gone for long.
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub(super) async fn run(mut self) {
        let mut viewers = self.stream.viewers();
        let stop = self.settings.stop.clone();
        loop {
            while self.partings.try_join_next().is_some() {}
            let now = Instant::now();
            if stop.is_cancelled() && !self.stopping {
                self.stopping = true;
                self.pair.close(CloseCode::Going, now);
            }
            // Who never stops sending must not keep another from his place.
            while !self.stopping
                && let Ok(arrival) = self.arrivals.try_recv()
            {
                self.arrived(arrival, now);
            }
            if !self.retired {
                self.attend(&mut viewers, now);
            }
            if !self.checked || self.until.is_some_and(|until| now >= until) {
                self.checked = true;
                self.until = self.pair.check(&self.settings.gate, now);
            }
            let mut deadline = self.drain();
            let assembled = self.assemble(Instant::now());
            deadline = earliest(deadline, assembled);
            self.wish(Instant::now());
            self.report(Instant::now());
            if self.lanes.is_empty() && (self.stopping || self.is_forgotten(Instant::now())) {
                break;
            }
            match self.move_on(Instant::now()) {
                Some(moved) => deadline = earliest(deadline, moved),
                None => continue,
            }
            deadline = earliest(deadline, self.due());
            let sleep = async {
                match deadline {
                    Some(deadline) => time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            let stopped = async {
                if self.stopping {
                    std::future::pending::<()>().await;
                }
                stop.cancelled().await;
            };
            tokio::select! {
                biased;
                (carrier, came) = self.lanes.ready() => {
                    if let Some(lane) = self.lanes.get(carrier) {
                        lane.take(came, &mut self.pair.side(carrier), Instant::now());
                    }
                }
                arrival = self.arrivals.recv(), if !self.stopping => match arrival {
                    Some(arrival) => self.arrived(arrival, Instant::now()),
                    // Nobody can come any more: the entry was replaced, or the server goes.
                    None => self.retire(Instant::now()),
                },
                _ = viewers.changed() => {}
                Ok(()) = self.tokens.changed() => self.checked = false,
                () = stopped => {}
                () = sleep => {}
            }
        }
        if !self.retired {
            self.stream.close();
        }
        while self.partings.join_next().await.is_some() {}
    }

    /// Looks whether anybody watches, and has the publisher send, or rest.
    fn attend(&mut self, viewers: &mut watch::Receiver<usize>, now: Instant) {
        let watched = *viewers.borrow_and_update() > 0;
        match (&mut self.filling, watched) {
            (None, true) => self.begin(now),
            (Some(filling), true) => filling.unwatched = None,
            (Some(filling), false) => {
                let since = *filling.unwatched.get_or_insert(now);
                if now >= since + self.settings.linger {
                    self.rest();
                }
            }
            (None, false) => {}
        }
    }

    fn begin(&mut self, now: Instant) {
        self.filling = Some(Filling::begin(&self.stream, &self.settings, now));
        if self.lanes.is_empty() {
            self.tell_lost();
        } else {
            self.pair.wake(now);
        }
    }

    /// Tells the publisher which levels are wanted, where that has changed.
    fn wish(&mut self, now: Instant) {
        if let Some(filling) = &mut self.filling {
            let wanted = filling.wanted();
            if let Some(asked) = filling.wishes.look(wanted, now) {
                self.pair.levels(asked);
            }
        }
    }

    fn rest(&mut self) {
        self.filling = None;
        self.pair.levels(LevelSet::NONE);
        self.pair.rest();
        self.stream.close();
        info!("nobody watches: the publisher rests");
    }

    fn tell_lost(&self) {
        if let Some(filling) = &self.filling {
            let why = "the publisher is gone".to_owned();
            filling.filler.set_state(SourceState::Lost { why });
        }
    }

    /// Does what is to be done on the links; when there is more.
    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn drain(&mut self) -> Option<Instant> {
        let mut deadline = None;
        for carrier in Carrier::ALL {
            let Some(lane) = self.lanes.get(carrier) else {
                continue;
            };
            match lane.drain(&mut self.pair.side(carrier)) {
                Drained::Idle(idle) => deadline = earliest(deadline, idle),
                Drained::Over | Drained::Left => {
                    if let Some(lane) = self.lanes.take(carrier) {
                        self.partings.spawn(lane.farewell());
                    }
                    self.ended(carrier, Instant::now());
                }
            }
        }
        deadline
    }

    /// A link is closed.
    fn ended(&mut self, carrier: Carrier, now: Instant) {
        let over = self.pair.over();
        if !self.pair.gone(carrier, now) {
            return;
        }
        self.gone = Some(now);
        if let Some(filling) = &mut self.filling {
            filling.end_below();
        }
        self.tell_lost();
        let reason = self.pair.last_words().map(|reason| why(&reason));
        if let Some((transport, addr)) = over {
            self.tell(Publisher {
                name: self.stream.name().to_owned(),
                addr,
                transport,
                state: "left",
                reason: Some(reason.unwrap_or_else(|| "the connection was cut".to_owned())),
            });
        }
    }

    /// Puts together what came; when to look again.
    fn assemble(&mut self, now: Instant) -> Option<Instant> {
        let came = self.pair.came();
        let clocks = self.pair.clocks(self.settings.pictures.epoch, now);
        let filling = self.filling.as_mut()?;
        for event in came {
            if let Event::Source { state, notice } = &event {
                let why = notice.as_ref().map_or("", |text| text.as_str()).to_owned();
                if let Some(state) = source(*state, why) {
                    filling.filler.set_state(state);
                }
                continue;
            }
            match filling.assembler.take(event, clocks) {
                Ok(Some(frame)) => {
                    if let Some(levels) = &filling.levels {
                        levels.offer(frame);
                    }
                }
                Ok(None) => {}
                Err(breach) => {
                    warn!(%breach, "the publisher is sent away");
                    self.pair.close(CloseCode::Misbehaved, now);
                    break;
                }
            }
        }
        filling.assembler.tick(clocks)
    }

    /// What is to be done about links: when to look again, or `None` where something was done.
    fn move_on(&mut self, now: Instant) -> Option<Option<Instant>> {
        let mut moved = false;
        loop {
            match self.pair.next_move(now) {
                moves::Output::Wait(until) => return (!moved).then_some(until),
                moves::Output::Dial(_) | moves::Output::Rebind(_) => {}
                moves::Output::Cut(carrier) => {
                    if let Some(lane) = self.lanes.get(carrier) {
                        lane.cut(&mut self.pair.side(carrier));
                    }
                    moved = true;
                }
                moves::Output::Ask(_)
                | moves::Output::Try(_)
                | moves::Output::Fetch(_)
                | moves::Output::Move(..)
                | moves::Output::Drop(_) => moved = true,
            }
        }
    }

    /// A link has turned.
    fn arrived(&mut self, arrival: Arrival, now: Instant) {
        let Arrival {
            lane,
            kind,
            addr,
            publisher,
            level,
            pass,
            rights,
        } = arrival;
        let carrier = kind.carrier();
        lane.turned();
        if let Some(level) = level {
            self.brings(level, (lane, kind), publisher, (pass, rights), now);
            return;
        }
        self.presence().expected = None;
        if publisher < self.publisher || self.stopping {
            // Another has taken his place meanwhile.
            let mut lone = Pair::new(self.pair.stream().clone(), self.stream.tracks());
            lone.add((kind, addr), (pass, rights), false, now);
            self.part(lane, lone.take(carrier), CloseCode::Replaced, now);
            return;
        }
        let known = self.pair.links() > 0 && publisher == self.publisher;
        if publisher > self.publisher {
            for carrier in Carrier::ALL {
                let (lane, session) = (self.lanes.take(carrier), self.pair.take(carrier));
                if let Some(lane) = lane {
                    self.part(lane, session, CloseCode::Replaced, now);
                    self.pair.gone(carrier, now);
                }
            }
            if let Some(filling) = &mut self.filling {
                filling.end_below();
                filling.assembler.anew();
            }
            self.publisher = publisher;
        }
        // He has dialled again, so the one before is dead.
        if self.lanes.take(carrier).is_some() {
            drop(self.pair.take(carrier));
            self.pair.gone(carrier, now);
        }
        self.gone = None;
        let wanted = self.filling.is_some();
        self.pair.add((kind, addr), (pass, rights), wanted, now);
        self.checked = false;
        self.lanes.put(carrier, lane);
        if !known {
            self.tell(Publisher {
                name: self.stream.name().to_owned(),
                addr,
                transport: kind.name(),
                state: "publishing",
                reason: None,
            });
        }
    }

    /// A link is there that brings a level below the best, if that is still wanted, and of the publisher who is there.
    fn brings(
        &mut self,
        level: Level,
        (lane, kind): (Lane, Kind),
        publisher: u64,
        (pass, rights): (Pass, Rights),
        now: Instant,
    ) {
        let welcome = publisher == self.publisher && self.pair.links() > 0 && !self.stopping;
        let free = pass.max_bps().is_none() && self.settings.gate.over(&pass).is_none();
        let filling = self.filling.as_mut().filter(|filling| {
            welcome && free && level != Level::Full && filling.wishes.asked().has(level)
        });
        let Some(filling) = filling else {
            let session = Session::new(Want::default(), now);
            self.part(lane, Some(session), CloseCode::Done, now);
            return;
        };
        let kind = (kind, self.pair.stream().clone());
        let mut side = filling.bring(level, kind, rights, &self.settings, now);
        let work = async move {
            drive::go_on(lane, &mut side).await;
        };
        self.partings.spawn(work.in_current_span());
    }

    /// Says goodbye on a link that is not used any more.
    fn part(&mut self, lane: Lane, session: Option<Session>, code: CloseCode, now: Instant) {
        let Some(mut session) = session else {
            return;
        };
        session.close(code, now);
        self.partings.spawn(async move {
            drive::go_on(lane, &mut Parting(session)).await;
        });
    }

    /// The stream was replaced by another of its name: whoever watches, or is about to, need not wait for anybody.
    fn retire(&mut self, now: Instant) {
        (self.stopping, self.retired) = (true, true);
        self.pair.close(CloseCode::Replaced, now);
        let filling = self.filling.as_ref();
        let filler = filling.map_or_else(|| self.stream.open(), |filling| filling.filler.clone());
        let why = "it is published anew, with other tracks: connect again".to_owned();
        filler.set_state(SourceState::Ended { why });
    }

    /// Lets those at the door know whether somebody is there.
    fn report(&self, now: Instant) {
        let (links, heard) = (self.pair.links(), self.pair.heard().unwrap_or(now));
        let mut presence = self.presence();
        (presence.links, presence.heard) = (links, heard);
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the publisher has been gone for long, and nobody waits for him.
    fn is_forgotten(&self, now: Instant) -> bool {
        self.filling.is_none() && self.gone.is_some_and(|gone| now >= gone + KEPT)
    }

    /// When to look again, whatever comes.
    fn due(&self) -> Option<Instant> {
        let filling = self.filling.as_ref();
        let rest = filling.and_then(|filling| Some(filling.unwatched? + self.settings.linger));
        let forgotten = self.gone.filter(|_| self.filling.is_none());
        let over = earliest(rest, forgotten.map(|gone| gone + KEPT));
        earliest(over, self.until)
    }

    fn tell(&self, publisher: Publisher) {
        self.settings.notices.tell(Notice::Publisher(publisher));
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// How the publisher says that his source is; `None` for words of a newer one.
fn source(state: wire::SourceState, why: String) -> Option<SourceState> {
    Some(match state {
        wire::SourceState::Opening => SourceState::Opening,
        wire::SourceState::Live => SourceState::Live,
        wire::SourceState::Lost => SourceState::Lost { why },
        wire::SourceState::Ended => SourceState::Ended { why },
        wire::SourceState::Unknown => return None,
    })
}

/// How long a stream is kept whose publisher is gone and that nobody watches.
const KEPT: Duration = Duration::from_secs(300);
