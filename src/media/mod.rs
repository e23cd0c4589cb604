//! The words that everything else is said in: time, picture, cell, sound, packet. No IO.

mod cell;
mod frame;
mod level;
mod name;
mod packet;
mod pattern;
mod picture;
mod raster;
mod rect;
mod role;
mod scale;
mod sound;
mod stream;
mod time;
mod token;

pub use cell::{Cell, CellIndex, Grid, GridError, MAX_CELLS};
pub use frame::{Extent, Frame, Rung, RungId, RungKind, VideoStep};
pub use level::{Level, LevelSet};
pub use name::{MAX_STREAM_NAME, is_stream_name};
pub use packet::{AudioCodec, AudioPacket, MAX_AUDIO_PACKET};
pub use pattern::{Pattern, PatternError};
pub use picture::{Image, Picture, PictureError, Size, SizeError, VideoFrame};
pub use raster::{Pixels, Raster};
pub use rect::Rect;
pub use role::Role;
pub use scale::halve;
pub use sound::{CHANNELS, SAMPLE_RATE, SoundBlock};
pub use stream::{SourceState, Tracks};
pub use time::MediaTime;
pub use token::{TokenId, TokenIdError};
