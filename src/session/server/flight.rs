//! What is under way to a viewer, and how much of the picture may be.
//!
//! What the network already holds cannot be chosen anew. So at most *delivery rate × (least round trip + 40 ms)* of
//! bytes are unacknowledged, 32 KiB as long as nothing is known of the line and never less than 8 KiB: enough to keep a line busy, too little to fill a queue in it,
//! whatever the congestion control below. While the round trip stays near its least the bound grows like a slow start.
//! The rate is estimated as in BBR (draft-cardwell-iccrg-bbr-congestion-control, section 4.1), at the session's level:
//! bytes acknowledged over the time in which they were sent or came, whichever is longer, and the highest of late.
//!
//! A box on the way may let acknowledgements through only now and then, several at once. The line is no slower for that:
//! what it carries until the next ones come may be under way as well, and a round trip that is longer by as much shows no
//! queue. Where they come one by one it is the line that takes its time.
//!
//! No clock, no IO: time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So much may be under way at first, bytes.
const FIRST: u64 = 32 << 10;

/// So much always may, bytes: at 0.5 Mbit/s an eighth of a second.
const LEAST: u64 = 8 << 10;

/// More is never under way, bytes.
const MOST: u64 = 16 << 20;

/// What may wait in the line, as time at the delivery rate.
const SLACK: Duration = Duration::from_millis(40);

/// With a round trip this little above its least the line has no queue, and more is tried.
const CALM: Duration = Duration::from_millis(25);

/// The longest that is waited for acknowledgements without taking the line for a slow one.
const LONGEST_GAP: Duration = Duration::from_millis(100);

/// Acknowledgements so near each other have come at once: a viewer has more time between them.
const AT_ONCE: Duration = Duration::from_millis(2);

/// What a viewer waits itself before it acknowledges anything.
const USUAL_GAP: Duration = Duration::from_millis(20);

/// With a round trip this much above its least the line has become slower, and older rates count no longer.
const JAMMED: Duration = Duration::from_millis(100);

/// How long a least round trip counts; after that a short pause of the picture shows it anew.
const RTT_WINDOW: Duration = Duration::from_secs(10);

/// How long such a pause may take.
const LONGEST_DRAIN: Duration = Duration::from_secs(1);

/// How long a rate counts, at least; or ten round trips.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// The same while the line is jammed.
const JAMMED_WINDOW: Duration = Duration::from_millis(250);

/// A rate that rises by less than this is that of a line that is full, as in BBR's startup.
const RISE: f64 = 1.25;

/// Round trips in which it has to, or it does not rise any more.
const ROUNDS_OF_GROWTH: u32 = 2;

/// Chunks remembered one by one; of more, the last are taken as one.
const MAX_CHUNKS: usize = 4096;

/// Bytes under way and their bound.
#[derive(Debug)]
pub(super) struct Flight {
    sent: u64,
    acked: u64,
    /// When `acked` went up last.
    acked_at: Instant,
    /// When the last acknowledgement came.
    told_at: Instant,
    /// How long none had come before it although one could have.
    waited: Duration,
    /// The longest such wait of late for several at once.
    gap: Duration,
    /// When the first chunk of the current sample was sent.
    first_sent: Instant,
    chunks: VecDeque<Chunk>,
    rates: VecDeque<Rate>,
    rtt: Option<LeastRtt>,
    /// The bound.
    window: u64,
    /// Something was held back by the bound since the last acknowledgement.
    limited: bool,
    /// Since when each round trip has shown a queue: the line takes no more than it does.
    full_since: Option<Instant>,
    /// When the bound went up last because it held something back and there was no queue.
    grew: Option<Instant>,
    /// The highest rate when it had last risen by a good part, and when that was.
    risen: Option<Rate>,
    /// What was sent up to here says nothing about the line: there was nothing more to send.
    starved_until: u64,
    drain: Option<Drain>,
}

/// Bytes that were sent in one go and are unacknowledged.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    end: u64,
    at: Instant,
    /// The state when it was sent.
    acked: u64,
    acked_at: Instant,
    first_sent: Instant,
    starved: bool,
}

/// A sample of the delivery rate.
#[derive(Clone, Copy, Debug)]
struct Rate {
    at: Instant,
    /// Bytes a second.
    rate: f64,
}

#[derive(Clone, Copy, Debug)]
struct LeastRtt {
    rtt: Duration,
    /// When it was seen last.
    at: Instant,
}

/// The line is let run empty, so that the least round trip shows.
#[derive(Clone, Copy, Debug)]
struct Drain {
    since: Instant,
    /// From here on chunks met a line without a queue of ours.
    clear_from: Option<u64>,
}

/// Why an acknowledgement cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotSent;

impl Flight {
    /// Nothing was sent.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            sent: 0,
            acked: 0,
            acked_at: now,
            told_at: now,
            waited: Duration::ZERO,
            gap: Duration::ZERO,
            first_sent: now,
            chunks: VecDeque::new(),
            rates: VecDeque::new(),
            rtt: None,
            window: FIRST,
            limited: false,
            full_since: None,
            grew: None,
            risen: None,
            starved_until: 0,
            drain: None,
        }
    }

    /// Bytes sent in all.
    pub(super) const fn sent_bytes(&self) -> u64 {
        self.sent
    }

    /// Bytes sent and not acknowledged.
    pub(super) const fn under_way(&self) -> u64 {
        self.sent - self.acked
    }

    /// The least round trip of late; `None` before the first acknowledgement.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|least| least.rtt)
    }

    /// How long after it was sent something may be acknowledged that nothing has held up: the least round trip, and what
    /// acknowledgements themselves are late.
    pub(super) fn on_time(&self) -> Duration {
        self.rtt().unwrap_or_default() + self.gap.saturating_sub(USUAL_GAP)
    }

    /// What may wait in the line, as time at the delivery rate.
    fn slack(&self) -> Duration {
        SLACK.max(self.gap)
    }

    /// Whether the bound is still rising, and what is delivered with it: what is late now would not have been later on.
    pub(super) fn is_growing(&self, now: Instant) -> bool {
        let rtt = self.rtt.map_or(Duration::ZERO, |least| least.rtt);
        let lately = |at: Instant| now.saturating_duration_since(at) <= rtt + self.slack();
        self.grew.is_some_and(lately) && self.rises(now)
    }

    /// Whether the line delivers more and more of late. A full one has calm moments too, in which more is tried, but it
    /// does not deliver more for that.
    fn rises(&self, now: Instant) -> bool {
        let rtt = self.rtt.map_or(Duration::ZERO, |least| least.rtt);
        self.risen.is_none_or(|risen| {
            now.saturating_duration_since(risen.at) <= (rtt + self.slack()) * ROUNDS_OF_GROWTH
        })
    }

    /// How long the line takes for so many bytes; `None` while it may yet take more than it did, or has only just begun
    /// to move again.
    pub(super) fn takes(&self, bytes: usize, now: Instant) -> Option<Duration> {
        let full = self.full_since?;
        if now.saturating_duration_since(full) < JAMMED {
            return None;
        }
        let rate = self.rates.front()?.rate;
        #[expect(clippy::cast_precision_loss, reason = "a picture's bytes are few")]
        let seconds = bytes as f64 / rate;
        // A rate is never zero: bytes were acknowledged.
        seconds
            .is_finite()
            .then(|| Duration::from_secs_f64(seconds.min(60.0)))
    }

    /// Bytes of the picture that may go.
    pub(super) fn room(&mut self) -> u64 {
        let room = self.bound().saturating_sub(self.under_way());
        self.limited |= room == 0;
        room
    }

    /// There was room and nothing more to send.
    pub(super) fn starve(&mut self) {
        if self.under_way() < self.bound() {
            self.starved_until = self.sent;
        }
    }

    /// What is under way is not followed any more: when it is acknowledged, if ever, that says nothing about the line.
    pub(super) fn forget(&mut self) {
        self.chunks.clear();
    }

    /// How many chunks are followed.
    #[cfg(test)]
    pub(super) fn followed(&self) -> usize {
        self.chunks.len()
    }

    /// `bytes` were given to the link.
    pub(super) fn send(&mut self, bytes: usize, now: Instant) {
        if self.sent == self.acked {
            // After a pause the line is judged anew.
            self.acked_at = now;
            self.first_sent = now;
        }
        let starved = self.sent <= self.starved_until;
        self.sent += bytes as u64;
        let many = self.chunks.len() == MAX_CHUNKS;
        if let Some(last) = self.chunks.back_mut()
            && many
        {
            last.end = self.sent;
            return;
        }
        self.chunks.push_back(Chunk {
            end: self.sent,
            at: now,
            acked: self.acked,
            acked_at: self.acked_at,
            first_sent: self.first_sent,
            starved,
        });
    }

    /// The viewer has `received` bytes in all, the last of which came `held` before it said so.
    pub(super) fn acknowledge(
        &mut self,
        received: u64,
        held: Duration,
        now: Instant,
    ) -> Result<(), NotSent> {
        if received > self.sent {
            return Err(NotSent);
        }
        if received <= self.acked {
            return Ok(());
        }
        self.note_gap(now);
        let mut newest = None;
        while let Some(chunk) = self.chunks.front()
            && chunk.end <= received
        {
            newest = self.chunks.pop_front();
        }
        let gained = received - self.acked;
        self.acked = received;
        let Some(chunk) = newest else {
            self.acked_at = now;
            return Ok(());
        };
        // A viewer cannot have held it longer than it was away.
        let away = now.saturating_duration_since(chunk.at);
        let rtt = away.saturating_sub(held);
        let came = chunk.at + rtt;
        self.acked_at = self.acked_at.max(came);
        self.first_sent = chunk.at;
        self.sample_rtt(&chunk, rtt, now);
        self.sample_rate(&chunk, rtt, came, now);
        self.adjust(gained, rtt, now);
        Ok(())
    }

    /// An acknowledgement has come: how long could there have been one?
    fn note_gap(&mut self, now: Instant) {
        if now.saturating_duration_since(self.told_at) < AT_ONCE {
            self.gap = self.gap.max(self.waited);
            return;
        }
        // The oldest bytes can be acknowledged when a round trip is over.
        let oldest = self.chunks.front().map_or(now, |chunk| chunk.at);
        let due = self.told_at.max(oldest + self.rtt().unwrap_or_default());
        self.waited = now.saturating_duration_since(due).min(LONGEST_GAP);
        self.gap -= self.gap / 16;
        self.told_at = now;
    }

    /// How much may be under way.
    fn bound(&self) -> u64 {
        if self.drain.is_some() {
            // Something always is, or nothing would show the round trip.
            let some = self.carried(Duration::ZERO) / 2;
            return some.max(LEAST / 2).min(self.window);
        }
        self.window
    }

    /// Bytes that the line delivers in its least round trip and `slack`.
    fn carried(&self, slack: Duration) -> u64 {
        let rate = self.rates.front().map_or(0.0, |rate| rate.rate);
        let rtt = self.rtt.map_or(Duration::ZERO, |least| least.rtt);
        whole(rate * (rtt + slack).as_secs_f64())
    }

    fn adjust(&mut self, gained: u64, rtt: Duration, now: Instant) {
        let carried = self.carried(self.slack()).clamp(LEAST, MOST);
        let least = self.rtt.map_or(rtt, |least| least.rtt);
        if rtt > least + CALM.max(self.gap) {
            self.full_since.get_or_insert(now);
            self.window = carried;
        } else if self.limited {
            let most = if self.rises(now) {
                MOST
            } else {
                (carried + carried / 4).min(MOST)
            };
            self.window = (self.window + gained).clamp(carried, most);
            self.full_since = None;
            self.grew = Some(now);
        } else {
            self.full_since = None;
            self.window = self.window.max(carried);
        }
        self.limited = false;
    }

    fn sample_rtt(&mut self, chunk: &Chunk, rtt: Duration, now: Instant) {
        let Some(least) = &mut self.rtt else {
            self.rtt = Some(LeastRtt { rtt, at: now });
            return;
        };
        if rtt <= least.rtt + least.rtt / 16 + Duration::from_millis(2) {
            least.rtt = least.rtt.min(rtt);
            least.at = now;
            self.drain = None;
            return;
        }
        let Some(drain) = &mut self.drain else {
            if now.saturating_duration_since(least.at) > RTT_WINDOW {
                self.drain = Some(Drain {
                    since: now,
                    clear_from: None,
                });
            }
            return;
        };
        let over = now.saturating_duration_since(drain.since) > LONGEST_DRAIN;
        match drain.clear_from {
            Some(from) if over || chunk.end > from => {
                *least = LeastRtt { rtt, at: now };
                self.drain = None;
            }
            Some(_) => {}
            None => {
                if over || self.sent - self.acked < self.bound() {
                    let from = self.sent;
                    self.drain = self.drain.map(|drain| Drain {
                        clear_from: Some(from),
                        ..drain
                    });
                }
            }
        }
    }

    fn sample_rate(&mut self, chunk: &Chunk, rtt: Duration, came: Instant, now: Instant) {
        let least = self.rtt.map_or(rtt, |least| least.rtt);
        let window = if rtt > least + JAMMED {
            JAMMED_WINDOW.max(least * 2)
        } else {
            RATE_WINDOW.max(least * 10)
        };
        while self
            .rates
            .front()
            .is_some_and(|rate| now.saturating_duration_since(rate.at) > window)
            && self.rates.len() > 1
        {
            self.rates.pop_front();
        }
        let sending = chunk.at.saturating_duration_since(chunk.first_sent);
        let coming = came.saturating_duration_since(chunk.acked_at);
        // Below a tenth of a millisecond it is the clock that is measured.
        let taken = sending.max(coming).max(Duration::from_micros(100));
        #[expect(clippy::cast_precision_loss, reason = "bytes in flight are few")]
        let rate = (self.acked - chunk.acked) as f64 / taken.as_secs_f64();
        if chunk.starved && self.rates.front().is_some_and(|best| rate < best.rate) {
            return;
        }
        // Only what may yet be the highest is kept: rates fall from front to back.
        while self.rates.back().is_some_and(|last| last.rate <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back(Rate { at: now, rate });
        self.note_rise(now);
    }

    /// Keeps in mind when the highest rate rises, and follows it down.
    fn note_rise(&mut self, now: Instant) {
        let Some(Rate { rate, .. }) = self.rates.front() else {
            return;
        };
        match &mut self.risen {
            Some(risen) if *rate < risen.rate * RISE => risen.rate = risen.rate.min(*rate),
            _ => {
                self.risen = Some(Rate {
                    at: now,
                    rate: *rate,
                })
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped"
)]
const fn whole(bytes: f64) -> u64 {
    bytes.clamp(0.0, MOST as f64) as u64
}
