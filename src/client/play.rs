//! Playing over the links that there are: one that brings the picture, and another that stands by.

use std::time::Instant;

use bytes::Bytes;
use tokio::{task::JoinSet, time};

use super::connect::Connector;
use super::moves::Output;
use super::reach::{Reached, Target, reach};
use super::viewer::{INBOX, Viewer};
use crate::drive::{Came, Lane, take_early};
use crate::transport::Kind;
use crate::transport::dial::DialError;

/// Plays until no link is left, of which the viewer knows the reason.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub(super) async fn play(there: Reached, connector: &Connector, viewer: &mut Viewer) {
    let mut lanes = Lanes::default();
    let mut dials: JoinSet<(Kind, Result<Reached, DialError>)> = JoinSet::new();
    let mut partings = JoinSet::new();
    let kind = there.link.kind();
    viewer.linked(&there, connector.only(), Instant::now());
    lanes.add(kind, there, viewer);
    loop {
        while partings.try_join_next().is_some() {}
        let mut deadline = viewer.tick(Instant::now());
        for kind in Kind::RACED {
            let Some(lane) = lanes.get(kind) else {
                continue;
            };
            match lane.drain(&mut viewer.way(kind)) {
                Some(idle) => deadline = deadline.into_iter().chain(idle).min(),
                None => {
                    if let Some(lane) = lanes.take(kind) {
                        partings.spawn(lane.farewell());
                    }
                    viewer.gone(kind, Instant::now());
                }
            }
        }
        if lanes.is_empty() {
            break;
        }
        let mut moved = false;
        loop {
            match viewer.next_move(Instant::now()) {
                Output::Wait(until) => {
                    deadline = deadline.into_iter().chain(until).min();
                    break;
                }
                Output::Dial(kind) => {
                    let first = viewer.another(kind, Instant::now());
                    dials.spawn(dial(kind, connector.again(kind), first));
                }
                Output::Rebind(kind) => {
                    if let Some(lane) = lanes.get(kind) {
                        lane.rebind();
                    }
                }
                // These concern the session of a link, which says so when it is polled.
                Output::Ask(_)
                | Output::Try(_)
                | Output::Fetch(_)
                | Output::Move(..)
                | Output::Drop(_) => moved = true,
            }
        }
        if moved {
            continue;
        }
        let [quic, tls] = lanes.both();
        let sleep = async {
            match deadline {
                Some(deadline) => time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let (kind, came) = tokio::select! {
            biased;
            came = ready(quic) => (Kind::Quic, came),
            came = ready(tls) => (Kind::Tls, came),
            Some(dialled) = dials.join_next(), if !dials.is_empty() => {
                if let Ok((kind, dialled)) = dialled {
                    match dialled {
                        Ok(there) if viewer.stands(kind, &there, Instant::now()) => {
                            lanes.add(kind, there, viewer);
                        }
                        Ok(_) => {}
                        Err(err) => viewer.failed(kind, &err, Instant::now()),
                    }
                }
                continue;
            }
            () = viewer.woken() => continue,
            () = sleep => continue,
        };
        if let Some(lane) = lanes.get(kind) {
            lane.take(came, &mut viewer.way(kind), Instant::now());
        }
    }
    dials.abort_all();
    while partings.join_next().await.is_some() {}
}

async fn dial(kind: Kind, target: Target, first: Bytes) -> (Kind, Result<Reached, DialError>) {
    (kind, reach(&target, first).await)
}

async fn ready(lane: &mut Option<Lane>) -> Came {
    match lane {
        Some(lane) => lane.ready().await,
        None => std::future::pending().await,
    }
}

/// By kind, as in [`Kind::RACED`].
#[derive(Debug, Default)]
struct Lanes([Option<Lane>; 2]);

impl Lanes {
    #[expect(clippy::disallowed_methods, reason = "as above")]
    fn add(&mut self, kind: Kind, there: Reached, viewer: &mut Viewer) {
        take_early(there.early, &mut viewer.way(kind), Instant::now());
        self.0[place(kind)] = Some(Lane::new(there.link, INBOX));
    }

    const fn get(&mut self, kind: Kind) -> Option<&mut Lane> {
        self.0[place(kind)].as_mut()
    }

    const fn take(&mut self, kind: Kind) -> Option<Lane> {
        self.0[place(kind)].take()
    }

    const fn both(&mut self) -> &mut [Option<Lane>; 2] {
        &mut self.0
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Where what belongs to a way is among those of both.
pub(super) const fn place(kind: Kind) -> usize {
    match kind {
        Kind::Quic => 0,
        Kind::Tls | Kind::WebSocket | Kind::Http => 1,
    }
}
