//! One picture at the sizes in which it is coded.

use crate::{
    codec::{CodecError, JpegError, decode_jpeg},
    media::{Image, Picture, halve},
};

/// A source's picture, and what was derived from it; each only once it is asked for. Memory is used again from picture
/// to picture.
#[derive(Debug)]
pub(super) struct Sizes {
    source: Image,
    /// The pixels of a source that gives JPEGs.
    decoded: Derived,
    halves: [Derived; 2],
}

/// Memory for pixels, and whether they are of the picture.
#[derive(Debug, Default)]
struct Derived {
    pixels: Option<Picture>,
    fresh: bool,
}

impl Sizes {
    pub(super) fn new(source: Image) -> Self {
        Self {
            source,
            decoded: Derived::default(),
            halves: Default::default(),
        }
    }

    /// Another picture of the source.
    pub(super) fn replace(&mut self, source: Image) {
        self.source = source;
        self.decoded.fresh = false;
        for half in &mut self.halves {
            half.fresh = false;
        }
    }

    /// As it came.
    pub(super) const fn source(&self) -> &Image {
        &self.source
    }

    /// The pixels, each side halved so often, at most twice.
    pub(super) fn pixels(&mut self, halvings: usize) -> Result<&Picture, CodecError> {
        let mut pixels = match &self.source {
            Image::Raw(picture) => picture,
            Image::Jpeg { bytes, .. } => self.decoded.get(|pixels| {
                *pixels = Some(decode_jpeg(bytes)?);
                Ok(())
            })?,
        };
        for half in self.halves.iter_mut().take(halvings) {
            pixels = half.get(|out| {
                let size = pixels.size().half()?;
                let out = out.get_or_insert_with(|| Picture::filled(size, [0, 128, 128]));
                Ok(halve(pixels, out)?)
            })?;
        }
        Ok(pixels)
    }
}

impl Derived {
    fn get(
        &mut self,
        derive: impl FnOnce(&mut Option<Picture>) -> Result<(), JpegError>,
    ) -> Result<&Picture, CodecError> {
        if !self.fresh {
            derive(&mut self.pixels)?;
            self.fresh = true;
        }
        self.pixels
            .as_ref()
            .ok_or_else(|| JpegError::Truncated.into())
    }
}
