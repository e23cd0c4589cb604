//! Playing over the links that there are: one that brings the picture, and another that stands by.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time};

use super::connect::Connector;
use super::reach::{Reached, Target, reach};
use super::viewer::{INBOX, Viewer};
use crate::drive::{Drained, Lane, take_early};
use crate::links::Lanes;
use crate::links::moves::Output;
use crate::transport::dial::DialError;
use crate::transport::{self, Carrier, First};

/// Plays until no link is left, of which the viewer knows the reason.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub(super) async fn play(there: Reached, connector: &Connector, viewer: &mut Viewer) {
    let mut lanes = Lanes::default();
    let mut dials: JoinSet<(Carrier, Result<Reached, DialError>)> = JoinSet::new();
    let mut partings = JoinSet::new();
    let carrier = there.link.kind().carrier();
    let server = there.link.peer();
    let mut local = transport::source_towards(server);
    let mut look = time::interval(LOOK);
    look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    viewer.linked(&there, connector.only(), Instant::now());
    add(&mut lanes, carrier, there, viewer);
    loop {
        while partings.try_join_next().is_some() {}
        let mut deadline = viewer.tick(Instant::now());
        for carrier in Carrier::ALL {
            let Some(lane) = lanes.get(carrier) else {
                continue;
            };
            match lane.drain(&mut viewer.way(carrier)) {
                Drained::Idle(idle) => deadline = deadline.into_iter().chain(idle).min(),
                Drained::Over | Drained::Left => {
                    if let Some(lane) = lanes.take(carrier) {
                        partings.spawn(lane.farewell());
                    }
                    viewer.gone(carrier, Instant::now());
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
                Output::Dial(carrier) => {
                    if let Some(opening) = viewer.another(carrier, Instant::now()) {
                        let first = connector.words(opening);
                        dials.spawn(dial(carrier, connector.again(carrier), first));
                    }
                }
                Output::Cut(carrier) => {
                    if let Some(lane) = lanes.get(carrier) {
                        lane.cut(&mut viewer.way(carrier));
                    }
                    moved = true;
                }
                Output::Rebind(carrier) => {
                    if let Some(lane) = lanes.get(carrier) {
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
        let sleep = async {
            match deadline {
                Some(deadline) => time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let (carrier, came) = tokio::select! {
            biased;
            came = lanes.ready() => came,
            Some(dialled) = dials.join_next(), if !dials.is_empty() => {
                if let Ok((carrier, dialled)) = dialled {
                    match dialled {
                        Ok(there) if viewer.stands(carrier, &there, Instant::now()) => {
                            add(&mut lanes, carrier, there, viewer);
                        }
                        Ok(_) => {}
                        Err(err) => viewer.failed(carrier, &err, Instant::now()),
                    }
                }
                continue;
            }
            () = viewer.woken() => continue,
            _ = look.tick() => {
                let now_at = transport::source_towards(server);
                if now_at.is_some() && now_at != local {
                    local = now_at;
                    viewer.network_changed(Instant::now());
                }
                continue;
            }
            () = sleep => continue,
        };
        if let Some(lane) = lanes.get(carrier) {
            lane.take(came, &mut viewer.way(carrier), Instant::now());
        }
    }
    dials.abort_all();
    while partings.join_next().await.is_some() {}
}

async fn dial(
    carrier: Carrier,
    target: Target,
    first: Arc<dyn First>,
) -> (Carrier, Result<Reached, DialError>) {
    (carrier, reach(&target, first).await)
}

/// What has come over a link, and then the link.
#[expect(clippy::disallowed_methods, reason = "as above")]
fn add(lanes: &mut Lanes, carrier: Carrier, there: Reached, viewer: &mut Viewer) {
    take_early(there.early, &mut viewer.way(carrier), Instant::now());
    lanes.put(carrier, Lane::new(there.link, INBOX));
}

/// How often this machine's address is looked at, which takes a few microseconds.
const LOOK: Duration = Duration::from_millis(250);
