//! Sinks: window, speaker, and what is painted over the picture.

mod blit;
mod compose;
#[cfg_attr(not(feature = "window"), allow(dead_code, reason = "for the window"))]
mod controls;
mod error;
mod gain;
mod notice;
mod null;
#[cfg_attr(not(feature = "window"), allow(dead_code, reason = "for the window"))]
mod overlay;
mod panel;
mod region;
mod resample;
#[cfg_attr(not(feature = "window"), allow(dead_code, reason = "for the window"))]
mod screen;
#[cfg_attr(not(feature = "window"), allow(dead_code, reason = "for the window"))]
mod shared;
mod sink;
#[cfg(feature = "audio")]
mod speaker;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(feature = "window")]
pub mod window;
mod writer;

pub use controls::Command;
pub use error::PresentError;
pub use gain::Gain;
pub use notice::Notice;
pub use null::Null;
pub use resample::{Resample, ResampleError};
pub use screen::{Screen, screen};
pub use sink::{AudioSink, SinkNotice};
#[cfg(feature = "audio")]
pub use speaker::{Speaker, SpeakerError};
pub use writer::{Presented, ScreenWriter};
