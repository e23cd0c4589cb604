//! Packets of sound in order: over two links, or in datagrams, one may overtake another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::media::AudioPacket;

/// Waits a little for a packet that others have overtaken.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The next one that is to be given out.
    next: Option<u64>,
    waiting: BTreeMap<u64, AudioPacket>,
    /// Since when something waits.
    since: Option<Instant>,
}

impl Order {
    /// A packet has come, which did not come before.
    pub(super) fn take(&mut self, packet: AudioPacket, now: Instant) {
        if self.next.is_some_and(|next| packet.seq < next) {
            return;
        }
        self.waiting.insert(packet.seq, packet);
        self.since.get_or_insert(now);
    }

    /// The next packet, with how many are missing before it.
    pub(super) fn give(&mut self, now: Instant) -> Option<(u64, AudioPacket)> {
        let entry = self.waiting.first_entry()?;
        let next = self.next.unwrap_or_else(|| *entry.key());
        let patient = self.since.is_some_and(|since| now < since + PATIENCE);
        if *entry.key() != next && patient && self.waiting.len() <= MOST_WAITING {
            return None;
        }
        let (seq, packet) = self.waiting.pop_first()?;
        self.next = Some(seq.saturating_add(1));
        self.since = (!self.waiting.is_empty()).then_some(now);
        Some((seq - next, packet))
    }

    /// When to ask again, though nothing comes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }
}

/// Two packets, which is what a datagram that was lost is made good in.
const PATIENCE: Duration = Duration::from_millis(40);
const MOST_WAITING: usize = 4;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::{AudioCodec, MediaTime};

    #[expect(clippy::disallowed_methods, reason = "any instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn packet(seq: u64) -> AudioPacket {
        AudioPacket {
            codec: AudioCodec::Opus,
            seq,
            capture: MediaTime::ZERO,
            duration: Duration::from_millis(20),
            bytes: Bytes::from_static(b"x"),
        }
    }

    fn given(order: &mut Order, now: Instant) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| order.give(now))
            .map(|(missing, packet)| (missing, packet.seq))
            .collect()
    }

    #[test]
    fn packets_that_were_overtaken_come_in_order() {
        let now = start();
        let mut order = Order::default();
        order.take(packet(7), now);
        assert_eq!(given(&mut order, now), [(0, 7)]);
        order.take(packet(9), now);
        assert_eq!(given(&mut order, now), []);
        order.take(packet(8), now);
        assert_eq!(given(&mut order, now), [(0, 8), (0, 9)]);
        assert_eq!(order.due(), None);
    }

    #[test]
    fn a_packet_that_does_not_come_is_waited_for_no_longer_than_it_is_worth() {
        let now = start();
        let mut order = Order::default();
        for seq in [1, 3] {
            order.take(packet(seq), now);
        }
        assert_eq!(given(&mut order, now), [(0, 1)]);
        let due = order.due().unwrap();
        assert_eq!(given(&mut order, due), [(1, 3)]);
        order.take(packet(2), due);
        assert_eq!(given(&mut order, due), []);
        for seq in [10, 11, 12, 13, 14] {
            order.take(packet(seq), due);
        }
        assert_eq!(given(&mut order, due).first(), Some(&(6, 10)));
    }

    #[test]
    fn the_last_number_there_is_does_no_harm() {
        let now = start();
        let mut order = Order::default();
        for seq in [u64::MAX, u64::MAX, 0] {
            order.take(packet(seq), now);
            given(&mut order, now);
        }
    }
}
