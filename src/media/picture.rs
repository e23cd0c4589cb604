//! Pictures as they come from a source.

use std::time::Instant;

use bytes::Bytes;

/// Width and height in pixels, each 16 to 8192, together at most 33,554,432 (8192 x 4096).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    width: u16,
    height: u16,
}

impl Size {
    /// The least width and the least height.
    pub const MIN_SIDE: u32 = 16;
    /// The greatest width and the greatest height.
    pub const MAX_SIDE: u32 = 8192;
    /// The most pixels.
    pub const MAX_PIXELS: u32 = 8192 * 4096;

    /// Checks the limits.
    pub fn new(width: u32, height: u32) -> Result<Self, SizeError> {
        let side = Self::MIN_SIDE..=Self::MAX_SIDE;
        if !side.contains(&width) || !side.contains(&height) || width * height > Self::MAX_PIXELS {
            return Err(SizeError { width, height });
        }
        let narrow = |v: u32| u16::try_from(v).map_err(|_| SizeError { width, height });
        Ok(Self {
            width: narrow(width)?,
            height: narrow(height)?,
        })
    }

    /// Pixels in a row.
    pub const fn width(self) -> usize {
        self.width as usize
    }

    /// Rows.
    pub const fn height(self) -> usize {
        self.height as usize
    }

    /// Samples in a row of a 4:2:0 chroma plane.
    pub const fn chroma_width(self) -> usize {
        self.width().div_ceil(2)
    }

    /// Rows of a 4:2:0 chroma plane.
    pub const fn chroma_height(self) -> usize {
        self.height().div_ceil(2)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A size out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "picture size {width}x{height} is out of bounds (each side 16 to 8192, at most 8192x4096 in all)"
)]
pub struct SizeError {
    /// As asked for.
    pub width: u32,
    /// As asked for.
    pub height: u32,
}

/// A planar 4:2:0 picture, full range, BT.601, as JPEG has it (JFIF): rows without padding, luma then Cb then Cr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    size: Size,
    y: Vec<u8>,
    cb: Vec<u8>,
    cr: Vec<u8>,
}

impl Picture {
    /// A picture of one colour.
    pub fn filled(size: Size, [y, cb, cr]: [u8; 3]) -> Self {
        let chroma = size.chroma_width() * size.chroma_height();
        Self {
            size,
            y: vec![y; size.width() * size.height()],
            cb: vec![cb; chroma],
            cr: vec![cr; chroma],
        }
    }

    /// Takes planes whose lengths must be exactly those of `size`.
    pub fn from_planes(
        size: Size,
        y: Vec<u8>,
        cb: Vec<u8>,
        cr: Vec<u8>,
    ) -> Result<Self, PictureError> {
        let chroma = size.chroma_width() * size.chroma_height();
        if y.len() != size.width() * size.height() || cb.len() != chroma || cr.len() != chroma {
            return Err(PictureError {
                size,
                y: y.len(),
                cb: cb.len(),
                cr: cr.len(),
            });
        }
        Ok(Self { size, y, cb, cr })
    }

    /// Width and height.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Luma, `width` samples a row.
    pub fn y(&self) -> &[u8] {
        &self.y
    }

    /// Blue difference, `chroma_width` samples a row.
    pub fn cb(&self) -> &[u8] {
        &self.cb
    }

    /// Red difference, `chroma_width` samples a row.
    pub fn cr(&self) -> &[u8] {
        &self.cr
    }

    /// All three planes for writing: luma, Cb, Cr.
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        [&mut self.y, &mut self.cb, &mut self.cr]
    }
}

/// Planes that do not fit the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("planes of {y}, {cb} and {cr} samples are not a {size} picture")]
pub struct PictureError {
    /// The size they were meant for.
    pub size: Size,
    /// Samples of luma.
    pub y: usize,
    /// Samples of Cb.
    pub cb: usize,
    /// Samples of Cr.
    pub cr: usize,
}

/// What a source delivers: pixels, or a JPEG that a camera made itself.
#[derive(Clone, Debug)]
pub enum Image {
    /// Pixels, to be coded as cells.
    Raw(Picture),
    /// A whole JPEG (SOI to EOI, nothing behind it), to be passed through. `size` is what its header says.
    Jpeg {
        /// As in its frame header.
        size: Size,
        /// SOI to EOI.
        bytes: Bytes,
    },
}

impl Image {
    /// Width and height.
    pub const fn size(&self) -> Size {
        match self {
            Self::Raw(picture) => picture.size(),
            Self::Jpeg { size, .. } => *size,
        }
    }
}

/// A picture and when it was captured.
#[derive(Clone, Debug)]
pub struct VideoFrame {
    /// The picture.
    pub image: Image,
    /// When the source had it whole, on the machine's monotonic clock.
    pub captured: Instant,
}
