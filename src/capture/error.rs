//! Why a source cannot be opened.

use std::io;

use super::file::FileError;
use super::pipe::PipeError;
use super::wave::WaveError;

/// A source that cannot be opened; the words are for a person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// Built without what it takes.
    #[error("this build has no {0} support (feature `{feature}`)", feature = .0.feature())]
    Unbuilt(Hardware),
    /// A file that cannot be played.
    #[error(transparent)]
    File(#[from] FileError),
    /// Standard input that holds no pictures.
    #[error(transparent)]
    Pipe(#[from] PipeError),
    /// A WAV that cannot be read.
    #[error(transparent)]
    Wave(#[from] WaveError),
    /// Neither picture nor sound was asked for.
    #[error("neither picture nor sound: give --video or --audio something other than none")]
    Nothing,
    /// No picture from that camera.
    #[cfg(feature = "camera")]
    #[error(transparent)]
    Camera(#[from] super::camera::CameraError),
    /// No sound from that microphone.
    #[cfg(feature = "audio")]
    #[error(transparent)]
    Microphone(#[from] super::microphone::MicrophoneError),
    /// The system has no thread to spare.
    #[error("cannot start a thread for the source: {0}")]
    Thread(#[source] io::Error),
}

/// Hardware that a build may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardware {
    /// Cameras.
    Camera,
    /// Microphones and speakers.
    Microphone,
}

impl Hardware {
    /// The Cargo feature that brings it.
    pub const fn feature(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Microphone => "audio",
        }
    }
}

impl std::fmt::Display for Hardware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
        })
    }
}
