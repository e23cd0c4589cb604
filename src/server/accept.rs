//! Taking connections of every kind through their handshakes, each in a task of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::{sync::mpsc, time};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, debug, info_span, warn};

use super::{Shared, peer::Peer, random, relay};
use crate::config::AGENT;
use crate::drive;
use crate::session::server::{Offer, Session};
use crate::transport::door::Seat;
use crate::transport::{AcceptError, Incoming, Link, Listener, plain, quic};
use crate::trust::Identity;
use crate::wire::{CloseCode, ResumeSecret, SessionId, Text};

/// Accepts until the server stops; handshakes go on beside it.
pub(super) async fn accept(
    listener: Listener,
    table: plain::Table,
    shared: Arc<Shared>,
    tasks: TaskTracker,
) {
    loop {
        let incoming = tokio::select! {
            () = shared.stop.cancelled() => return,
            incoming = listener.accept() => incoming,
        };
        let span = info_span!("viewer", addr = %incoming.peer());
        let seat = incoming.seat();
        let (identity, within) = (shared.identity.clone(), shared.bounds.handshake);
        let handshakes = Box::pin(upgrade(incoming, identity, within));
        // Over this connection sessions may have to hear goodbye.
        let (stop, table) = (shared.stop.clone(), table.clone());
        let stopped = Box::pin(async move {
            stop.cancelled().await;
            table.idle().await;
        });
        let admitted = admit(handshakes, stopped, Some(seat), Arc::clone(&shared));
        tasks.spawn(admitted.instrument(span));
    }
}

/// The same inside plain HTTP, each over several connections.
pub(super) async fn accept_plain(
    mut opened: mpsc::Receiver<plain::Opened>,
    shared: Arc<Shared>,
    tasks: TaskTracker,
) {
    loop {
        let opened = tokio::select! {
            () = shared.stop.cancelled() => return,
            opened = opened.recv() => opened,
        };
        let Some(opened) = opened else {
            return;
        };
        let span = info_span!("viewer", addr = %opened.peer);
        let sealed = shared.identity.sealed_server_config();
        let within = shared.bounds.handshake;
        let handshake = Box::pin(async move { opened.seal(sealed, within).await.map(Some) });
        let stopped = Box::pin(shared.stop.clone().cancelled_owned());
        // Its connections have seats.
        tasks.spawn(admit(handshake, stopped, None, Arc::clone(&shared)).instrument(span));
    }
}

/// The same over QUIC.
pub(super) async fn accept_quic(endpoint: quic::Endpoint, shared: Arc<Shared>, tasks: TaskTracker) {
    loop {
        let incoming = tokio::select! {
            () = shared.stop.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let span = info_span!("viewer", addr = %incoming.peer());
        let (seat, within) = (incoming.seat(), shared.bounds.handshake);
        let handshake = Box::pin(async move { incoming.handshake(within).await.map(Some) });
        let stopped = Box::pin(shared.stop.clone().cancelled_owned());
        let admitted = admit(handshake, stopped, Some(seat), Arc::clone(&shared));
        tasks.spawn(admitted.instrument(span));
    }
    // Until then its port is not free.
    if time::timeout(shared.bounds.drain, endpoint.idle())
        .await
        .is_err()
    {
        debug!("some connections did not end");
    }
}

/// Takes a TCP connection through its handshakes; anybody but a viewer has his page.
async fn upgrade(
    incoming: Incoming,
    identity: Identity,
    within: Duration,
) -> Result<Option<Link>, AcceptError> {
    let secured = incoming.handshake(identity.server_config(), within).await?;
    secured.serve(identity.sealed_server_config(), within).await
}

/// Waits for `handshakes`, until it is `stopped`; a viewer becomes a session. The seat is kept until all is over.
///
/// Both are in boxes, since they take more room than a session, which may last for days.
async fn admit(
    handshakes: Pin<Box<impl Future<Output = Result<Option<Link>, AcceptError>>>>,
    stopped: Pin<Box<impl Future<Output = ()>>>,
    seat: Option<Arc<Seat>>,
    shared: Arc<Shared>,
) {
    let admitted = tokio::select! {
        biased;
        admitted = handshakes => admitted,
        () = stopped => return,
    };
    match admitted {
        Ok(Some(link)) => serve(link, seat, &shared).await,
        Ok(None) => debug!("had an ordinary page"),
        Err(err) => debug!(%err, "not admitted"),
    }
}

/// A viewer, or somebody who publishes, until he has gone or his link turns round.
#[expect(clippy::disallowed_methods, reason = "a session begins now")]
async fn serve(link: Link, seat: Option<Arc<Seat>>, shared: &Shared) {
    let (Some(session), Some(resume)) = (random(), random()) else {
        warn!("the system has no random numbers");
        return;
    };
    let offer = Offer {
        agent: Text::new(AGENT),
        // Whoever is let in is told.
        streams: Vec::new(),
        session: SessionId::from_bytes(session),
        resume: ResumeSecret::from_bytes(resume),
        max_bps: shared.max_bps,
    };
    let ident = (offer.session, offer.resume.clone());
    let now = Instant::now();
    let mut session = Session::new(offer, shared.epoch, now)
        .bounded(shared.bounds.session, now)
        .asking();
    if let Some(round_trip) = link.round_trip() {
        session = session.with_round_trip(round_trip);
    }
    if link.kind().has_datagrams() {
        session = session.with_datagrams(now);
    }
    let place = shared.groups.link();
    let over = seat.as_ref().and_then(|seat| seat.over());
    if place.is_none() || over.is_some() {
        if let Some(times) = shared.turned_away.now() {
            let why = over.map_or_else(
                || "twice as many connections as --max-viewers allows".to_owned(),
                |over| over.to_string(),
            );
            warn!(times, "sent away: {why}");
        }
        session.close(CloseCode::Busy, now);
    }
    let (kind, addr) = (link.kind(), link.peer());
    let hub = Arc::clone(&shared.hub);
    // A token of his own, since every viewer looks at it whenever he is driven.
    let stop = shared.stop.child_token();
    let mut peer = Peer::new(
        session,
        hub,
        stop,
        shared.notices.clone(),
        (Arc::clone(&shared.groups), ident),
        (Arc::clone(&shared.relays), Arc::clone(&shared.gate)),
        &link,
    );
    let Some(lane) = drive::run(link, &mut peer).await else {
        return;
    };
    let Some(leaving) = peer.leave() else {
        return;
    };
    let arrival = relay::Arrival {
        lane,
        kind,
        addr,
        publisher: leaving.ticket.publisher,
        level: leaving.ticket.level,
        pass: leaving.pass,
        rights: (place, seat),
    };
    if leaving.ticket.links.send(arrival).await.is_err() {
        debug!("the stream is gone by now");
    }
}
