//! Which of a name's addresses to try when: the families in turn, each address with a head start (RFC 8305, lightly).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The addresses of one name, each given out once.
///
/// Whoever tries them polls until there is nothing to try, and again when one has failed or the time has come; the
/// first connection that stands ends it.
#[derive(Debug)]
pub(in crate::transport) struct Addresses {
    /// The next one last.
    left: Vec<SocketAddr>,
    running: usize,
    next: Instant,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Step {
    /// Try this address beside those that are being tried.
    Try(SocketAddr),
    /// Wait for one of them to end, and for this time, where there is one, to try the next beside them.
    Wait(Option<Instant>),
    /// All have failed, or there were none.
    Exhausted,
}

impl Addresses {
    /// In the order of the system.
    pub(in crate::transport) fn new(addresses: Vec<SocketAddr>, now: Instant) -> Self {
        let mut left = interleave(addresses);
        left.reverse();
        Self {
            left,
            running: 0,
            next: now,
        }
    }

    /// What to do now.
    pub(in crate::transport) fn poll(&mut self, now: Instant) -> Step {
        if now >= self.next
            && let Some(address) = self.left.pop()
        {
            self.running += 1;
            self.next = now + HEAD_START;
            return Step::Try(address);
        }
        match (self.running, self.left.is_empty()) {
            (0, true) => Step::Exhausted,
            (_, true) => Step::Wait(None),
            (_, false) => Step::Wait(Some(self.next)),
        }
    }

    /// One of those that are being tried has failed: the next need not wait.
    pub(in crate::transport) fn failed(&mut self, now: Instant) {
        self.running = self.running.saturating_sub(1);
        self.next = now;
    }
}

/// The families in turn, beginning with the one that the system prefers; each in the system's order.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().copied() else {
        return addresses;
    };
    let (mut preferred, mut other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|a| a.is_ipv6() == first.is_ipv6());
    let mut order = Vec::with_capacity(preferred.len() + other.len());
    preferred.reverse();
    other.reverse();
    while !(preferred.is_empty() && other.is_empty()) {
        order.extend(preferred.pop());
        order.extend(other.pop());
    }
    order
}

/// Before the next address is tried beside the last.
const HEAD_START: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 443))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), 443))
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn families_take_turns() {
        let order = interleave(vec![v6(1), v6(2), v6(3), v4(1)]);
        assert_eq!(order, [v6(1), v4(1), v6(2), v6(3)]);
        assert_eq!(interleave(vec![v4(1), v6(1)]), [v4(1), v6(1)]);
        assert_eq!(interleave(Vec::new()), []);
    }

    #[test]
    fn a_silent_address_has_a_head_start_of_a_quarter_of_a_second() {
        let start = now();
        let mut addresses = Addresses::new(vec![v6(1), v6(2), v4(1)], start);
        assert_eq!(addresses.poll(start), Step::Try(v6(1)));
        let second = start + ms(250);
        assert_eq!(addresses.poll(start), Step::Wait(Some(second)));
        assert_eq!(addresses.poll(start + ms(249)), Step::Wait(Some(second)));
        assert_eq!(addresses.poll(second), Step::Try(v4(1)));
        assert_eq!(addresses.poll(start + ms(500)), Step::Try(v6(2)));
        assert_eq!(addresses.poll(start + ms(500)), Step::Wait(None));
        assert_eq!(addresses.poll(start + ms(9000)), Step::Wait(None));
    }

    #[test]
    fn after_a_failure_the_next_address_is_tried_at_once() {
        let start = now();
        let mut addresses = Addresses::new(vec![v6(1), v4(1), v4(2)], start);
        assert_eq!(addresses.poll(start), Step::Try(v6(1)));
        addresses.failed(start + ms(10));
        assert_eq!(addresses.poll(start + ms(10)), Step::Try(v4(1)));
        let third = start + ms(260);
        assert_eq!(addresses.poll(start + ms(10)), Step::Wait(Some(third)));
    }

    #[test]
    fn when_all_have_failed_or_there_are_none_it_is_over() {
        let start = now();
        assert_eq!(
            Addresses::new(Vec::new(), start).poll(start),
            Step::Exhausted
        );
        let mut addresses = Addresses::new(vec![v4(1), v6(1)], start);
        assert_eq!(addresses.poll(start), Step::Try(v4(1)));
        assert_eq!(addresses.poll(start + ms(250)), Step::Try(v6(1)));
        addresses.failed(start + ms(300));
        assert_eq!(addresses.poll(start + ms(300)), Step::Wait(None));
        addresses.failed(start + ms(400));
        assert_eq!(addresses.poll(start + ms(400)), Step::Exhausted);
    }
}
