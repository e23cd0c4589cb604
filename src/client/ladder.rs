//! Over TCP: which of the ways gets through, each tried as soon as the one before is known not to.
//!
//! TLS to the server itself comes first. Where something else ends that TLS (an inspecting proxy, a reverse proxy, a
//! CDN), or lets no unknown protocol through, WebSocket is next, and then plain HTTP; inside both runs another TLS to
//! the server's own key, so that whoever stands between carries bytes that he cannot read. What got through is
//! remembered, and is the first the next time.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tracing::{debug, info};

use super::reach::{Target, locked};
use crate::config::Inspected;
use crate::transport::dial::{self, Ahead, DialError, Timeouts};
use crate::transport::memory::{Network, Through};
use crate::transport::plain::{Held, Mode};
use crate::transport::{First, Kind, Link};
use crate::trust::{Outer, Vouched};

/// Who stands between the viewer and the server, and reads sealed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    /// Somebody who inspects what leaves this network, by what its certificate says.
    Inspection(String),
    /// Something that the world trusts in the server's name: a reverse proxy, a CDN; and who says so.
    Front(String),
}

impl Between {
    pub(crate) fn inspected(&self) -> Option<String> {
        match self {
            Self::Inspection(by) => Some(by.clone()),
            Self::Front(_) => None,
        }
    }

    pub(crate) fn front(&self) -> Option<String> {
        match self {
            Self::Inspection(_) => None,
            Self::Front(by) => Some(by.clone()),
        }
    }
}

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inspection(by) => write!(f, "inspected by {by}, sealed inside"),
            Self::Front(by) => {
                write!(
                    f,
                    "through a front whose certificate is from {by}, sealed inside"
                )
            }
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) link: Link,
    pub(super) between: Option<Between>,
    /// Over HTTP: whether the answers come in pieces.
    pub(super) pieces: Option<bool>,
}

/// Tries the ways over TCP that are allowed, one after the other; the first link that stands is taken.
pub(super) async fn tcp(target: &Target, first: &dyn First) -> Result<Found, DialError> {
    let network = Network::current(&target.host);
    let known = remembered(target, &network);
    let before = Before {
        held: held(target, &network, known),
        ahead: Ahead::default(),
        // Where it is not known what gets through, what comes next is made ready.
        next: known.is_none() && target.ways.admit(Kind::Http),
        http: Notify::new(),
    };
    let beside = async {
        before.http.notified().await;
        dial::page(target.whom(), &target.outer, Timeouts::default()).await;
        pending().await
    };
    tokio::select! {
        biased;
        done = in_turn(target, first, &network, known, &before) => done,
        never = beside => never,
    }
}

async fn in_turn(
    target: &Target,
    first: &dyn First,
    network: &Network,
    known: Option<Through>,
    before: &Before,
) -> Result<Found, DialError> {
    let known = known.map(|through| through.kind);
    let order = known
        .into_iter()
        .chain(ORDER.into_iter().filter(|kind| Some(*kind) != known))
        .filter(|kind| target.ways.admit(*kind));
    let mut told: Option<DialError> = None;
    // What a box says that lets nothing through.
    let mut refused = None;
    for kind in order {
        let (err, seen) = match attempt(kind, target, first, before).await {
            Ok((link, outer, pieces)) => {
                let between = outer.and_then(|outer| between(&outer, &link));
                info!(%kind, ?between, "over TCP");
                let inside = between.is_some().then_some(Through {
                    kind,
                    pieces: pieces == Some(true),
                });
                if inside.is_some() || known.is_some() {
                    remember(target, network, inside);
                }
                return match between {
                    Some(Between::Inspection(by)) if target.inspected == Inspected::Refuse => {
                        Err(DialError::Inspected {
                            server: target.server(),
                            by,
                        })
                    }
                    between => Ok(Found {
                        link,
                        between,
                        pieces,
                    }),
                };
            }
            Err(err) => (err, kind != Kind::Tls),
        };
        debug!(%kind, %err, "not so");
        // A wrong key inside is the server's own; nobody who answers is nobody however he is asked.
        if (seen && err.rejection().is_some()) || !err.is_answered() {
            return Err(err);
        }
        if let DialError::Stripped { status, title, .. } = &err
            && matches!(status, 403 | 407 | 451 | 500..)
        {
            refused = Some((*status, title.clone()));
        }
        // What was said first is about the best way, unless what comes later is about the key.
        if told
            .as_ref()
            .is_none_or(|told| told.rejection().is_none() && err.rejection().is_some())
        {
            told = Some(err);
        }
    }
    Err(match (told, refused) {
        (Some(DialError::Rejected { server, rejection }), Some((status, title))) => {
            DialError::Blocked {
                server,
                rejection,
                status,
                title,
            }
        }
        (told, _) => told.unwrap_or_else(|| target.timed_out()),
    })
}

/// What is known, or was made ready, before a way is tried.
struct Before {
    held: Held,
    ahead: Ahead,
    next: bool,
    /// To be told when HTTP is tried, or may be next.
    http: Notify,
}

async fn attempt(
    kind: Kind,
    target: &Target,
    first: &dyn First,
    before: &Before,
) -> Result<(Link, Option<Outer>, Option<bool>), DialError> {
    let (whom, timeouts) = (target.whom(), Timeouts::default());
    let inner = Arc::clone(&target.inner);
    match kind {
        Kind::Tls => {
            let link = match dial::tls(whom, Arc::clone(&target.tls), first, IMPATIENT).await {
                // Some boxes lose a first message that is longer than a packet.
                Err(err @ (DialError::Silent { .. } | DialError::Lost { .. })) => {
                    debug!(%err, "once more, with a shorter first message");
                    let again = dial::tls(whom, Arc::clone(&target.classical), first, timeouts);
                    match again.await {
                        // Nothing new.
                        Err(second) if !second.is_answered() => return Err(err),
                        done => done?,
                    }
                }
                done => done?,
            };
            Ok((link, None, None))
        }
        Kind::WebSocket => {
            let dialled = dial::websocket(whom, &target.outer, inner, first, timeouts);
            let next = async {
                if before.next {
                    before.http.notify_one();
                    before.ahead.open(whom, &target.outer, timeouts).await;
                }
                pending().await
            };
            let (link, outer) = tokio::select! {
                biased;
                done = dialled => done?,
                never = next => never,
            };
            Ok((link, Some(outer), None))
        }
        Kind::Http => {
            let Before { held, ahead, .. } = before;
            before.http.notify_one();
            let dialled = dial::http(whom, &target.outer, inner, first, held, ahead, timeouts);
            let (link, outer, mode) = dialled.await?;
            Ok((link, Some(outer), Some(mode == Mode::Finite)))
        }
        Kind::Quic => Err(target.timed_out()),
    }
}

/// Who stands between, if it is not the server itself.
fn between(outer: &Outer, link: &Link) -> Option<Between> {
    if link.server_key() == Some(outer.seen.pin) {
        return None;
    }
    let by = outer.seen.issuer.clone();
    Some(match outer.vouched {
        Vouched::Public => Between::Front(by),
        // Some boxes imitate a certificate that nobody vouches for, the name of its issuer included.
        Vouched::Private | Vouched::Nobody if outer.seen.self_issued => {
            Between::Inspection(IMITATOR.into())
        }
        Vouched::Private | Vouched::Nobody => Between::Inspection(by),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is remembered counts on the wall's clock"
)]
fn remembered(target: &Target, network: &Network) -> Option<Through> {
    let memory = locked(&target.memory);
    memory.inside(network, &target.host, target.port, SystemTime::now())
}

#[expect(clippy::disallowed_methods, reason = "as above")]
fn remember(target: &Target, network: &Network, way: Option<Through>) {
    let mut memory = locked(&target.memory);
    // What cannot be written is not remembered.
    let _unwritten = memory.set_inside(network, &target.host, target.port, way, SystemTime::now());
}

/// What is known of long answers on this network. Of a link that was given up for it the next attempt knows it.
fn held(target: &Target, network: &Network, known: Option<Through>) -> Held {
    let mut place = target.held.lock().unwrap_or_else(PoisonError::into_inner);
    match &*place {
        Some((here, held)) if here == network => held.clone(),
        Some(_) | None => {
            let held = Held::new(known.is_some_and(|through| through.pieces));
            *place = Some((network.clone(), held.clone()));
            held
        }
    }
}

/// A first answer takes a round trip. Who has not had it by then asks again in another way.
const IMPATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    silence: Duration::from_millis(1500),
    overall: Duration::from_secs(10),
};
/// The best first.
const ORDER: [Kind; 3] = [Kind::Tls, Kind::WebSocket, Kind::Http];
const IMITATOR: &str = "somebody who imitates the server's certificate";
