//! The thread that plays: takes sound out of the buffer when the sink has room, decodes it, brings it to the sink's
//! rate.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{News, PlaybackError, lock, now, shared::Shared};
use crate::{
    codec::AudioDecoder,
    jitter::Pull,
    media::{AudioCodec, AudioPacket, CHANNELS, MediaTime, SAMPLE_RATE},
    present::{AudioSink, Gain, Resample, SinkNotice},
};

/// Owns the sound on its way to the sink.
pub(super) struct Player {
    shared: Arc<Shared>,
    sink: Box<dyn AudioSink>,
    rate: u32,
    resample: Resample,
    decoder: Option<(AudioCodec, AudioDecoder)>,
    /// One packet, decoded.
    decoded: Vec<f32>,
    /// At the sink's rate, not yet taken by it.
    ready: Vec<f32>,
    volume: Gain,
    /// Brings in sound after silence, and takes made-up sound out.
    fade: Gain,
    made_up: u32,
    silent: Duration,
    resting: Option<Instant>,
    /// When the sink has nothing left of what it was given.
    dry: Option<Instant>,
}

/// What to do until the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The sink has enough for so long.
    Sleep(Duration),
    /// There is no sound: wait for some, at most for so long.
    Rest(Duration),
}

impl Player {
    pub(super) fn new(
        shared: Arc<Shared>,
        sink: Box<dyn AudioSink>,
    ) -> Result<Self, PlaybackError> {
        let rate = sink.rate();
        Ok(Self {
            shared,
            sink,
            rate,
            resample: Resample::new(rate)?,
            decoder: None,
            decoded: Vec::with_capacity(8 * PACKET * CHANNELS),
            ready: Vec::with_capacity(16 * PACKET * CHANNELS),
            volume: Gain::new(1.0),
            fade: Gain::new(0.0),
            made_up: 0,
            silent: Duration::ZERO,
            resting: Some(now()),
            dry: None,
        })
    }

    pub(super) fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        while !shared.is_stopped() {
            match self.step(now()) {
                Next::Sleep(time) => std::thread::sleep(time),
                Next::Rest(longest) => {
                    let sounds = lock(&shared.sounds);
                    if sounds.held().is_zero() && !shared.is_stopped() {
                        // woken too early or with a poisoned lock, the loop looks again
                        drop(shared.sounds_wake.wait_timeout(sounds, longest));
                    } else {
                        drop(sounds);
                        std::thread::sleep(STEP);
                    }
                }
            }
        }
    }

    /// Gives the sink what it has room for.
    pub(super) fn step(&mut self, now: Instant) -> Next {
        self.look_after_sink(now);
        for _ in 0..MOST_PULLS {
            self.flush(now);
            if !self.ready.is_empty() {
                break;
            }
            if self.sink.buffered(now) >= self.sink.reserve() {
                break;
            }
            self.pull(now);
            if self.resting.is_some() {
                return Next::Rest(LOOK);
            }
        }
        let spare = self.sink.buffered(now).saturating_sub(self.sink.reserve());
        Next::Sleep(spare.clamp(STEP, LONGEST))
    }

    fn look_after_sink(&mut self, now: Instant) {
        while let Some(notice) = self.sink.poll(now) {
            self.shared.tell(News::Sound(notice));
        }
        let rate = self.sink.rate();
        if rate == self.rate {
            return;
        }
        self.rate = rate;
        match Resample::new(rate) {
            Ok(resample) => {
                self.resample = resample;
                self.ready.clear();
            }
            Err(error) => self.shared.tell(News::Sound(SinkNotice::Missing {
                why: error.to_string(),
            })),
        }
    }

    /// Takes one packet's time of sound out of the buffer and towards the sink.
    fn pull(&mut self, now: Instant) {
        let (pulled, speed, measure, coming) = {
            let mut sounds = lock(&self.shared.sounds);
            let pulled = sounds.pull(now);
            let coming = !sounds.held().is_zero();
            let generation = lock(&self.shared.sound_clock).generation();
            let measure = sounds.position().map(|position| (generation, position));
            (pulled, sounds.rate(), measure, coming)
        };
        if coming || matches!(pulled, Pull::Packet(_)) {
            // while the buffer fills the sink is filled with silence, so that its reserve is there from the start
            self.wake(now);
        }
        self.decoded.clear();
        match pulled {
            Pull::Packet(packet) => self.packet(&packet),
            Pull::Conceal => self.conceal(),
            Pull::Silence => {
                if self.resting.is_some() {
                    return;
                }
                self.silence(now);
            }
        }
        self.fade.apply(&mut self.decoded);
        self.volume.set(self.loudness());
        self.volume.apply(&mut self.decoded);
        self.resample.set_speed(speed);
        self.resample.process(&self.decoded, &mut self.ready);
        self.flush(now);
        self.report(measure, now);
    }

    fn wake(&mut self, now: Instant) {
        if let Some(since) = self.resting.take() {
            lock(&self.shared.tally).silent(now.saturating_duration_since(since));
        }
    }

    fn packet(&mut self, packet: &AudioPacket) {
        if self.decoder.as_ref().map(|(codec, _)| *codec) != Some(packet.codec) {
            self.decoder = AudioDecoder::new(packet.codec)
                .ok()
                .map(|decoder| (packet.codec, decoder));
        }
        let Some((_, decoder)) = &mut self.decoder else {
            self.conceal();
            return;
        };
        if decoder.decode(&packet.bytes, &mut self.decoded).is_err() {
            self.decoded.clear();
            self.conceal();
            return;
        }
        self.decoded.truncate(LONGEST_PACKET * CHANNELS);
        self.made_up = 0;
        self.silent = Duration::ZERO;
        self.fade.set(1.0);
        lock(&self.shared.tally).sounded();
    }

    fn conceal(&mut self) {
        if let Some((_, decoder)) = &mut self.decoder {
            decoder.conceal(&mut self.decoded);
        }
        if self.decoded.is_empty() {
            // it takes its time all the same
            self.decoded.resize(PACKET * CHANNELS, 0.0);
        }
        self.made_up += 1;
        if self.made_up > 1 {
            self.fade.set(0.0);
        }
        lock(&self.shared.tally).silent(length(self.decoded.len()));
    }

    fn silence(&mut self, now: Instant) {
        self.decoded.resize(SILENCE * CHANNELS, 0.0);
        self.fade.jump(0.0);
        let time = length(self.decoded.len());
        lock(&self.shared.tally).silent(time);
        self.silent += time;
        if self.silent >= REST {
            self.silent = Duration::ZERO;
            self.resting = Some(now);
            self.dry = None;
            self.sink.rest();
            lock(&self.shared.sound_clock).stop();
        }
    }

    fn flush(&mut self, now: Instant) {
        if self.ready.is_empty() {
            return;
        }
        if let Some(dry) = self.dry
            && now > dry
        {
            lock(&self.shared.tally).silent(now - dry);
        }
        let taken = self.sink.write(&self.ready, now);
        self.ready.drain(..(taken * CHANNELS).min(self.ready.len()));
        self.dry = Some(now + self.sink.buffered(now));
    }

    /// Tells the pictures what is heard now: `measure` is the end of what was handed out, and its generation.
    fn report(&self, measure: Option<(u64, MediaTime)>, now: Instant) {
        let ours = length(self.resample.held() * CHANNELS)
            + Duration::from_secs_f64(
                f64::from(u32::try_from(self.ready.len() / CHANNELS).unwrap_or(0))
                    / f64::from(self.rate.max(1)),
            );
        let delay = ours + self.sink.delay(now);
        let us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        // what was handed out just now began to be heard after all before it
        let before = us.saturating_sub(
            u64::try_from(length(self.decoded.len()).as_micros()).unwrap_or(u64::MAX),
        );
        self.shared.sound_delay.store(before, Ordering::Relaxed);
        if let Some((generation, position)) = measure {
            let heard = position.offset(-i64::try_from(us).unwrap_or(i64::MAX));
            lock(&self.shared.sound_clock).set(generation, heard, now);
        }
    }

    /// The factor for the volume that is wanted: loudness is heard as the cube of it, roughly.
    fn loudness(&self) -> f32 {
        if self.shared.muted.load(Ordering::Relaxed) {
            return 0.0;
        }
        let volume = f32::from(self.shared.volume.load(Ordering::Relaxed)) / 100.0;
        volume.powi(3)
    }
}

/// How long so many interleaved samples play at our rate.
fn length(samples: usize) -> Duration {
    let frames = u64::try_from(samples / CHANNELS).unwrap_or(u64::MAX);
    Duration::from_nanos(frames.saturating_mul(1_000_000_000) / u64::from(SAMPLE_RATE))
}

/// Frames in a packet of 20 ms, and the most that one may decode to (120 ms).
const PACKET: usize = 960;
const LONGEST_PACKET: usize = 6 * PACKET;

/// Frames of silence given out at a time while the buffer fills: 5 ms, so that sound begins when it is due.
const SILENCE: usize = 240;

/// After so much silence the sink is left alone.
const REST: Duration = Duration::from_secs(2);

/// How often a resting sink is looked after.
const LOOK: Duration = Duration::from_millis(500);

/// Sleep at least this, at most that.
const STEP: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(20);

/// In one step: more than any reserve is long.
const MOST_PULLS: u32 = 32;
