//! Who knocked in vain, by address: each further time costs him more of it, and too many times the door stays shut.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// The failed attempts of late. Bounded: of too many addresses the one that was heard least lately is forgotten.
#[derive(Debug, Default)]
pub(super) struct Knocks(HashMap<IpAddr, Knocker>);

#[derive(Clone, Copy, Debug)]
struct Knocker {
    failed: u32,
    last: Instant,
    shut_until: Option<Instant>,
}

impl Knocks {
    /// How long the door is still shut for this address; `None` if it is not.
    pub(super) fn shut(&self, addr: SocketAddr, now: Instant) -> Option<Duration> {
        let until = self.0.get(&whose(addr))?.shut_until?;
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// An attempt has failed; how long its answer is to take.
    pub(super) fn failed(&mut self, addr: SocketAddr, now: Instant) -> Duration {
        let whose = whose(addr);
        let fresh = Knocker {
            failed: 0,
            last: now,
            shut_until: None,
        };
        if !self.0.contains_key(&whose) {
            self.make_room(now);
        }
        let knocker = self.0.entry(whose).or_insert(fresh);
        if now.saturating_duration_since(knocker.last) >= FORGOTTEN {
            *knocker = fresh;
        }
        knocker.failed += 1;
        knocker.last = now;
        if knocker.failed.is_multiple_of(MOST_FAILED) {
            knocker.shut_until = Some(now + SHUT);
        }
        let doubled = 1 << knocker.failed.saturating_sub(1).min(8);
        (FIRST_WAIT * doubled).min(LONGEST_WAIT)
    }

    fn make_room(&mut self, now: Instant) {
        if self.0.len() < MOST_ADDRESSES {
            return;
        }
        self.0
            .retain(|_, knocker| now.saturating_duration_since(knocker.last) < FORGOTTEN);
        if self.0.len() >= MOST_ADDRESSES
            && let Some((&oldest, _)) = self.0.iter().min_by_key(|(_, knocker)| knocker.last)
        {
            self.0.remove(&oldest);
        }
    }
}

/// Of IPv6 whoever has an address has 2^64 of them.
fn whose(addr: SocketAddr) -> IpAddr {
    match addr.ip().to_canonical() {
        IpAddr::V6(ip) => {
            let network = u128::from(ip) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// What the first failed attempt costs; each further one twice as much.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// More than any person minds, and less than a client waits for a welcome.
const LONGEST_WAIT: Duration = Duration::from_secs(4);
/// So many attempts shut the door.
const MOST_FAILED: u32 = 20;
/// For so long.
const SHUT: Duration = Duration::from_secs(60);
/// After so long without one, attempts are counted from the beginning.
const FORGOTTEN: Duration = Duration::from_secs(600);
const MOST_ADDRESSES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn now() -> Instant {
        Instant::now()
    }

    fn at(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 1)
    }

    #[test]
    fn each_further_attempt_waits_longer_and_too_many_shut_the_door_for_a_while() {
        let (mut knocks, t0) = (Knocks::default(), now());
        let waits: Vec<_> = (0..20)
            .map(|_| knocks.failed(at("192.0.2.1"), t0))
            .collect();
        assert_eq!(waits[..3], [250, 500, 1000].map(Duration::from_millis));
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT));
        assert_eq!(knocks.shut(at("192.0.2.1"), t0), Some(SHUT));
        assert_eq!(knocks.shut(at("192.0.2.1"), t0 + SHUT), None);
        assert_eq!(knocks.shut(at("192.0.2.2"), t0), None, "others are let in");
        let later = t0 + FORGOTTEN;
        assert_eq!(knocks.failed(at("192.0.2.1"), later), FIRST_WAIT);
    }

    #[test]
    fn a_whole_network_of_ipv6_is_one_and_ipv4_within_it_is_ipv4() {
        let (mut knocks, t0) = (Knocks::default(), now());
        for n in 0..20 {
            knocks.failed(at(&format!("2001:db8::{n}")), t0);
            knocks.failed(at("::ffff:192.0.2.1"), t0);
        }
        assert!(knocks.shut(at("2001:db8::ffff"), t0).is_some());
        assert!(knocks.shut(at("2001:db8:0:1::"), t0).is_none());
        assert!(knocks.shut(at("192.0.2.1"), t0).is_some());
    }

    #[test]
    fn however_many_knock_only_so_many_are_remembered() {
        let (mut knocks, t0) = (Knocks::default(), now());
        for n in 0..10_000_u32 {
            let ip = std::net::Ipv4Addr::from(n);
            knocks.failed(
                SocketAddr::from((ip, 1)),
                t0 + Duration::from_millis(n.into()),
            );
        }
        assert_eq!(knocks.0.len(), MOST_ADDRESSES);
        assert!(knocks.0.contains_key(&IpAddr::from([0, 0, 39, 15])));
    }
}
