//! The options that bound what a server takes on.

use std::time::Duration;

use clap::Args;

use super::{bitrate, duration};
use crate::{
    config::{Bounds, MAX_VIEWERS},
    session,
    timeline::Limits,
    transport::door,
};

#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "What it takes on at most")]
pub(super) struct Arguments {
    /// Viewers at once; more are told to come back later
    #[arg(long, value_name = "N", default_value_t = MAX_VIEWERS)]
    pub(super) max_viewers: usize,
    /// Connections at once, of viewers (who have two or more) and of everybody else
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = some)]
    max_connections: usize,
    /// The same from one address (of IPv6: from one /64)
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = some)]
    max_connections_per_address: usize,
    /// Connections at once that have not said yet what they want; one more, and the oldest of them is dropped
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = some)]
    max_handshakes: usize,
    /// The same from one address
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = some)]
    max_handshakes_per_address: usize,
    /// The most bits a second that each viewer may send, over some seconds
    #[arg(long, value_name = "RATE", default_value = "2M", value_parser = bitrate::parse)]
    max_upward_bitrate: u64,
    /// The most messages a second that each viewer may send, over some seconds
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = some)]
    max_upward_messages: usize,
    /// Memory for the last moments of each stream, such as 256M
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    ring_memory: usize,
    /// How long a handshake may take, and each request behind it
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    handshake_timeout: Duration,
    /// How long a viewer may take to say what it is
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    hello_timeout: Duration,
    /// How long a viewer may stay that watches nothing
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration::parse)]
    idle_timeout: Duration,
    /// How long viewers have to take a goodbye when the server is told to end
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    drain_timeout: Duration,
}

impl Arguments {
    /// How much of a stream is kept.
    pub(super) fn ring(&self) -> Limits {
        Limits {
            bytes: self.ring_memory,
            ..Limits::default()
        }
    }
}

impl From<&Arguments> for Bounds {
    fn from(arguments: &Arguments) -> Self {
        Self {
            door: door::Bounds {
                connections: arguments.max_connections,
                connections_per_address: arguments.max_connections_per_address,
                handshakes: arguments.max_handshakes,
                handshakes_per_address: arguments.max_handshakes_per_address,
            },
            session: session::server::Bounds {
                hello: arguments.hello_timeout,
                idle: Some(arguments.idle_timeout),
                bytes: Some(arguments.max_upward_bitrate / 8),
                messages: u64::try_from(arguments.max_upward_messages).ok(),
            },
            handshake: arguments.handshake_timeout,
            drain: arguments.drain_timeout,
        }
    }
}

fn some(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "a number from 1 on".to_owned())
}

/// Reads `256M`, `64k` or `1G` as bytes, powers of 1024.
fn size(text: &str) -> Result<usize, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "k" | "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err("a number with a unit is wanted, such as 256M or 1G".to_owned()),
    };
    let bytes = number.parse::<usize>().ok();
    bytes
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|bytes| (LEAST_RING..=MOST_RING).contains(bytes))
        .ok_or_else(|| "from 1M to 1024G".to_owned())
}

const LEAST_RING: usize = 1 << 20;
const MOST_RING: usize = 1 << 40;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        bounds: Arguments,
    }

    #[test]
    fn what_the_help_says_is_what_the_library_does_without_options() {
        let Program { bounds } = Program::parse_from(["serve"]);
        assert_eq!(bounds.ring(), Limits::default());
        let (said, done) = (Bounds::from(&bounds), Bounds::default());
        assert_eq!(said.door, done.door);
        // 2 Mbit/s are 250000 bytes a second, and the library counts in powers of two.
        let near = session::server::Bounds {
            bytes: Some(250_000),
            ..done.session
        };
        assert_eq!(said.session, near);
        assert_eq!((said.handshake, said.drain), (done.handshake, done.drain));
    }

    #[test]
    fn a_size_has_a_unit_and_sense() {
        assert_eq!(size("256M"), Ok(256 << 20));
        assert_eq!(size("2048k"), Ok(2 << 20));
        for wrong in ["256", "M", "1k", "9999999999999G", "1.5G", "-1M", ""] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
