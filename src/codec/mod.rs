//! Pictures and sound to packets and back.

mod canvas;
mod change;
mod encoder;
mod jpeg;
mod opus;
mod pcm;
mod sound;
#[cfg(test)]
mod testing;
mod workers;

pub use canvas::{Applied, Canvas};
pub use encoder::{Encoder, join};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use jpeg::fuzz_cell;
pub use jpeg::{JpegError, JpegLibrary, Quality, cut_jpeg, decode_jpeg, jpeg_size, normalise};
pub use sound::{
    AudioDecoder, AudioEncoder, DEFAULT_BITRATE_BPS, PACKET_DURATION, PACKET_SAMPLES, SoundError,
};

use crate::media::Size;

/// Why something could not be coded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The picture's bytes are at fault, or a rung's header.
    #[error(transparent)]
    Jpeg(#[from] JpegError),
    /// The caller's picture has another size than the encoder was made for.
    #[error("the picture is {found}, not {expected}")]
    PictureSize {
        /// The encoder's.
        expected: Size,
        /// The picture's.
        found: Size,
    },
}
