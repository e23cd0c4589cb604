//! Frames under way: where each ends among the bytes sent, and how old it was when the viewer had it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::media::MediaTime;

/// Frames remembered; a still picture's are small, so that many may be under way.
const MAX_UNDER_WAY: usize = 1024;

/// How long the least delay of the source counts.
const WINDOW: Duration = Duration::from_secs(10);

/// A frame that was given to the link whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct Sent {
    /// When it was captured.
    pub(in crate::session) capture: MediaTime,
    /// When its first byte was asked for.
    pub(in crate::session) began: Instant,
}

/// A frame that the viewer has whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Complete {
    /// When its first byte was asked for.
    pub(super) began: Instant,
    /// From capture until the viewer had it, beyond what the source and the line take at least.
    pub(super) age: Duration,
}

/// Frames that are under way.
#[derive(Debug, Default)]
pub(super) struct Frames {
    under_way: VecDeque<(u64, Sent)>,
    /// From capture until a frame was asked for, and when: the least of late is in front.
    delays: VecDeque<(Instant, Duration)>,
}

impl Frames {
    /// `frame` ends with byte `end` of all that was sent; `time` is the media clock at `now`.
    pub(super) fn sent(&mut self, frame: Sent, end: u64, time: MediaTime, now: Instant) {
        if self.under_way.len() == MAX_UNDER_WAY {
            self.under_way.pop_front();
        }
        self.under_way.push_back((end, frame));
        let since_capture = time.since(frame.capture);
        let delay = since_capture.saturating_sub(now.saturating_duration_since(frame.began));
        while self
            .delays
            .front()
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW)
        {
            self.delays.pop_front();
        }
        while self.delays.back().is_some_and(|(_, last)| *last >= delay) {
            self.delays.pop_back();
        }
        self.delays.push_back((now, delay));
    }

    /// The next frame that is complete now that `acked` bytes are acknowledged; `time` is the media clock now, `rtt`
    /// the least round trip.
    pub(super) fn complete(
        &mut self,
        acked: u64,
        time: MediaTime,
        rtt: Duration,
    ) -> Option<Complete> {
        let (end, sent) = *self.under_way.front()?;
        if end > acked {
            return None;
        }
        self.under_way.pop_front();
        let source = self
            .delays
            .front()
            .map_or(Duration::ZERO, |(_, delay)| *delay);
        Some(Complete {
            began: sent.began,
            age: time.since(sent.capture).saturating_sub(source + rtt),
        })
    }
}
