//! One picture at the sizes in which it is coded.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    codec::{CodecError, JpegError, decode_jpeg},
    media::{Image, Picture, Size, halve},
};

/// A source's picture, and what was derived from it; each only once it is asked for. Memory is used again from picture
/// to picture, unless somebody has kept it.
#[derive(Debug)]
pub(super) struct Sizes {
    source: Source,
    /// The pixels of a source that gives JPEGs.
    decoded: Derived,
    halves: [Derived; 2],
}

/// A source's picture, its pixels shared with those who code them.
#[derive(Debug)]
enum Source {
    Raw(Arc<Picture>),
    Jpeg { size: Size, bytes: Bytes },
}

/// Memory for pixels, and whether they are of the picture.
#[derive(Debug, Default)]
struct Derived {
    pixels: Option<Arc<Picture>>,
    fresh: bool,
}

impl Sizes {
    pub(super) fn new(source: Image) -> Self {
        Self {
            source: source.into(),
            decoded: Derived::default(),
            halves: Default::default(),
        }
    }

    /// Another picture of the source.
    pub(super) fn replace(&mut self, source: Image) {
        self.source = source.into();
        self.decoded.fresh = false;
        for half in &mut self.halves {
            half.fresh = false;
        }
    }

    /// Of the source's picture.
    pub(super) fn size(&self) -> Size {
        match &self.source {
            Source::Raw(picture) => picture.size(),
            Source::Jpeg { size, .. } => *size,
        }
    }

    /// The picture as it came, where that is a JPEG.
    pub(super) const fn jpeg(&self) -> Option<(Size, &Bytes)> {
        match &self.source {
            Source::Raw(_) => None,
            Source::Jpeg { size, bytes } => Some((*size, bytes)),
        }
    }

    /// The pixels, each side halved so often, at most twice.
    pub(super) fn pixels(&mut self, halvings: usize) -> Result<&Arc<Picture>, CodecError> {
        let mut pixels = match &self.source {
            Source::Raw(picture) => picture,
            Source::Jpeg { bytes, .. } => self.decoded.get(|pixels| {
                *pixels = Some(Arc::new(decode_jpeg(bytes)?));
                Ok(())
            })?,
        };
        for half in self.halves.iter_mut().take(halvings) {
            pixels = half.get(|out| {
                let size = pixels.size().half()?;
                let blank = || Arc::new(Picture::filled(size, [0, 128, 128]));
                let out = out.get_or_insert_with(blank);
                if Arc::get_mut(out).is_none() {
                    *out = blank();
                }
                // Nobody else has it: it copies nothing.
                Ok(halve(pixels, Arc::make_mut(out))?)
            })?;
        }
        Ok(pixels)
    }
}

impl From<Image> for Source {
    fn from(image: Image) -> Self {
        match image {
            Image::Raw(picture) => Self::Raw(Arc::new(picture)),
            Image::Jpeg { size, bytes } => Self::Jpeg { size, bytes },
        }
    }
}

impl Derived {
    fn get(
        &mut self,
        derive: impl FnOnce(&mut Option<Arc<Picture>>) -> Result<(), JpegError>,
    ) -> Result<&Arc<Picture>, CodecError> {
        if !self.fresh {
            derive(&mut self.pixels)?;
            self.fresh = true;
        }
        self.pixels
            .as_ref()
            .ok_or_else(|| JpegError::Truncated.into())
    }
}
