//! From our 48 kHz to the device's rate, a little faster or slower to follow its clock. No allocation once running.

use rubato::{
    Adjustable as _, Async, FixedAsync, Resampler as _, SincInterpolationParameters,
    WindowFunction, audioadapter_buffers::direct::InterleavedSlice,
};

use crate::media::{CHANNELS, SAMPLE_RATE};

/// Changes the rate of interleaved stereo.
pub struct Resample {
    inner: Async<f32>,
    base: f64,
    speed: f64,
    /// Input that does not fill a chunk yet.
    pending: Vec<f32>,
    output: Vec<f32>,
}

impl Resample {
    /// From 48 kHz to `rate` frames a second, 4,000 to 768,000.
    pub fn new(rate: u32) -> Result<Self, ResampleError> {
        if !(4_000..=768_000).contains(&rate) {
            return Err(ResampleError::Rate(rate));
        }
        let base = f64::from(rate) / f64::from(SAMPLE_RATE);
        let parameters = SincInterpolationParameters::new(SINC, WindowFunction::BlackmanHarris2);
        let inner = Async::new_sinc(
            base,
            1.0 + 2.0 * MAX_OFF,
            &parameters,
            CHUNK,
            CHANNELS,
            FixedAsync::Input,
        )
        .map_err(ResampleError::Refused)?;
        let output = vec![0.0; inner.output_frames_max() * CHANNELS];
        Ok(Self {
            inner,
            base,
            speed: 1.0,
            pending: Vec::with_capacity(16 * CHUNK * CHANNELS),
            output,
        })
    }

    /// How fast to play from now on: 1.0 as recorded, up to 5 % more or less.
    pub fn set_speed(&mut self, speed: f64) {
        let speed = speed.clamp(1.0 - MAX_OFF, 1.0 + MAX_OFF);
        if (speed - self.speed).abs() < 1e-7 {
            return;
        }
        // cannot be out of bounds: those were made for it
        if self
            .inner
            .set_resample_ratio(self.base / speed, true)
            .is_ok()
        {
            self.speed = speed;
        }
    }

    /// Takes `samples` and appends to `out` what is finished.
    pub fn process(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.pending.extend_from_slice(samples);
        let mut done = 0;
        while self.pending.len() - done >= CHUNK * CHANNELS {
            let chunk = &self.pending[done..done + CHUNK * CHANNELS];
            done += CHUNK * CHANNELS;
            let frames = self.output.len() / CHANNELS;
            let (Ok(input), Ok(mut output)) = (
                InterleavedSlice::new(chunk, CHANNELS, CHUNK),
                InterleavedSlice::new_mut(&mut self.output, CHANNELS, frames),
            ) else {
                continue;
            };
            if let Ok((_, written)) = self.inner.process_into_buffer(&input, &mut output, None) {
                out.extend_from_slice(&self.output[..written * CHANNELS]);
            }
        }
        self.pending.drain(..done);
    }

    /// Frames of input (at 48 kHz) that went in and did not come out yet, the filter's delay included.
    pub fn held(&self) -> usize {
        self.pending.len() / CHANNELS + SINC / 2
    }
}

impl std::fmt::Debug for Resample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resample")
            .field("base", &self.base)
            .field("speed", &self.speed)
            .finish_non_exhaustive()
    }
}

/// Why there is no resampler.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResampleError {
    /// No sound card has this rate.
    #[error("a sound device with {0} samples a second is not supported")]
    Rate(u32),
    /// The library would not.
    #[error("cannot convert the sound's rate: {0}")]
    Refused(rubato::ResamplerConstructionError),
}

/// Frames that are converted at a time: 5 ms.
const CHUNK: usize = 240;

/// Taps of the filter: flat to 19 kHz, and 0.7 ms of delay.
const SINC: usize = 64;

/// Off the nominal rate at most.
const MAX_OFF: f64 = 0.05;

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn tone(frames: usize) -> Vec<f32> {
        (0..frames)
            .flat_map(|n| {
                let phase = f32::from(u16::try_from(n * 440 % 48_000).expect("below 48,000"));
                [(phase / 48_000.0 * TAU).sin() * 0.5; CHANNELS]
            })
            .collect()
    }

    /// Times that the left channel goes up through zero.
    fn cycles(samples: &[f32]) -> usize {
        let left: Vec<f32> = samples.iter().copied().step_by(CHANNELS).collect();
        left.windows(2)
            .filter(|w| w[0] < 0.0 && w[1] >= 0.0)
            .count()
    }

    #[test]
    fn a_tone_keeps_its_pitch_at_every_device_rate() {
        for rate in [44_100, 48_000, 96_000] {
            let mut resample = Resample::new(rate).expect("a usual rate");
            let mut out = Vec::new();
            for block in tone(96_000).chunks(960 * CHANNELS) {
                resample.process(block, &mut out);
            }
            let frames = out.len() / CHANNELS;
            let expected = rate as usize * 2;
            assert!(frames.abs_diff(expected) < 400, "{rate}: {frames}");
            // the filter's first swing crosses zero too
            let settled = cycles(&out[rate as usize / 100 * CHANNELS..]);
            assert!(settled.abs_diff(876) <= 2, "{rate}: {settled}");
            let loudest = out.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
            assert!((0.48..0.52).contains(&loudest), "{rate}: {loudest}");
        }
    }

    #[test]
    fn speed_changes_the_length_and_not_the_continuity() {
        let mut resample = Resample::new(48_000).expect("a usual rate");
        let mut out = Vec::new();
        for (n, block) in tone(192_000).chunks(960 * CHANNELS).enumerate() {
            resample.set_speed(if n % 2 == 0 { 1.02 } else { 1.0 });
            resample.process(block, &mut out);
        }
        let frames = out.len() / CHANNELS;
        assert!((188_000..191_000).contains(&frames), "{frames}");
        // the steepest step of a 440 Hz tone at half volume is 0.0288
        let steepest = out
            .chunks(CHANNELS)
            .zip(out.chunks(CHANNELS).skip(1))
            .skip(200)
            .map(|(a, b)| (a[0] - b[0]).abs())
            .fold(0.0_f32, f32::max);
        assert!(steepest < 0.031, "{steepest}");
    }

    #[test]
    fn nothing_is_allocated_once_it_runs() {
        let mut resample = Resample::new(44_100).expect("a usual rate");
        let mut out = Vec::with_capacity(4_000);
        let block = tone(960);
        let before = resample.pending.capacity();
        for _ in 0..100 {
            out.clear();
            resample.process(&block, &mut out);
        }
        assert_eq!(
            (resample.pending.capacity(), out.capacity()),
            (before, 4_000)
        );
    }

    #[test]
    fn absurd_rates_are_refused() {
        assert!(Resample::new(0).is_err());
        assert!(Resample::new(u32::MAX).is_err());
    }
}
