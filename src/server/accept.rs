//! Taking connections of every kind through their handshakes, each in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::{sync::mpsc, time};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, debug, info_span};

use super::{Shared, peer, serve};
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
        let handshakes = upgrade(incoming, shared.identity.clone());
        tasks.spawn(admit(handshakes, Arc::clone(&shared)).instrument(span));
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
        let handshake = async move { opened.seal(sealed, PATIENCE).await.map(Some) };
        tasks.spawn(admit(handshake, Arc::clone(&shared)).instrument(span));
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
        let handshake = async move { incoming.handshake(PATIENCE).await.map(Some) };
        tasks.spawn(admit(handshake, Arc::clone(&shared)).instrument(span));
    }
    // Until then its port is not free.
    if time::timeout(peer::DRAIN, endpoint.idle()).await.is_err() {
        debug!("some connections did not end");
    }
}

/// Takes a TCP connection through its handshakes; anybody but a viewer has his page.
async fn upgrade(incoming: Incoming, identity: Identity) -> Result<Option<Link>, AcceptError> {
    let secured = incoming
        .handshake(identity.server_config(), PATIENCE)
        .await?;
    secured
        .serve(identity.sealed_server_config(), PATIENCE)
        .await
}

/// Waits for `handshakes`; a viewer becomes a session.
async fn admit(
    handshakes: impl Future<Output = Result<Option<Link>, AcceptError>>,
    shared: Arc<Shared>,
) {
    let admitted = tokio::select! {
        () = shared.stop.cancelled() => return,
        admitted = handshakes => admitted,
    };
    match admitted {
        Ok(Some(link)) => serve(link, &shared).await,
        Ok(None) => debug!("had an ordinary page"),
        Err(err) => debug!(%err, "not admitted"),
    }
}

/// For TLS, and for each request behind it.
const PATIENCE: Duration = Duration::from_secs(10);
