//! The asynchronous runtime and the signals that end it.

use std::{future::Future, time::Duration};

use tokio::runtime::{Builder, Runtime};
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
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
    Ends::new().next(&stop).await;
    stop.cancel();
}

/// Ctrl-C and SIGTERM, none of which is lost between two.
struct Ends {
    #[cfg(unix)]
    interrupt: Option<Signal>,
    #[cfg(unix)]
    terminate: Option<Signal>,
}

impl Ends {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt()).ok(),
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate()).ok(),
        }
    }

    /// The next one, or that `stop` is cancelled.
    async fn next(&mut self, stop: &CancellationToken) {
        #[cfg(unix)]
        tokio::select! {
            () = received(&mut self.interrupt) => {}
            () = received(&mut self.terminate) => {}
            () = stop.cancelled() => {}
        }
        #[cfg(not(unix))]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// SIGHUP, where nobody sits at a terminal: there it says that the terminal is gone, and ends the program.
pub(super) struct Hangups {
    #[cfg(unix)]
    signal: Option<Signal>,
}

impl Hangups {
    pub(super) fn new() -> Self {
        Self {
            #[cfg(unix)]
            signal: match std::io::IsTerminal::is_terminal(&std::io::stderr()) {
                true => None,
                false => signal(SignalKind::hangup()).ok(),
            },
        }
    }

    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        received(&mut self.signal).await;
        #[cfg(not(unix))]
        std::future::pending().await
    }
}

#[cfg(unix)]
async fn received(signal: &mut Option<Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending().await
    }
}

/// Runs `work` to its end on a new runtime, with a token that the first signal cancels. A second one does not wait for
/// what the first has begun.
pub(super) fn block<F, T>(work: impl FnOnce(CancellationToken) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let runtime = build()?;
    let stop = CancellationToken::new();
    let impatient = CancellationToken::new();
    runtime.spawn({
        let (stop, impatient) = (stop.clone(), impatient.clone());
        async move {
            let mut ends = Ends::new();
            ends.next(&stop).await;
            stop.cancel();
            ends.next(&impatient).await;
            impatient.cancel();
        }
    });
    let result = runtime.block_on(async {
        tokio::select! {
            biased;
            result = work(stop) => result,
            () = impatient.cancelled() => Err(Error::Interrupted),
        }
    });
    match &result {
        Err(Error::Interrupted) => runtime.shutdown_background(),
        _ => end(runtime),
    }
    result
}

/// Ends a runtime without waiting for what may never end: a resolver, a question at the terminal, a driver.
pub(super) fn end(runtime: Runtime) {
    runtime.shutdown_timeout(PATIENCE);
}

const PATIENCE: Duration = Duration::from_millis(500);
