//! Sound made by the program: a beep each second, in step with the test card's flash, over a soft steady tone.
//!
//! 1 kHz at -12 dBFS for the first 100 ms of every second since the start, with 5 ms ramps; 440 Hz at -30 dBFS all the
//! time, so that a gap shows in a recording wherever it falls.

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use super::pump::Stop;
use super::{Outlet, SourceState};
use crate::media::{CHANNELS, SAMPLE_RATE, SoundBlock};

/// How long the beep and the flash last in each second.
pub(super) const BEEP: Duration = Duration::from_millis(100);

/// Both pitches are whole numbers, so a second repeats exactly.
const BEEP_HZ: f64 = 1000.0;
const BEEP_LEVEL: f64 = 0.251_19; // -12 dBFS
const STEADY_HZ: f64 = 440.0;
const STEADY_LEVEL: f64 = 0.031_623; // -30 dBFS
const RAMP: Duration = Duration::from_millis(5);

/// 20 ms.
const BLOCK: usize = SAMPLE_RATE as usize / BLOCKS_A_SECOND as usize;
const BLOCKS_A_SECOND: u32 = 50;

/// Being later than this (the machine slept) skips the blocks that were missed.
const TOO_LATE: Duration = Duration::from_millis(500);

/// Delivers the tone from `start` on in real time, each block the moment that its last sample would have been heard.
#[expect(clippy::disallowed_methods, reason = "a device thread")]
pub(super) fn run(start: Instant, outlet: &Outlet, stop: &Stop) {
    let second = second();
    let mut number = 0;
    outlet.state(SourceState::Live);
    loop {
        // From the start each time: what one sleep oversleeps, the next does not inherit.
        let due = start + block_time(number + 1);
        let now = Instant::now();
        if stop.wait(due.saturating_duration_since(now)) {
            return;
        }
        if now.saturating_duration_since(due) > TOO_LATE {
            number += u64::from(BLOCKS_A_SECOND) / 2;
            continue;
        }
        outlet.sound(SoundBlock {
            samples: block(&second, number),
            captured: start + block_time(number),
        });
        number += 1;
    }
}

/// When block `number` begins.
fn block_time(number: u64) -> Duration {
    Duration::from_secs(1) / BLOCKS_A_SECOND
        * u32::try_from(number % u64::from(BLOCKS_A_SECOND)).unwrap_or(0)
        + Duration::from_secs(number / u64::from(BLOCKS_A_SECOND))
}

fn block(second: &[f32], number: u64) -> Vec<f32> {
    let at = usize::try_from(number % u64::from(BLOCKS_A_SECOND)).unwrap_or(0) * BLOCK * CHANNELS;
    second[at..at + BLOCK * CHANNELS].to_vec()
}

/// The second that is played again and again, stereo.
fn second() -> Vec<f32> {
    let rate = f64::from(SAMPLE_RATE);
    (0..SAMPLE_RATE)
        .flat_map(|index| {
            let at = f64::from(index) / rate;
            let steady = STEADY_LEVEL * (TAU * STEADY_HZ * at).sin();
            let beep = BEEP_LEVEL * envelope(at) * (TAU * BEEP_HZ * at).sin();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "samples are single precision"
            )]
            let sample = (steady + beep) as f32;
            [sample; CHANNELS]
        })
        .collect()
}

fn envelope(at: f64) -> f64 {
    let (beep, ramp) = (BEEP.as_secs_f64(), RAMP.as_secs_f64());
    let edge = (at.min(beep - at) / ramp).clamp(0.0, 1.0);
    0.5 - 0.5 * (edge * TAU / 2.0).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Leave, Pump, channel};

    fn level(samples: &[f32], hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (index, pair) in samples.chunks_exact(2).enumerate() {
            let angle = TAU * hz * index as f64 / f64::from(SAMPLE_RATE);
            re += f64::from(pair[0]) * angle.cos();
            im += f64::from(pair[0]) * angle.sin();
        }
        2.0 * re.hypot(im) / (samples.len() / 2) as f64
    }

    #[test]
    fn the_first_tenth_of_a_second_beeps_and_the_rest_is_soft() {
        let second = second();
        assert_eq!(second.len(), 96_000);
        let (beep, rest) = second.split_at(9600);
        assert!((level(beep, 1000.0) - 0.239).abs() < 0.01);
        assert!(level(rest, 1000.0) < 0.001);
        assert!((level(rest, 440.0) - STEADY_LEVEL).abs() < 0.001);
        assert!(rest.iter().all(|sample| sample.abs() < 0.032));
        assert!(second.chunks_exact(2).all(|pair| pair[0] == pair[1]));
        let steps = second.windows(4).map(|w| (w[2] - w[0]).abs());
        assert!(steps.fold(0.0, f32::max) < 0.04, "no click");
    }

    #[test]
    fn blocks_follow_each_other_without_drift() {
        assert_eq!(block_time(0), Duration::ZERO);
        assert_eq!(
            block_time(50 * 3600 * 24 * 365),
            Duration::from_secs(3600 * 24 * 365)
        );
        let second = second();
        let joined: Vec<f32> = (100..150)
            .flat_map(|number| block(&second, number))
            .collect();
        assert_eq!(joined, second);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a real clock is what is tested")]
    fn it_comes_in_real_time_stamped_20_ms_apart() {
        let (outlet, inlet) = channel();
        let start = Instant::now();
        let _pump =
            Pump::start("tone", Leave::Join, move |stop| run(start, &outlet, stop)).unwrap();
        for number in 0..5_u32 {
            let block = inlet.sound.recv(Duration::from_secs(10)).unwrap();
            assert_eq!(block.captured, start + Duration::from_millis(20) * number);
            assert!(Instant::now() >= block.captured + Duration::from_millis(20));
        }
    }
}
