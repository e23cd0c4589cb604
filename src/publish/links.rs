//! The links to the server: dialled, kept, and dialled again.

use std::net::SocketAddr;
use std::sync::{Arc, atomic::AtomicUsize};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::below;
use super::end::{End, Ended, Pictures, Taken, is_of_every_link};
use super::levels::{Came, Levels};
use super::schedule::{Output, Schedule};
use super::side::Side;
use super::welcome::{Fault, Welcomed, welcomed};
use super::{News, Switched};
use crate::client::{Connected, Connector, Reached, random_byte, reach};
use crate::config::{AGENT, Publish};
use crate::drive::{self, Lane, take_early};
use crate::error::Error;
use crate::hub::Stream;
use crate::links::place;
use crate::media::{Level, Role};
use crate::server::{info, random};
use crate::session::client::{Opening, Session, Want};
use crate::session::server::Offer;
use crate::transport::{self, Carrier};
use crate::wire::{LevelName, PublishInfo, PublisherKey, ResumeSecret, SessionId, Text};

/// All links of one publisher.
pub(super) struct Links {
    connector: Connector,
    stream: Arc<Stream>,
    epoch: Instant,
    info: PublishInfo,
    max_bps: Option<u64>,
    news: Arc<dyn Fn(News) + Send + Sync>,
    stop: CancellationToken,
    schedule: Schedule,
    dials: JoinSet<(Carrier, Result<Welcomed, Fault>)>,
    ends: JoinSet<(Carrier, u64, Ended)>,
    /// By carrier: how the link there is called, and which it is.
    ways: [Option<(&'static str, u64)>; 2],
    /// Over which carrier the server takes the picture, as it was last seen.
    pictures: Pictures,
    over: Option<&'static str>,
    /// Counts links.
    number: u64,
    /// Where the server is.
    server: Option<SocketAddr>,
    /// How many there are.
    count: Arc<AtomicUsize>,
    /// The same as it is, told by the links.
    taken: Arc<watch::Sender<Taken>>,
    /// Beside the best picture.
    levels: Levels,
    /// Tells the links that this machine has another address.
    addresses: watch::Sender<()>,
}

impl Links {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub(super) fn new(
        config: &Publish,
        connector: Connector,
        (stream, epoch): (Arc<Stream>, Instant),
        news: Arc<dyn Fn(News) + Send + Sync>,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let key = random().ok_or_else(no_random)?;
        let tracks = stream.tracks();
        let name = info(&stream).ok_or_else(no_random)?.name;
        let now = Instant::now();
        // A rate that was given is for one picture.
        let levels = config.levels && config.max_bitrate.is_none() && tracks.video;
        Ok(Self {
            schedule: Schedule::new(connector.only(), now),
            levels: Levels::new(levels, Arc::clone(&stream), now),
            connector,
            stream,
            epoch,
            info: PublishInfo {
                stream: name,
                video: tracks.video,
                audio: tracks.audio,
                take_over: config.take_over,
                key: PublisherKey::from_bytes(key),
                level: None,
            },
            max_bps: config.max_bitrate,
            news,
            stop,
            dials: JoinSet::new(),
            ends: JoinSet::new(),
            ways: [None, None],
            pictures: Pictures::default(),
            over: None,
            number: 0,
            server: None,
            count: Arc::default(),
            taken: Arc::new(watch::Sender::default()),
            addresses: watch::Sender::default(),
        })
    }

    /// Publishes until it is stopped, or until the server says no.
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub(super) async fn run(&mut self) -> Result<(), Error> {
        let stop = self.stop.clone();
        let mut reached = false;
        let mut local = None;
        let mut taken = self.taken.subscribe();
        let mut look = time::interval(LOOK);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let deadline = match self.schedule.poll(Instant::now()) {
                Output::Race => {
                    let server = self.connector.server();
                    (self.news)(News::Word(format!("connecting to {server}")));
                    let raced = tokio::select! {
                        raced = self.race() => raced,
                        () = stop.cancelled() => return Ok(()),
                    };
                    match raced {
                        Ok(welcomed) => {
                            reached = true;
                            local = transport::source_towards(welcomed.there.link.peer());
                            self.begin(welcomed, true);
                        }
                        // It is there, and may have room later.
                        Err(Fault::Lost(why)) => self.race_lost(&why),
                        Err(Fault::Failed(Error::Dial(err))) if reached || err.is_from_server() => {
                            reached = true;
                            self.race_lost(&err.to_string());
                        }
                        Err(Fault::Failed(err)) => return Err(err),
                    }
                    continue;
                }
                Output::Dial(carrier) => {
                    self.dial(carrier);
                    continue;
                }
                Output::Wait(until) => until,
            };
            let levels = self.mind_levels(Instant::now());
            let deadline = deadline.into_iter().chain(levels).min();
            let sleep = async {
                match deadline {
                    Some(deadline) => time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(dialled) = self.dials.join_next(), if !self.dials.is_empty() => {
                    if let Ok((carrier, dialled)) = dialled {
                        self.dialled(carrier, dialled)?;
                    }
                }
                Some(over) = self.ends.join_next(), if !self.ends.is_empty() => {
                    if let Ok((carrier, number, ended)) = over {
                        self.ended(carrier, number, ended)?;
                    }
                }
                Ok(()) = taken.changed() => {
                    let now = *taken.borrow_and_update();
                    self.pictured(now.pictures);
                }
                came = self.levels.came() => self.level_came(came),
                _ = look.tick() => {
                    let now_at = self.server.and_then(transport::source_towards);
                    if local.is_some() && now_at.is_some() && now_at != local {
                        info!("another network");
                        local = now_at;
                        self.addresses.send_replace(());
                        self.schedule.network(Instant::now());
                    }
                }
                () = sleep => {}
            }
        }
    }

    /// Says goodbye on every link, and waits until that is said, but not for long.
    pub(super) async fn part(&mut self) {
        self.stop.cancel();
        self.dials.abort_all();
        let parted = async {
            while self.ends.join_next().await.is_some() {}
            self.levels.part().await;
        };
        if time::timeout(PARTING, parted).await.is_err() {
            debug!("the server did not take the goodbye");
        }
    }

    /// Tries all that is allowed.
    async fn race(&mut self) -> Result<Welcomed, Fault> {
        let opening = self
            .opening(None)
            .ok_or_else(|| Fault::Failed(no_random()))?;
        let there = self.connector.dial(opening).await.map_err(Fault::Failed)?;
        welcomed(there).await
    }

    fn dial(&mut self, carrier: Carrier) {
        let Some(dial) = self.dialling(carrier, None) else {
            return;
        };
        self.dials.spawn(async move { (carrier, dial.await) });
    }

    /// Dials once more, for the best picture or for a level below it.
    fn dialling(
        &self,
        carrier: Carrier,
        level: Option<Level>,
    ) -> Option<impl Future<Output = Result<Welcomed, Fault>> + Send + 'static> {
        let first = self.connector.words(self.opening(level)?);
        let target = self.connector.again(carrier);
        Some(async move {
            match reach(&target, first).await {
                Ok(there) => welcomed(there).await,
                Err(err) => Err(Fault::Lost(err.to_string())),
            }
        })
    }

    /// Does what is to be done about levels below the best picture; when to look again.
    fn mind_levels(&mut self, now: Instant) -> Option<Instant> {
        let taken = *self.taken.borrow();
        let until = loop {
            match self.levels.poll(&taken, now) {
                below::Output::Dial(level) => match self.dialling(Carrier::Tcp, Some(level)) {
                    Some(dial) => self.levels.dial(level, self.stop.child_token(), dial),
                    None => self.levels.lost(level, now),
                },
                below::Output::Drop(_) => {}
                below::Output::Wait(until) => break until,
            }
        };
        if let Some(sent) = self.levels.news() {
            (self.news)(News::Levels(sent));
        }
        until
    }

    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn level_came(&mut self, came: Came) {
        let now = Instant::now();
        match came {
            Came::Dialled(level, Ok(Welcomed { there })) => {
                let Some(offer) = self.offer() else {
                    return self.levels.lost(level, now);
                };
                let (stream, epoch) = (Arc::clone(&self.stream), self.epoch);
                let work = |stop| {
                    let link = (&there.link, level);
                    let mut side = Side::new(link, offer, stream, stop, (epoch, now));
                    take_early(there.early, &mut side, now);
                    let lane = Lane::new(there.link, INBOX);
                    async move {
                        drive::go_on(lane, &mut side).await;
                    }
                };
                self.levels.begin(level, work, now);
            }
            Came::Dialled(level, Err(fault)) => {
                debug!(?level, why = fault.words(), "no link for a level");
                self.levels.lost(level, now);
            }
            Came::Ended(level) => self.levels.lost(level, now),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn dialled(&mut self, carrier: Carrier, dialled: Result<Welcomed, Fault>) -> Result<(), Error> {
        match dialled {
            Ok(welcomed) => self.begin(welcomed, false),
            Err(Fault::Failed(err)) if self.is_over(&err) => return Err(err),
            Err(fault) => {
                debug!(%carrier, why = fault.words(), "no other link");
                self.schedule.failed(carrier, random_byte(), Instant::now());
            }
        }
        Ok(())
    }

    /// Whether this ends all: while another link is there, what is wrong with one is not the end.
    fn is_over(&self, err: &Error) -> bool {
        is_of_every_link(err) || self.ways.iter().all(Option::is_none)
    }

    /// A link has turned.
    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn begin(&mut self, Welcomed { there }: Welcomed, first: bool) {
        let now = Instant::now();
        let kind = there.link.kind();
        let carrier = kind.carrier();
        self.server = Some(there.link.peer());
        if first || !self.schedule.is_up() {
            (self.news)(News::Connected(connected(&there)));
        }
        self.schedule.up(carrier, now);
        self.number += 1;
        self.ways[place(carrier)] = Some((kind.name(), self.number));
        let Some(offer) = self.offer() else {
            return;
        };
        let (stream, taken) = (Arc::clone(&self.stream), Arc::clone(&self.taken));
        let ending = (self.stop.child_token(), self.addresses.subscribe());
        let link = (&there.link, carrier);
        let count = Arc::clone(&self.count);
        let times = (self.epoch, now);
        let mut end = End::new(link, offer, stream, (taken, count), ending, times);
        take_early(there.early, &mut end, now);
        let (mut lane, number) = (Lane::new(there.link, INBOX), self.number);
        self.ends.spawn(async move {
            while let Some(left) = drive::go_on(lane, &mut end).await {
                // It leaves its link when this machine has another address, and goes on from there.
                left.rebind();
                lane = left;
            }
            (carrier, number, end.ended())
        });
    }

    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn ended(&mut self, carrier: Carrier, number: u64, ended: Ended) -> Result<(), Error> {
        let way = &mut self.ways[place(carrier)];
        if way.is_some_and(|(_, there)| there == number) {
            *way = None;
        } else {
            // Another took its place.
            return Ok(());
        }
        let why = match ended {
            Ended::Done => return Ok(()),
            Ended::Failed(err) if self.is_over(&err) => return Err(err),
            Ended::Failed(err) => err.to_string(),
            Ended::Lost(why) => why,
        };
        debug!(%carrier, why, "a link is lost");
        let now = Instant::now();
        self.schedule.lost(carrier, random_byte(), now);
        if let Some(pause) = self.schedule.pause(now) {
            self.lost(&why, pause);
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn race_lost(&mut self, why: &str) {
        let now = Instant::now();
        self.schedule.race_lost(random_byte(), now);
        if let Some(pause) = self.schedule.pause(now) {
            self.lost(why, pause);
        }
    }

    fn lost(&mut self, why: &str, pause: Duration) {
        self.over = None;
        (self.news)(News::Lost {
            why: why.to_owned(),
        });
        let seconds = pause.as_secs_f64();
        let words = format!("disconnected: {why}; again in {seconds:.1} s");
        (self.news)(News::Word(words));
    }

    /// What has changed of over which carriers the server takes the picture; first where it does.
    fn pictured(&mut self, now: Pictures) {
        for taken in [true, false] {
            for carrier in Carrier::ALL {
                let at = place(carrier);
                if now[at] == taken && self.pictures[at] != taken {
                    self.picture(carrier, taken);
                }
            }
        }
    }

    /// The server takes the picture over this carrier, or no longer. While it tries one, it takes it over both.
    fn picture(&mut self, carrier: Carrier, taken: bool) {
        self.pictures[place(carrier)] = taken;
        let [udp, tcp] = self.pictures;
        // Only UDP is ever tried beside the other.
        let moved = udp != tcp || (taken && carrier == Carrier::Tcp);
        let now = if tcp { self.ways[1] } else { self.ways[0] };
        if let (true, Some((to, _))) = (moved, now)
            && let Some(from) = self.over.replace(to)
            && from != to
        {
            (self.news)(News::Switched(Switched { from, to }));
        }
    }

    /// The first words on a link.
    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn opening(&self, level: Option<Level>) -> Option<Opening> {
        let want = Want {
            agent: Text::new(AGENT),
            role: Role::Publish,
            publish: Some(PublishInfo {
                level: level.and_then(LevelName::of),
                ..self.info.clone()
            }),
            ..Want::default()
        };
        let now = Instant::now();
        Session::new(want, now).opening(now)
    }

    /// What the server is offered on a link.
    fn offer(&self) -> Option<Offer> {
        Some(Offer {
            agent: Text::new(AGENT),
            streams: vec![info(&self.stream)?],
            session: SessionId::from_bytes(random()?),
            resume: ResumeSecret::from_bytes(random()?),
            max_bps: self.max_bps,
        })
    }
}

fn connected(there: &Reached) -> Connected {
    Connected {
        transport: there.link.kind().name(),
        inspected: there.inspected(),
        front: there.front(),
        proxy: there.proxy.clone(),
        pieces: there.pieces,
        reached_ms: Some(there.took.as_secs_f64() * 1000.0),
        why: there.why.clone(),
        first_frame_ms: None,
        server_key: there.link.server_key().map(|pin| pin.to_string()),
    }
}

fn no_random() -> Error {
    Error::Runtime(std::io::Error::other("the system has no random numbers"))
}

/// Bytes set aside for what comes, which is little.
const INBOX: usize = 4 << 10;
/// How long a goodbye may take.
const PARTING: Duration = Duration::from_secs(2);
/// How often this machine's address is looked at.
const LOOK: Duration = Duration::from_millis(250);
