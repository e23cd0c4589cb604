//! BBR with room for a picture.
//!
//! A picture comes in one burst, and BBR lets no more be under way than two round trips' worth of what the way carries:
//! on a short way some 20 KiB, so that on loopback a picture of 100 waited three times for acknowledgements, each of which
//! a busy viewer takes his time for. What may be under way is bounded by the session, from end to end (`session::server`):
//! what the way carries in 40 ms beside the round trip. So much is allowed here as well, where nothing was lost of late.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{BbrConfig, Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;

/// Makes them.
#[derive(Debug, Default)]
pub(super) struct RoomyConfig(Arc<BbrConfig>);

impl ControllerFactory for RoomyConfig {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Roomy {
            inner: Arc::clone(&self.0).build(now, mtu),
            lost_at: None,
        })
    }
}

struct Roomy {
    inner: Box<dyn Controller>,
    /// When something was lost last, if that counts still.
    lost_at: Option<Instant>,
}

impl Roomy {
    /// So much may be under way however short the way is.
    fn room(&self) -> u64 {
        let rate = self.inner.metrics().pacing_rate.unwrap_or_default() / 8;
        let bytes = u128::from(rate) * SLACK.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(MOST).min(MOST)
    }
}

impl Controller for Roomy {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.lost_at
            .take_if(|lost| now.saturating_duration_since(*lost) >= CLEAN);
        self.inner
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.lost_at = Some(now);
        self.inner
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        let window = self.inner.window();
        match self.lost_at {
            Some(_) => window,
            None => window.max(self.room()),
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            lost_at: self.lost_at,
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The session's own, of which it says more.
const SLACK: Duration = Duration::from_millis(40);

/// Two large pictures; a rate that is higher than this in 40 ms is that of a machine's own memory.
const MOST: u64 = 512 << 10;

/// A loss counts for so long.
const CLEAN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Carries so many bytes a second, and lets 20 KB be under way.
    #[derive(Clone)]
    struct Short(u64);

    impl Controller for Short {
        fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}

        fn on_mtu_update(&mut self, _: u16) {}

        fn window(&self) -> u64 {
            20_000
        }

        fn metrics(&self) -> ControllerMetrics {
            let mut metrics = ControllerMetrics::default();
            metrics.pacing_rate = Some(self.0 * 8);
            metrics
        }

        fn clone_box(&self) -> Box<dyn Controller> {
            Box::new(self.clone())
        }

        fn initial_window(&self) -> u64 {
            self.window()
        }

        fn into_any(self: Box<Self>) -> Box<dyn Any> {
            self
        }
    }

    fn roomy(rate: u64) -> Roomy {
        Roomy {
            inner: Box::new(Short(rate)),
            lost_at: None,
        }
    }

    #[test]
    fn forty_milliseconds_of_the_rate_may_be_under_way_and_no_more_than_two_pictures() {
        assert_eq!(roomy(0).window(), 20_000);
        assert_eq!(roomy(100_000).window(), 20_000);
        assert_eq!(roomy(5_000_000).window(), 200_000);
        assert_eq!(roomy(u64::MAX / 8).clone_box().window(), MOST);
    }

    #[test]
    fn while_packets_are_lost_it_is_as_bbr_has_it() {
        #[expect(clippy::disallowed_methods, reason = "where the test begins")]
        let lost = Instant::now();
        let mut controller = roomy(5_000_000);
        controller.on_congestion_event(lost, lost, false, 1200);
        let acknowledge = |controller: &mut Roomy, after| {
            controller.on_end_acks(lost + after, 0, false, Some(1));
            controller.window()
        };
        assert_eq!(acknowledge(&mut controller, CLEAN / 2), 20_000);
        assert_eq!(acknowledge(&mut controller, CLEAN), 200_000);
    }
}
