//! Bytes in order, both ways, where nothing but whole HTTP requests and answers gets through.
//!
//! What goes down is the answer to one long GET, or, where a box on the way holds that back, the answers to numbered
//! GETs; what goes up are numbered POSTs, and GETs for a few bytes. All of a session have one random id. Here is only the pipe: it ends in a
//! [`DuplexStream`](tokio::io::DuplexStream) on either side, in which TLS is spoken to the server's own key, so whoever
//! sees an id, or guesses one, gains nothing by it. `src/wire/README.md`, section 14, has the bytes.

mod answer;
pub(in crate::transport) mod client;
mod down;
mod finite;
mod gate;
mod patience;
mod query;
mod session;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub(in crate::transport) use self::answer::Visit;
pub use self::client::Held;
pub(in crate::transport) use self::client::{Error, start};
#[cfg(fuzzing)]
pub(in crate::transport) use self::query::{fuzz_query, fuzz_word};
pub use self::table::{Opened, Standing, Table};

/// How the bytes come down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As one long answer.
    Streamed,
    /// As many short ones, since a box on the way holds back what is not complete.
    Finite,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Streamed => "streamed",
            Self::Finite => "finite",
        })
    }
}

/// What every way down begins with, so that it is known at once whether it is held back, and whether it is ours.
const PREAMBLE: &[u8] = b"tunnelcast/1\r\n";

/// What waits in either direction between HTTP and the TLS inside: one record.
const ROOM: usize = 16 * 1024;
/// Room that a read is worth making for.
const LEAST_ROOM: usize = 4 * 1024;
/// The most bytes of one POST.
const MOST_UP: usize = 64 * 1024;
/// The most bytes of one GET: written in a header they still fit into the smallest heads that boxes take.
const MOST_WORD: usize = 2 * 1024;
/// The most bytes of one short answer.
const MOST_DOWN: usize = 256 * 1024;
/// Requests that may be ahead of the one whose turn it is, since they go over several connections.
const WINDOW: u64 = 4;
/// How long one direction may go on when the other has ended.
const LINGER: Duration = Duration::from_secs(1);
