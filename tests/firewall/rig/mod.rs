//! What the tests stand on: three namespaces, what runs in them, and certificates.

mod authority;
mod capture;
mod daemon;
mod net;
mod playing;
#[path = "../../e2e/support/program.rs"]
#[expect(dead_code, reason = "the tests of the whole program use more of it")]
mod program;
mod squid;

use std::time::{Duration, Instant};

pub(crate) use authority::{Authority, Issued};
pub(crate) use capture::{Capture, holds};
pub(crate) use daemon::Daemon;
pub(crate) use net::{BOX, CLIENT_SIDE, NAME, Net, SERVER, Side};
pub(crate) use playing::{Play, Serving};
pub(crate) use program::{Ended, Program};
pub(crate) use squid::Squid;

/// Far longer than anything here takes on a busy machine; only waited for when something is wrong.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < SOON, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
