//! What the speaker played, recorded behind it.

use std::f64::consts::TAU;
use std::io::Read as _;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

use super::{Pulse, clock_micros};

/// Samples a second.
pub(crate) const RATE: usize = 48_000;

/// A recording of the speaker that runs.
pub(crate) struct Recorder {
    child: Child,
    tape: Option<JoinHandle<Tape>>,
}

impl Recorder {
    pub(crate) fn start(pulse: &Pulse) -> Self {
        let mut child = pulse
            .command("parec")
            .args(["-d", "vspk.monitor", "--raw", "--format=float32le"])
            .args(["--channels=1", "--rate=48000", "--latency-msec=10"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let record = move || {
            let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
            let mut start = u64::MAX;
            while let Ok(length @ 1..) = output.read(&mut part) {
                // A block is there the moment it begins to be heard, or later if this thread was late.
                start = start.min(clock_micros() - micros(bytes.len() / 4));
                bytes.extend_from_slice(&part[..length]);
            }
            let sample = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
            Tape {
                samples: bytes.chunks_exact(4).map(sample).collect(),
                start,
            }
        };
        let tape = std::thread::Builder::new().name("tape".to_owned());
        Self {
            child,
            tape: Some(tape.spawn(record).unwrap()),
        }
    }

    pub(crate) fn stop(mut self) -> Tape {
        self.end();
        self.tape.take().unwrap().join().unwrap()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

/// A recording.
pub(crate) struct Tape {
    pub(crate) samples: Vec<f32>,
    /// When the first sample was heard, on [`clock_micros`]; good to a block of 10 ms.
    pub(crate) start: u64,
}

impl Tape {
    pub(crate) fn seconds(&self) -> f64 {
        self.samples.len() as f64 / RATE as f64
    }

    /// Where the spectrum is highest between 400 and 480 Hz, to half a hertz.
    pub(crate) fn peak(&self) -> f64 {
        const THIN: usize = 8;
        let thin: Vec<f64> = self
            .samples
            .chunks_exact(THIN)
            .map(|part| part.iter().map(|sample| f64::from(*sample)).sum())
            .collect();
        let strength = |hertz: f64| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, sample) in thin.iter().enumerate() {
                let phase = n as f64 * hertz * (THIN as f64 / RATE as f64) * TAU;
                let window = 1.0 - (n as f64 / thin.len() as f64 * TAU).cos();
                re += sample * window * phase.cos();
                im += sample * window * phase.sin();
            }
            re.hypot(im)
        };
        (800..960)
            .map(|halves| f64::from(halves) / 2.0)
            .max_by(|a, b| strength(*a).total_cmp(&strength(*b)))
            .unwrap()
    }

    /// The start, in seconds, of the first 10 ms in which nothing is louder than `level`.
    pub(crate) fn gap(&self, level: f32) -> Option<f64> {
        let silent = |part: &[f32]| part.iter().all(|sample| sample.abs() <= level);
        let first = self.samples.chunks_exact(RATE / 100).position(silent)?;
        Some(first as f64 / 100.0)
    }

    /// When a beep of 1 kHz, louder than a quarter of what the test tone's is, begins: in seconds from the start.
    pub(crate) fn beeps(&self) -> Vec<f64> {
        const WINDOW: usize = RATE / 200;
        const HOP: usize = RATE / 1000;
        let strength = |part: &[f32]| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, sample) in part.iter().enumerate() {
                let phase = n as f64 * 1000.0 / RATE as f64 * TAU;
                re += f64::from(*sample) * phase.cos();
                im += f64::from(*sample) * phase.sin();
            }
            2.0 * re.hypot(im) / part.len() as f64
        };
        let loud: Vec<bool> = (0..self.samples.len().saturating_sub(WINDOW))
            .step_by(HOP)
            .map(|at| strength(&self.samples[at..at + WINDOW]) > 0.1)
            .collect();
        let begins = loud
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| pair == &[false, true]);
        begins
            .map(|(n, _)| ((n + 1) * HOP + WINDOW / 2) as f64 / RATE as f64)
            .collect()
    }

    /// The clock at so many seconds from the start.
    pub(crate) fn clock(&self, seconds: f64) -> f64 {
        self.start as f64 / 1e6 + seconds
    }
}

fn micros(samples: usize) -> u64 {
    u64::try_from(samples * 1_000_000 / RATE).unwrap()
}
