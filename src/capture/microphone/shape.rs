//! Any number of channels at any rate becomes stereo at 48 kHz.

use std::time::{Duration, Instant};

use rubato::ResamplerConstructionError;

use crate::capture::resample::Resample;
use crate::media::{CHANNELS, SAMPLE_RATE, SoundBlock};

/// Shapes the sound of one device.
pub(super) struct Shape {
    channels: usize,
    rate: u32,
    resample: Resample,
    stereo: Vec<f32>,
    /// Frames that came, at the device's rate, and that went, at 48 kHz.
    came: u64,
    went: u64,
}

impl Shape {
    /// `rate` is 8,000 to 192,000.
    pub(super) fn new(channels: usize, rate: u32) -> Result<Self, ResamplerConstructionError> {
        Ok(Self {
            channels,
            rate,
            resample: Resample::new(rate)?,
            stereo: Vec::new(),
            came: 0,
            went: 0,
        })
    }

    /// Takes whole frames of the device, the first of them heard at `heard`; gives what is ready.
    pub(super) fn push(
        &mut self,
        mut samples: impl Iterator<Item = f32>,
        heard: Instant,
    ) -> Option<SoundBlock> {
        self.stereo.clear();
        while let Some(left) = samples.next() {
            let right = if self.channels == 1 {
                left
            } else {
                samples.next().unwrap_or(left)
            };
            for _ in CHANNELS..self.channels {
                samples.next();
            }
            self.stereo.extend([left, right]);
        }
        let mut out = Vec::with_capacity(self.stereo.len() + self.stereo.len() / 4);
        self.resample.push(&self.stereo, &mut out);
        // what waits in the resampler was heard before this
        let waited = at(self.came, self.rate).saturating_sub(at(self.went, SAMPLE_RATE));
        self.came += (self.stereo.len() / CHANNELS) as u64;
        self.went += (out.len() / CHANNELS) as u64;
        (!out.is_empty()).then(|| SoundBlock {
            samples: out,
            captured: heard.checked_sub(waited).unwrap_or(heard),
        })
    }
}

/// How long so many frames last.
fn at(frames: u64, rate: u32) -> Duration {
    let rate = u64::from(rate);
    Duration::from_secs(frames / rate) + Duration::from_micros(frames % rate * 1_000_000 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::watch::now;

    #[test]
    fn mono_goes_to_both_sides_and_more_than_two_channels_are_left_out() {
        let shape = |channels, samples: &[f32]| {
            let mut shape = Shape::new(channels, SAMPLE_RATE).unwrap();
            let block = shape.push(samples.iter().copied(), now()).unwrap();
            block.samples
        };
        assert_eq!(shape(1, &[0.1, 0.2]), [0.1, 0.1, 0.2, 0.2]);
        assert_eq!(shape(2, &[0.1, 0.2]), [0.1, 0.2]);
        assert_eq!(
            shape(4, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
            [0.1, 0.2, 0.5, 0.6]
        );
    }

    #[test]
    fn another_rate_becomes_48_khz_and_keeps_its_time() {
        let mut shape = Shape::new(1, 44_100).unwrap();
        let start = now();
        let mut out = Vec::new();
        let mut first = None;
        for block in 0..100u16 {
            let samples = (0..441u16).map(|i| {
                let t = f32::from(block) * 441.0 + f32::from(i);
                (t / 44_100.0 * 440.0 * std::f32::consts::TAU).sin() * 0.5
            });
            let heard = start + Duration::from_millis(10) * u32::from(block);
            if let Some(block) = shape.push(samples, heard) {
                first.get_or_insert(block.captured);
                let at = block.captured.duration_since(first.unwrap());
                let expected = Duration::from_micros(out.len() as u64 / 2 * 1_000_000 / 48_000);
                assert!(at.abs_diff(expected) < Duration::from_millis(1));
                out.extend(block.samples);
            }
        }
        assert!(out.len() / 2 > 46_000, "{}", out.len());
        let loud = out[9600..].iter().fold(0.0f32, |m, s| m.max(s.abs()));
        assert!((loud - 0.5).abs() < 0.02, "{loud}");
        let crossings = out[9600..]
            .chunks(2)
            .zip(out[9602..].chunks(2))
            .filter(|(a, b)| a[0] < 0.0 && b[0] >= 0.0)
            .count();
        let seconds = (out.len() - 9600) as f32 / 96_000.0;
        let hertz = crossings as f32 / seconds;
        assert!((hertz - 440.0).abs() < 3.0, "{hertz}");
    }
}
