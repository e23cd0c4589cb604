//! Sound as it comes from a source and goes to a speaker.

use std::time::Instant;

/// Samples a second in each channel, everywhere inside the program.
pub const SAMPLE_RATE: u32 = 48_000;

/// Channels, everywhere inside the program: left, right, interleaved. Mono sources give both the same.
pub const CHANNELS: usize = 2;

/// Some sound: any number of interleaved stereo samples at [`SAMPLE_RATE`], each -1.0 to 1.0.
#[derive(Clone, Debug)]
pub struct SoundBlock {
    /// Left, right, left, right ...
    pub samples: Vec<f32>,
    /// When the first sample was captured, on the machine's monotonic clock.
    pub captured: Instant,
}
