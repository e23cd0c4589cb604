//! JPEG: what the format needs from us, and the libraries behind one door.
//!
//! [`library`] is the only folder that knows which crates do the work.

mod cells;
mod entropy;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod glance;
mod huffman;
mod layout;
mod library;
mod normalise;
mod samples;
mod scan;
mod segments;
mod whole;

pub(super) use cells::{CellHeader, Splitter, header_for, join_cells};
#[cfg(fuzzing)]
pub use fuzz::fuzz_cell;
pub use layout::jpeg_size;
pub use library::JpegLibrary;
pub(super) use library::{Colour, MAX_STRIPS, PackedSource, StripEncoder, decode};
pub use normalise::{cut_jpeg, normalise};
pub(super) use samples::{CellDecoder, CellSamples};
pub(super) use whole::Whole;
pub use whole::decode_jpeg;

use crate::media::{Size, SizeError};

/// How much detail is kept: 1 (least) to 100, as libjpeg counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quality(u8);

impl Quality {
    /// Good to look at, about 1.3 bits a pixel.
    pub const DEFAULT: Self = Self(75);

    /// `None` unless 1 to 100.
    pub const fn new(percent: u8) -> Option<Self> {
        match percent {
            1..=100 => Some(Self(percent)),
            _ => None,
        }
    }

    /// 1 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Quality {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why something is no JPEG that can be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JpegError {
    /// It starts with something else.
    #[error("this is not a JPEG")]
    NotJpeg,
    /// It ends too early.
    #[error("the JPEG is cut short")]
    Truncated,
    /// It breaks the format's rules.
    #[error("the JPEG is broken: {0}")]
    Broken(&'static str),
    /// It is of a kind that is not read here.
    #[error("this kind of JPEG is not supported: {0}")]
    Unsupported(&'static str),
    /// Its size is out of bounds.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// It has another size than announced.
    #[error("the JPEG is {found}, not {expected}")]
    WrongSize {
        /// As announced.
        expected: Size,
        /// As in its header.
        found: Size,
    },
    /// The library that codes would not.
    #[error("the JPEG library failed: {0}")]
    Library(String),
}
