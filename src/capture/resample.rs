//! Sound of any rate to the program's own.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, ResamplerConstructionError, SincInterpolationParameters, WindowFunction,
};
use rubato::{Indexing, Resampler};

use crate::media::{CHANNELS, SAMPLE_RATE};

/// Turns interleaved stereo of one rate into interleaved stereo at [`SAMPLE_RATE`].
pub(super) struct Resample {
    /// `None` where there is nothing to do.
    inner: Option<Async<f32>>,
    waiting: Vec<f32>,
    /// Samples of silence that the filter puts in front, still to be cut off.
    trim: usize,
    out: Vec<f32>,
}

/// Short enough for little delay, long enough that music keeps its treble.
const FILTER: usize = 128;

impl Resample {
    /// `rate` is 8,000 to 192,000.
    pub(super) fn new(rate: u32) -> Result<Self, ResamplerConstructionError> {
        let inner = if rate == SAMPLE_RATE {
            None
        } else {
            let chunk = usize::try_from(rate / 100).unwrap_or(480);
            let filter = SincInterpolationParameters::new(FILTER, WindowFunction::BlackmanHarris2);
            let ratio = f64::from(SAMPLE_RATE) / f64::from(rate);
            Some(Async::new_sinc(
                ratio,
                1.0,
                &filter,
                chunk,
                CHANNELS,
                FixedAsync::Input,
            )?)
        };
        let trim = inner
            .as_ref()
            .map_or(0, |inner| inner.output_delay() * CHANNELS);
        let most = inner
            .as_ref()
            .map_or(0, |inner| inner.output_frames_max() * CHANNELS);
        Ok(Self {
            inner,
            waiting: Vec::new(),
            trim,
            out: vec![0.0; most],
        })
    }

    /// Takes samples and appends what they become to `out`; some wait for the next call.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        let Some(inner) = &mut self.inner else {
            out.extend_from_slice(samples);
            return;
        };
        self.waiting.extend_from_slice(samples);
        let mut from = 0;
        loop {
            let need = inner.input_frames_next();
            let Some(chunk) = self.waiting.get(from..from + need * CHANNELS) else {
                break;
            };
            let room = self.out.len() / CHANNELS;
            let (Ok(input), Ok(mut output)) = (
                InterleavedSlice::new(chunk, CHANNELS, need),
                InterleavedSlice::new_mut(&mut self.out, CHANNELS, room),
            ) else {
                break;
            };
            match inner.process_into_buffer(&input, &mut output, Some(&Indexing::new())) {
                Ok((_, made)) => {
                    let made = &self.out[..made * CHANNELS];
                    let cut = self.trim.min(made.len());
                    self.trim -= cut;
                    out.extend_from_slice(&made[cut..]);
                }
                Err(error) => tracing::debug!(%error, "sound is lost in resampling"),
            }
            from += need * CHANNELS;
        }
        self.waiting.drain(..from);
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    #[expect(
        clippy::cast_possible_truncation,
        reason = "samples are single precision"
    )]
    fn sine(rate: u32, hz: f64) -> Vec<f32> {
        (0..rate)
            .flat_map(|at| [(TAU * hz * f64::from(at) / f64::from(rate)).sin() as f32 * 0.5; 2])
            .collect()
    }

    /// How loud 1 kHz is in half a second, and how loud everything else.
    fn level(samples: &[f32]) -> (f64, f64) {
        let left: Vec<f64> = samples.iter().step_by(2).map(|s| f64::from(*s)).collect();
        let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
        for (at, sample) in left.iter().enumerate() {
            let angle = TAU * 1000.0 * at as f64 / f64::from(SAMPLE_RATE);
            re += sample * angle.cos();
            im += sample * angle.sin();
            power += sample * sample;
        }
        let count = left.len() as f64;
        let tone = 2.0 * re.hypot(im) / count;
        (tone, (power / count - tone * tone / 2.0).max(0.0).sqrt())
    }

    #[test]
    fn a_sine_stays_a_sine_at_every_rate() {
        for rate in [8000, 11_025, 44_100, 44_101, 48_000, 96_000, 192_000] {
            let mut resample = Resample::new(rate).unwrap();
            let mut out = Vec::new();
            for part in sine(rate, 1000.0).chunks(2 * 777) {
                resample.push(part, &mut out);
            }
            // At most two hundredths of a second wait in the filter.
            assert!(
                (96_000 - 4 * 960..=96_004).contains(&out.len()),
                "{rate}: {}",
                out.len()
            );
            let (tone, rest) = level(&out[24_000..72_000]);
            assert!(
                (tone - 0.5).abs() < 0.005 && rest < 0.0005,
                "{rate}: {tone} {rest}"
            );
        }
    }
}
