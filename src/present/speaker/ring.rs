//! Between the thread that makes sound and the device's callback: a ring of samples and a few numbers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::media::CHANNELS;

use super::super::null::duration;

/// The writing end.
#[derive(Debug)]
pub(super) struct Line {
    ring: rtrb::Producer<f32>,
    shared: Arc<Shared>,
    rate: u32,
    device: String,
}

/// The device's end: lives in its callback, where nothing may block or allocate.
pub(super) struct Outflow {
    ring: rtrb::Consumer<f32>,
    shared: Arc<Shared>,
    rate: u32,
    /// What was played last, let fade when nothing more comes.
    last: [f32; CHANNELS],
    /// How far the sound has come in after a break, 0.0 to 1.0.
    presence: f32,
}

/// Read by one side, written by the other; each value stands alone.
#[derive(Debug)]
pub(super) struct Shared {
    epoch: Instant,
    /// When the next sample in the ring will be heard, in microseconds since `epoch`; 0: not known yet.
    heard: AtomicU64,
    /// The most frames that the device ever took at once.
    period: AtomicU32,
    callbacks: AtomicU64,
    underruns: AtomicU64,
    /// Times that the device asked only after it must have run dry.
    late: AtomicU32,
    /// Sound was written since the ring last ran empty.
    fed: AtomicBool,
}

/// A ring for a device with `rate` frames a second.
pub(super) fn ring(rate: u32, device: String, epoch: Instant) -> (Line, Outflow, Arc<Shared>) {
    let frames = usize::try_from(rate).unwrap_or(48_000) / CAPACITY_DIVISOR;
    let (producer, consumer) = rtrb::RingBuffer::new(frames * CHANNELS);
    let shared = Arc::new(Shared {
        epoch,
        heard: AtomicU64::new(0),
        period: AtomicU32::new(0),
        callbacks: AtomicU64::new(0),
        underruns: AtomicU64::new(0),
        late: AtomicU32::new(0),
        fed: AtomicBool::new(false),
    });
    let line = Line {
        ring: producer,
        shared: Arc::clone(&shared),
        rate,
        device,
    };
    let outflow = Outflow {
        ring: consumer,
        shared: Arc::clone(&shared),
        rate,
        last: [0.0; CHANNELS],
        presence: 0.0,
    };
    (line, outflow, shared)
}

impl Line {
    pub(super) const fn rate(&self) -> u32 {
        self.rate
    }

    pub(super) fn device(&self) -> &str {
        &self.device
    }

    pub(super) fn write(&mut self, samples: &[f32]) -> usize {
        // whole frames only, or left and right change places
        let fits = self.ring.slots().min(samples.len()) / CHANNELS * CHANNELS;
        let (taken, _) = self.ring.push_partial_slice(&samples[..fits]);
        let frames = taken.len() / CHANNELS;
        if frames > 0 {
            self.shared.fed.store(true, Ordering::Relaxed);
        }
        frames
    }

    pub(super) fn buffered(&self) -> Duration {
        duration(self.waiting(), self.rate)
    }

    /// `margin`: to be kept beyond what the device takes at once.
    pub(super) fn reserve(&self, margin: Duration) -> Duration {
        let period = self.shared.period.load(Ordering::Relaxed).max(PERIOD);
        let period = duration(usize::try_from(period).unwrap_or(0), self.rate);
        (period + margin).min(MOST)
    }

    pub(super) fn delay(&self, now: Instant) -> Duration {
        let now = micros(now.saturating_duration_since(self.shared.epoch));
        let heard = self.shared.heard.load(Ordering::Relaxed);
        let device = if heard == 0 {
            // not started: two periods is what was asked for
            duration(usize::try_from(PERIOD * 2).unwrap_or(0), self.rate)
        } else {
            Duration::from_micros(heard.saturating_sub(now)).min(Duration::from_secs(2))
        };
        device + self.buffered()
    }

    pub(super) fn rest(&self) {
        self.shared.fed.store(false, Ordering::Relaxed);
    }

    pub(super) fn underruns(&self) -> u64 {
        self.shared.underruns.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> usize {
        (self.ring.buffer().capacity() - self.ring.slots()) / CHANNELS
    }
}

impl Shared {
    /// Times that the device asked for sound.
    pub(super) fn callbacks(&self) -> u64 {
        self.callbacks.load(Ordering::Relaxed)
    }

    /// Times that the device's own buffer was too short for this machine.
    pub(super) fn late(&self) -> u32 {
        self.late.load(Ordering::Relaxed)
    }
}

impl Outflow {
    /// Fills `out`, frames of `channels` samples each, the first of which will be heard `ahead` after `now`.
    /// Runs on the device's thread.
    pub(super) fn fill<T: FromFloat>(
        &mut self,
        out: &mut [T],
        channels: usize,
        now: Instant,
        ahead: Duration,
    ) {
        let channels = channels.max(1);
        let frames = out.len() / channels;
        let ready = (self.ring.slots() / CHANNELS).min(frames);
        if ready < frames && self.shared.fed.swap(false, Ordering::Relaxed) {
            self.shared.underruns.fetch_add(1, Ordering::Relaxed);
        }
        let (sounding, silent) = out.split_at_mut(ready * channels);
        for frame in sounding.chunks_exact_mut(channels) {
            self.presence = (self.presence + FADE_IN).min(1.0);
            for value in &mut self.last {
                *value = self.ring.pop().unwrap_or(0.0) * self.presence;
            }
            put(frame, self.last);
        }
        for frame in silent.chunks_exact_mut(channels) {
            self.presence = 0.0;
            for value in &mut self.last {
                *value *= FADE_OUT;
            }
            put(frame, self.last);
        }
        let shared = &self.shared;
        let taken = u32::try_from(frames).unwrap_or(u32::MAX);
        shared.period.fetch_max(taken, Ordering::Relaxed);
        shared.callbacks.fetch_add(1, Ordering::Relaxed);
        let time = now.saturating_duration_since(shared.epoch);
        let expected = shared.heard.load(Ordering::Relaxed);
        if expected != 0 && micros(time) > expected {
            shared.late.fetch_add(1, Ordering::Relaxed);
        }
        let heard = time + ahead.min(Duration::from_secs(2)) + duration(frames, self.rate);
        shared.heard.store(micros(heard), Ordering::Relaxed);
    }
}

/// A sample type of a device.
pub(super) trait FromFloat: Copy {
    fn from_float(value: f32) -> Self;
}

impl<T: cpal::FromSample<f32> + Copy> FromFloat for T {
    fn from_float(value: f32) -> Self {
        T::from_sample_(value)
    }
}

fn put<T: FromFloat>(frame: &mut [T], [left, right]: [f32; CHANNELS]) {
    if let [only] = frame {
        *only = T::from_float(left.midpoint(right));
        return;
    }
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample = T::from_float(match n {
            0 => left,
            1 => right,
            _ => 0.0,
        });
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Frames that a device is expected to take at once until it has shown otherwise.
const PERIOD: u32 = 480;

/// The ring holds a tenth of a second.
const CAPACITY_DIVISOR: usize = 10;

/// The most that is kept, whatever the device takes at once: the ring must have room for a packet beside it.
const MOST: Duration = Duration::from_millis(60);

/// In within 2 ms, out to nothing within about 5: neither is a click.
const FADE_IN: f32 = 1.0 / 96.0;
const FADE_OUT: f32 = 0.98;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn samples_come_out_as_they_went_in_on_any_number_of_channels() {
        let start = Instant::now();
        let (mut line, mut outflow, _) = ring(48_000, String::new(), start);
        outflow.presence = 1.0;
        assert_eq!(line.write(&[0.5, -0.25, 0.5, -0.25, 0.5, -0.25, 9.0]), 3);
        let mut mono = [0.0_f32; 1];
        outflow.fill(&mut mono, 1, start, MS);
        assert_eq!(mono, [0.125]);
        let mut six = [9_i16; 6];
        outflow.fill(&mut six, 6, start, MS);
        assert_eq!(six, [16_384, -8_192, 0, 0, 0, 0]);
        let mut stereo = [0.0_f32; 2];
        outflow.fill(&mut stereo, 2, start, MS);
        assert_eq!(stereo, [0.5, -0.25]);
        assert_eq!(line.underruns(), 0);
    }

    #[test]
    fn an_underrun_fades_and_counts_once_and_rest_is_none() {
        let start = Instant::now();
        let (mut line, mut outflow, _) = ring(48_000, String::new(), start);
        line.write(&[1.0; 400]);
        let mut out = [0.0_f32; 960];
        outflow.fill(&mut out, 2, start, MS);
        outflow.fill(&mut out, 2, start, MS);
        assert_eq!(line.underruns(), 1);
        assert!(out[958].abs() < 1e-4);
        line.write(&[1.0; 400]);
        line.rest();
        outflow.fill(&mut out, 2, start, MS);
        assert_eq!(line.underruns(), 1);
        let steepest = out
            .chunks(2)
            .zip(out.chunks(2).skip(1))
            .map(|(a, b)| (a[0] - b[0]).abs())
            .fold(0.0_f32, f32::max);
        assert!(steepest < 0.03, "{steepest}");
    }

    #[test]
    fn the_delay_is_the_ring_and_what_the_device_holds() {
        let start = Instant::now();
        let (mut line, mut outflow, _) = ring(48_000, String::new(), start);
        assert_eq!(line.delay(start), MS * 20);
        line.write(&[0.0; 960 * 2]);
        let mut out = [0.0_f32; 960];
        // 480 frames taken, the first of them heard in 10 ms; 480 more are in the ring
        outflow.fill(&mut out, 2, start + MS, MS * 10);
        assert_eq!(line.delay(start + MS), MS * 30);
        assert_eq!(line.delay(start + MS * 6), MS * 25);
        assert_eq!(line.reserve(MS * 5), MS * 15);
    }

    #[test]
    fn a_callback_after_the_device_ran_dry_is_late() {
        let start = Instant::now();
        let (_line, mut outflow, shared) = ring(48_000, String::new(), start);
        let mut out = [0.0_f32; 960];
        for ms in [1, 11, 21] {
            outflow.fill(&mut out, 2, start + MS * ms, MS * 10);
        }
        assert_eq!(shared.late(), 0);
        outflow.fill(&mut out, 2, start + MS * 45, MS);
        assert_eq!(shared.late(), 1);
    }

    #[test]
    fn a_full_ring_takes_no_more() {
        let (mut line, _outflow, _) = ring(48_000, String::new(), Instant::now());
        assert_eq!(line.write(&[0.0; 20_000]), 4_800);
        assert_eq!(line.write(&[0.0; 20_000]), 0);
    }
}
