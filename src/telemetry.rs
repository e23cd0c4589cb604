//! What the program says about itself on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging: warnings, or with `verbose` 1 what happens, or with 2 and more everything. `TUNNELCAST_LOG` (the
/// syntax of tracing's `EnvFilter`) has the last word.
pub fn start(verbose: u8) {
    let level = match verbose {
        // winit warns of what bare X servers lack; whoever looks at a picture cannot do anything about it.
        0 => "warn,winit=error",
        1 => "info",
        _ => "debug",
    };
    let filter =
        EnvFilter::try_from_env("TUNNELCAST_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    // A second start (tests run several programs in one process) keeps the first.
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
