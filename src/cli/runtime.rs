//! The asynchronous runtime and the signals that end it.

use std::{future::Future, time::Duration};

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// A runtime on threads of its own, so that the main thread is free for a window.
pub(super) fn build() -> Result<Runtime, Error> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_name("tunnelcast-io")
        .build()
        .map_err(Error::Runtime)
}

/// Cancels `stop` at Ctrl-C or SIGTERM.
pub(super) async fn signals(stop: CancellationToken) {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        let terminated = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(mut signal) => {
                    signal.recv().await;
                }
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupted => {}
            () = terminated => {}
            () = stop.cancelled() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::select! {
        _ = interrupted => {}
        () = stop.cancelled() => {}
    }
    stop.cancel();
}

/// Runs `work` to its end on a new runtime, with a token that the signals cancel.
pub(super) fn block<F, T>(work: impl FnOnce(CancellationToken) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let runtime = build()?;
    let stop = CancellationToken::new();
    runtime.spawn(signals(stop.clone()));
    let result = runtime.block_on(work(stop));
    end(runtime);
    result
}

/// Ends a runtime without waiting for what may never end: a resolver, a question at the terminal, a driver.
pub(super) fn end(runtime: Runtime) {
    runtime.shutdown_timeout(PATIENCE);
}

const PATIENCE: Duration = Duration::from_millis(500);
