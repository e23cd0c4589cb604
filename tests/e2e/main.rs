//! The whole of it over real sockets and TLS: servers and viewers in this process and as the real program.
//!
//! Every port is chosen by the system, nothing is slept for, and deadlines are only ever reached when something is
//! wrong. Where a program or a right is missing, the test says `skipped: NAME` and why.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests run in real time, on threads of their own"
)]

mod cli;
mod ctl;
mod doctor;
mod film;
mod hostile_publishers;
mod hostile_servers;
mod hostile_viewers;
mod knocking;
mod levels;
mod marks;
mod moving;
mod pipes;
mod publish;
mod restart;
mod signals;
mod slow;
mod standing;
mod support;
mod tokens;
mod viewers;
mod ways;
mod wrong_servers;
mod wrong_sources;
