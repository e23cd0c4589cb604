//! The thread that codes a stream's sound.

use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::{ingest::PATIENCE, pictures::media_time};
use crate::{
    capture::{Empty, SoundInlet},
    codec::AudioEncoder,
    hub::Filler,
    media::{AudioCodec, CHANNELS, SAMPLE_RATE, SoundBlock},
};

/// Codes what comes until the source is closed.
pub(super) fn code(epoch: Instant, filler: &Filler, inlet: &SoundInlet) {
    let mut encoder = match AudioEncoder::new(AudioCodec::Opus, BITRATE_BPS) {
        Ok(encoder) => encoder,
        Err(err) => {
            warn!(stream = filler.stream().name(), %err, "sound cannot be coded: the stream goes on without it");
            return;
        }
    };
    let mut cut = Cut::default();
    loop {
        let block = match inlet.recv(PATIENCE) {
            Ok(block) => block,
            Err(Empty::TimedOut | Empty::Woken) => continue,
            Err(Empty::Closed) => break,
        };
        cut.push(&block);
        while let Some((at, samples)) = cut.packet() {
            let seq = filler.next_sound();
            match encoder.encode(samples, seq, media_time(epoch, at)) {
                Ok(packet) => filler.push_sound(packet),
                Err(err) => {
                    warn!(stream = filler.stream().name(), %err, "a packet of sound was left out")
                }
            }
        }
    }
    debug!(
        stream = filler.stream().name(),
        dropped = inlet.dropped(),
        "sound coder ends"
    );
}

/// Cuts blocks of any length into packets of 20 ms, each with the time of its first sample.
#[derive(Debug, Default)]
struct Cut {
    samples: Vec<f32>,
    /// Samples at the front that were given out.
    taken: usize,
    /// When the first sample behind `taken` was captured.
    at: Option<Instant>,
}

impl Cut {
    fn push(&mut self, block: &SoundBlock) {
        self.samples.drain(..self.taken);
        self.taken = 0;
        let expected = self.at.map(|at| at + play_time(self.samples.len()));
        // The source's stamps jitter by less than this; more is a hole, and what came before it is dropped with it,
        // since a packet has but one time. Within it the newest stamp corrects the clock by an eighth of the error.
        match expected {
            Some(expected) if apart(expected, block.captured) < JUMP => {
                let error = apart(expected, block.captured) / 8;
                self.at = self.at.map(|at| {
                    if block.captured > expected {
                        at + error
                    } else {
                        at - error
                    }
                });
            }
            _ => {
                self.samples.clear();
                self.at = Some(block.captured);
            }
        }
        self.samples.extend_from_slice(&block.samples);
    }

    fn packet(&mut self) -> Option<(Instant, &[f32])> {
        let at = self.at?;
        let packet = self.samples.get(self.taken..self.taken + PACKET)?;
        self.taken += PACKET;
        self.at = Some(at + play_time(PACKET));
        Some((at, packet))
    }
}

fn apart(a: Instant, b: Instant) -> Duration {
    a.saturating_duration_since(b)
        .max(b.saturating_duration_since(a))
}

/// How long interleaved samples play.
fn play_time(samples: usize) -> Duration {
    let frames = u64::try_from(samples / CHANNELS).unwrap_or(u64::MAX);
    Duration::from_nanos(frames.saturating_mul(1_000_000_000) / u64::from(SAMPLE_RATE))
}

/// Samples of both channels in 20 ms.
const PACKET: usize = SAMPLE_RATE as usize / 50 * CHANNELS;
const JUMP: Duration = Duration::from_millis(100);
const BITRATE_BPS: u32 = 128_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Instant {
        Instant::now()
    }

    fn block(start: Instant, offset: Duration, frames: usize) -> SoundBlock {
        SoundBlock {
            samples: vec![0.0; frames * CHANNELS],
            captured: start + offset,
        }
    }

    #[test]
    fn blocks_of_ten_milliseconds_become_packets_of_twenty_with_the_time_of_their_first_sample() {
        let start = now();
        let mut cut = Cut::default();
        let mut times = Vec::new();
        for n in 0..6 {
            cut.push(&block(start, Duration::from_millis(n * 10), 480));
            while let Some((at, samples)) = cut.packet() {
                assert_eq!(samples.len(), PACKET);
                times.push(at - start);
            }
        }
        assert_eq!(times, [0, 20, 40].map(Duration::from_millis));
    }

    #[test]
    fn one_long_block_gives_all_its_packets_and_keeps_the_rest() {
        let start = now();
        let mut cut = Cut::default();
        cut.push(&block(start, Duration::ZERO, 960 * 3 + 100));
        let mut packets = 0;
        while cut.packet().is_some() {
            packets += 1;
        }
        assert_eq!(packets, 3);
        assert_eq!(cut.samples.len() - cut.taken, 200);
    }

    #[test]
    fn after_a_hole_the_clock_starts_anew() {
        let start = now();
        let mut cut = Cut::default();
        cut.push(&block(start, Duration::ZERO, 500));
        cut.push(&block(start, Duration::from_secs(5), 960));
        assert_eq!(cut.packet().unwrap().0 - start, Duration::from_secs(5));
    }

    #[test]
    fn jitter_of_the_stamps_is_smoothed() {
        let start = now();
        let mut cut = Cut::default();
        cut.push(&block(start, Duration::ZERO, 960));
        cut.packet();
        cut.push(&block(start, Duration::from_millis(28), 960));
        assert_eq!(cut.packet().unwrap().0 - start, Duration::from_millis(21));
    }
}
