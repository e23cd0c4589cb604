//! Packets of sound, put in order and given out when the speaker wants the next one.
//!
//! Every packet has a moment at which it should be pulled: *target* after the fastest packet of the last seconds
//! could have brought it. How far the pulls are from those moments, averaged, is the error that [`Audio::rate`]
//! works off by playing a little faster or slower; that covers both clock drift and a target that moved.

mod peak;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use self::peak::Peak;
use super::Estimate;
use crate::media::{AudioPacket, MediaTime};

/// Orders, holds and hands out the packets of one track of sound.
#[derive(Debug)]
pub struct Audio {
    bounds: Bounds,
    estimate: Estimate,
    /// Ordered by `seq`, without duplicates.
    packets: VecDeque<AudioPacket>,
    state: State,
    /// The packet to be pulled next, once anything was pulled.
    next: Option<u64>,
    /// Capture time of the first sample that was not pulled yet.
    position: Option<MediaTime>,
    packet: Duration,
    target: Duration,
    lowered: Option<Instant>,
    /// When the first packet came.
    started: Option<Instant>,
    /// By how much a second the target falls, in seconds; zero: it does not.
    falling: f64,
    peak: Peak,
    floor: Duration,
    /// Behind the target, in seconds, averaged; negative: ahead of it.
    error: f64,
    catching_up: bool,
    strays: u32,
    counts: Counts,
}

/// Between what the delay over the fastest packet may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Never less.
    pub min: Duration,
    /// Never more; at most [`Bounds::MAX`].
    pub max: Duration,
}

impl Bounds {
    /// The longest delay that a buffer holds.
    pub const MAX: Duration = Duration::from_secs(10);

    /// What is usual: 20 to 300 ms, as short as the line allows.
    pub const ADAPTIVE: Self = Self {
        min: Duration::from_millis(20),
        max: Duration::from_millis(300),
    };
}

/// What the speaker is to play for the length of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull {
    /// This.
    Packet(AudioPacket),
    /// Something made up from what was heard last: this packet is missing.
    Conceal,
    /// Nothing: the buffer is being filled.
    Silence,
}

/// What became of the packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Came in, the useless ones too.
    pub received: u64,
    /// Were handed out.
    pub played: u64,
    /// Were not there when those after them were due.
    pub lost: u64,
    /// Came after their turn.
    pub late: u64,
    /// Came twice.
    pub duplicate: u64,
    /// Were thrown away unheard to be in time again, or because the buffer was full.
    pub skipped: u64,
    /// Times that something was made up.
    pub concealed: u64,
    /// Times that the buffer ran empty.
    pub underruns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits until the first packet is due.
    Filling,
    Playing,
    /// Nothing there: so many packets' time was made up for.
    Starving(u32),
}

impl Audio {
    /// An empty buffer. `origin` as for [`Estimate::new`].
    pub fn new(bounds: Bounds, origin: Instant) -> Self {
        let max = bounds.max.min(Bounds::MAX);
        let bounds = Bounds {
            min: bounds.min.min(max),
            max,
        };
        Self {
            bounds,
            estimate: Estimate::new(origin),
            packets: VecDeque::with_capacity(64),
            state: State::Filling,
            next: None,
            position: None,
            packet: PACKET,
            target: bounds.min.max(PACKET).min(bounds.max),
            lowered: None,
            started: None,
            falling: 0.0,
            peak: Peak::default(),
            floor: Duration::ZERO,
            error: 0.0,
            catching_up: false,
            strays: 0,
            counts: Counts::default(),
        }
    }

    /// A packet has come.
    pub fn push(&mut self, packet: AudioPacket, now: Instant) {
        self.counts.received += 1;
        if self.next.is_some_and(|next| packet.seq < next) {
            self.counts.late += 1;
            self.strays += 1;
            if self.strays < STRAYS {
                // it tells how late packets are all the same
                let delay = self.estimate.add(packet.capture, now);
                self.retarget(delay, now);
                return;
            }
            // not late but counted anew: a stream that began again
            self.restart();
        }
        self.strays = 0;
        let at = self.packets.partition_point(|held| held.seq < packet.seq);
        if self
            .packets
            .get(at)
            .is_some_and(|held| held.seq == packet.seq)
        {
            self.counts.duplicate += 1;
            return;
        }
        if !packet.duration.is_zero() {
            self.packet = packet.duration.min(LONGEST);
        }
        let delay = self.estimate.add(packet.capture, now);
        self.retarget(delay, now);
        self.packets.insert(at, packet);
        while self.packets.len() > MAX_PACKETS || self.held() > self.bounds.max + SLACK {
            self.skip();
        }
    }

    /// The sound for the next packet's length. To be called each time that the speaker has room for one.
    pub fn pull(&mut self, now: Instant) -> Pull {
        self.lower(now);
        if self.state == State::Filling {
            if !self.begin(now) {
                return Pull::Silence;
            }
            self.state = State::Playing;
        }
        let Some(front) = self.packets.front() else {
            return self.starve();
        };
        if let Some(next) = self.next
            && front.seq > next
        {
            return self.bridge(front.seq - next);
        }
        let Some(packet) = self.packets.pop_front() else {
            return self.starve();
        };
        self.state = State::Playing;
        self.next = Some(packet.seq.saturating_add(1));
        self.position = Some(packet.capture + packet.duration);
        self.counts.played += 1;
        self.steer(packet.capture, now);
        Pull::Packet(packet)
    }

    /// The target will be at least this (within its bounds): for a picture that needs longer than the sound.
    pub fn set_floor(&mut self, floor: Duration) {
        self.floor = floor;
    }

    /// Forgets packets and times, because another server or another stream begins. Counts stay.
    pub fn reset(&mut self) {
        self.restart();
        self.estimate.reset();
        self.started = None;
        self.target = self.bounds.min.max(PACKET).min(self.bounds.max);
    }

    /// How fast to play, 1.0 being as captured: within 0.05 % when steady (0.15 to 0.75 % while the target falls), within
    /// 2 % when catching up.
    pub fn rate(&self) -> f64 {
        if self.state != State::Playing {
            return 1.0;
        }
        let limit = if self.catching_up {
            CATCH_UP
        } else {
            STEADY + self.falling
        };
        1.0 + (self.error * GAIN).clamp(-limit, limit)
    }

    /// Capture time of the end of what was pulled last; `None` unless packets are being played.
    pub fn position(&self) -> Option<MediaTime> {
        match self.state {
            State::Filling => None,
            State::Playing | State::Starving(_) => self.position,
        }
    }

    /// The delay over the fastest packet that is aimed at.
    pub const fn target(&self) -> Duration {
        self.target
    }

    /// How much sound waits.
    pub fn held(&self) -> Duration {
        match (self.packets.front(), self.packets.back()) {
            (Some(first), Some(last)) => last.capture.since(first.capture) + last.duration,
            _ => Duration::ZERO,
        }
    }

    /// How the packets arrive.
    pub const fn estimate(&self) -> &Estimate {
        &self.estimate
    }

    /// How long the packets are.
    pub const fn packet(&self) -> Duration {
        self.packet
    }

    /// What became of the packets so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The buffer is empty though its turn has come.
    fn starve(&mut self) -> Pull {
        let made_up = match self.state {
            State::Starving(made_up) => made_up,
            State::Playing | State::Filling => {
                self.counts.underruns += 1;
                0
            }
        };
        if made_up >= MOST_CONCEALED {
            self.state = State::Filling;
            return Pull::Silence;
        }
        // the turn stays where it is: the packet is probably only late, and then it is still played
        self.state = State::Starving(made_up + 1);
        self.counts.concealed += 1;
        Pull::Conceal
    }

    /// `missing` packets are not there, but a later one is.
    fn bridge(&mut self, missing: u64) -> Pull {
        if missing > u64::from(MOST_CONCEALED) {
            self.counts.lost = self.counts.lost.saturating_add(missing);
            self.next = None;
            self.state = State::Filling;
            return Pull::Silence;
        }
        self.counts.lost = self.counts.lost.saturating_add(1);
        self.counts.concealed += 1;
        self.next = self.next.map(|next| next.saturating_add(1));
        self.position = self.position.map(|at| at + self.packet);
        Pull::Conceal
    }

    /// Whether the first packet is due. What is hopelessly behind is left out: between two silences nobody misses it.
    fn begin(&mut self, now: Instant) -> bool {
        while let Some(front) = self.packets.front() {
            let behind = self.behind(front.capture, now);
            if self.packets.len() > 1 && behind > JUMP {
                self.skip();
                continue;
            }
            if behind < 0.0 {
                return false;
            }
            // what a hole or a jump passed over was counted there
            self.next = Some(front.seq);
            self.error = behind;
            self.catching_up = behind > CATCH_UP_ON;
            return true;
        }
        false
    }

    /// Takes the error of one pull into the average, and jumps when it can no longer be worked off pleasantly.
    fn steer(&mut self, capture: MediaTime, now: Instant) {
        self.error += (self.behind(capture, now) - self.error) * AVERAGE;
        if self.error.abs() > CATCH_UP_ON {
            self.catching_up = true;
        } else if self.error.abs() < CATCH_UP_OFF {
            self.catching_up = false;
        }
        if self.error > JUMP {
            while self.error > CATCH_UP_ON && self.packets.len() > 1 {
                self.skip();
                self.error -= self.packet.as_secs_f64();
            }
            self.next = self.packets.front().map(|front| front.seq).or(self.next);
        }
    }

    /// Seconds that `now` is after the moment at which `capture` should be pulled.
    fn behind(&self, capture: MediaTime, now: Instant) -> f64 {
        let Some(fastest) = self.estimate.fastest() else {
            return 0.0;
        };
        let late = self.estimate.lag(capture, now).saturating_sub(fastest);
        seconds(late) - self.target.as_secs_f64()
    }

    /// A packet was `delay` slower than the fastest: the target goes up at once, if it has to.
    fn retarget(&mut self, delay: Duration, now: Instant) {
        self.started.get_or_insert(now);
        if self.age(now) >= START {
            self.peak.add(delay, now);
        }
        let mut wanted = self.wanted();
        if matches!(self.state, State::Starving(_) | State::Filling) && self.position.is_some() {
            // this one ended a silence: once is enough to learn from. One packet more than usual, or the target would
            // have fallen below it again before the next time.
            let learnt = delay + self.packet * 2;
            wanted = wanted.max(learnt.clamp(self.bounds.min, self.bounds.max));
        }
        if wanted >= self.target {
            self.target = wanted;
            self.lowered = Some(now);
            self.falling = 0.0;
        }
    }

    /// The target sinks to what is wanted: by 1 ms a second, so that the next stall of many is not heard; faster from
    /// above all that was needed for long, as it is after a line was found to be slower than its first picture.
    fn lower(&mut self, now: Instant) {
        let Some(lowered) = self.lowered else {
            self.lowered = Some(now);
            return;
        };
        let wanted = self.wanted();
        let needed = wanted.max(self.peak.recent(now) + self.packet * 2);
        let excess = self.target.saturating_sub(needed).as_secs_f64();
        self.falling = if self.target > wanted {
            (excess / FALL_TIME).clamp(FALL, FASTEST_FALL)
        } else {
            0.0
        };
        let by = now.saturating_duration_since(lowered).mul_f64(self.falling);
        self.target = match self.age(now) {
            age if age < START => wanted,
            // What came of the start is gone from what is wanted only now, and was no fault of the line.
            age if age < SETTLED => self.target.min(needed).max(wanted),
            _ => self.target.saturating_sub(by).max(wanted),
        };
        self.lowered = Some(now);
    }

    /// How long ago the first packet came: the first ones tell little of those that follow, as the line is still being
    /// found out.
    fn age(&self, now: Instant) -> Duration {
        self.started.map_or(Duration::ZERO, |started| {
            now.saturating_duration_since(started)
        })
    }

    fn wanted(&self) -> Duration {
        (self.estimate.spread() + self.packet)
            .max(self.floor)
            .clamp(self.bounds.min, self.bounds.max)
    }

    fn skip(&mut self) {
        if let Some(packet) = self.packets.pop_front() {
            self.counts.skipped += 1;
            self.next = self.next.map(|next| next.max(packet.seq.saturating_add(1)));
        }
    }

    fn restart(&mut self) {
        self.packets.clear();
        self.state = State::Filling;
        self.next = None;
        self.position = None;
        self.error = 0.0;
        self.catching_up = false;
        self.strays = 0;
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of delay are far below 2^52"
)]
fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

/// Until a packet has told otherwise.
const PACKET: Duration = Duration::from_millis(20);

/// No codec has longer packets.
const LONGEST: Duration = Duration::from_millis(120);

/// 60 ms of made-up sound are pleasant, more is a robot.
const MOST_CONCEALED: u32 = 3;

/// So many packets in a row from the past are a stream that began anew.
const STRAYS: u32 = 25;

/// Held beyond the longest delay before the oldest is thrown away: a burst after a stall.
const SLACK: Duration = Duration::from_secs(1);

/// Whatever the packets say about their length.
const MAX_PACKETS: usize = 1024;

/// Clocks of sound cards are within this of each other, and nobody hears it.
const STEADY: f64 = 0.0005;

/// The target falls by at least this: 1 ms a second.
const FALL: f64 = 0.001;

/// Of what it is too high, it falls by one part in so many each second; to be a third takes about as long.
const FALL_TIME: f64 = 10.0;

/// How long the target is not held up.
const START: Duration = Duration::from_secs(4);
/// How long it is held up by nothing that was before that: the window of what is wanted, and a little.
const SETTLED: Duration = Duration::from_secs(10);

/// And at most by this: sound that is played 0.7 % faster, an eighth of a semitone.
const FASTEST_FALL: f64 = 0.007;

/// The most that is still pleasant for a while.
const CATCH_UP: f64 = 0.02;

/// Rate per second of error: 20 ms of error are worked off at 0.6 %.
const GAIN: f64 = 0.3;

/// Error, in seconds, at which catching up begins and ends: well apart, so that it does not flutter.
const CATCH_UP_ON: f64 = 0.015;
const CATCH_UP_OFF: f64 = 0.003;

/// Further behind than this, in seconds, sound is left out.
const JUMP: f64 = 0.25;

/// Weight of one pull in the averaged error: pulls come in steps of the device's buffer.
const AVERAGE: f64 = 1.0 / 32.0;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests;
