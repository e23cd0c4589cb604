//! Taking connections of every kind through their handshakes, each in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::{sync::mpsc, time};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, debug, info_span};

use super::{Shared, serve};
use crate::transport::door::Seat;
use crate::transport::{AcceptError, Incoming, Link, Listener, plain, quic};
use crate::trust::Identity;

/// Accepts until the server stops; handshakes go on beside it.
pub(super) async fn accept(listener: Listener, shared: Arc<Shared>, tasks: TaskTracker) {
    loop {
        let incoming = tokio::select! {
            () = shared.stop.cancelled() => return,
            incoming = listener.accept() => incoming,
        };
        let span = info_span!("viewer", addr = %incoming.peer());
        let seat = incoming.seat();
        let handshakes = upgrade(incoming, shared.identity.clone(), shared.bounds.handshake);
        tasks.spawn(admit(handshakes, Some(seat), Arc::clone(&shared)).instrument(span));
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
        let handshake = async move { opened.seal(sealed, within).await.map(Some) };
        // Its connections have seats.
        tasks.spawn(admit(handshake, None, Arc::clone(&shared)).instrument(span));
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
        let handshake = async move { incoming.handshake(within).await.map(Some) };
        tasks.spawn(admit(handshake, Some(seat), Arc::clone(&shared)).instrument(span));
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

/// Waits for `handshakes`; a viewer becomes a session. The seat is kept until all is over.
async fn admit(
    handshakes: impl Future<Output = Result<Option<Link>, AcceptError>>,
    seat: Option<Arc<Seat>>,
    shared: Arc<Shared>,
) {
    // Boxed, since they take more room than a session, which may last for days.
    let handshakes = Box::pin(handshakes);
    let admitted = tokio::select! {
        () = shared.stop.cancelled() => return,
        admitted = handshakes => admitted,
    };
    let over = seat.as_ref().and_then(|seat| seat.over());
    match admitted {
        Ok(Some(link)) => serve(link, over, &shared).await,
        Ok(None) => debug!("had an ordinary page"),
        Err(err) => debug!(%err, "not admitted"),
    }
}
