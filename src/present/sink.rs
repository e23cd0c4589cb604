//! Where sound goes: a speaker, or something that takes it in the same time without a device.

use std::time::{Duration, Instant};

/// Takes interleaved stereo samples in real time. Owned and called by one thread; no call blocks.
pub trait AudioSink: Send {
    /// Frames a second. May change with the device, in [`AudioSink::poll`] only.
    fn rate(&self) -> u32;

    /// Takes as much of `samples` as there is room for; gives the number of frames (left and right) taken.
    fn write(&mut self, samples: &[f32], now: Instant) -> usize;

    /// How much waits in front of the device.
    fn buffered(&self, now: Instant) -> Duration;

    /// How much should wait at least, so that the device never finds nothing.
    fn reserve(&self) -> Duration;

    /// How long it takes until a frame that is written at `now` is heard, the device's own delay included.
    fn delay(&self, now: Instant) -> Duration;

    /// No more sound for a while: that nothing comes is no fault.
    fn rest(&mut self);

    /// How often the device found nothing though it should have.
    fn underruns(&self) -> u64;

    /// Looks after the device; gives what a person should know, once.
    fn poll(&mut self, now: Instant) -> Option<SinkNotice>;
}

/// What happened to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkNotice {
    /// There is none, or none that works: the sound goes nowhere until one comes.
    Missing {
        /// What the system said.
        why: String,
    },
    /// It went away; another try is made in a moment.
    Lost {
        /// What the system said.
        why: String,
    },
    /// Sound is played on this device now.
    Playing {
        /// As the system calls it.
        device: String,
    },
}

impl std::fmt::Display for SinkNotice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { why } => write!(f, "no sound device: playing without sound ({why})"),
            Self::Lost { why } => write!(f, "sound device lost, trying to get it back ({why})"),
            Self::Playing { device } => write!(f, "sound goes to {device}"),
        }
    }
}
