//! The `tunnelcast` program: see [`tunnelcast::cli`].

use std::process::ExitCode;

// The main thread belongs to the window, so this is no asynchronous main.
fn main() -> ExitCode {
    tunnelcast::cli::run()
}
