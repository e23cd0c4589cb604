//! The words that everything else is said in: time, picture, cell, sound, packet. No dependencies, no IO.

mod cell;
mod frame;
mod level;
mod name;
mod packet;
mod picture;
mod rect;
mod scale;
mod sound;
mod stream;
mod time;

pub use cell::{Cell, CellIndex, Grid, GridError, MAX_CELLS};
pub use frame::{Extent, Frame, Rung, RungId, RungKind, VideoStep};
pub use level::Level;
pub use name::{MAX_STREAM_NAME, is_stream_name};
pub use packet::{AudioCodec, AudioPacket, MAX_AUDIO_PACKET};
pub use picture::{Image, Picture, PictureError, Size, SizeError, VideoFrame};
pub use rect::Rect;
pub use scale::halve;
pub use sound::{CHANNELS, SAMPLE_RATE, SoundBlock};
pub use stream::{SourceState, Tracks};
pub use time::MediaTime;
