//! The libraries that do the coding, behind one interface.
//!
//! Nothing outside this folder names their crates. Whole JPEGs, whose headers are a peer's own, always go through
//! [`plain`]; cells go through whichever the caller chose.

#[cfg(target_arch = "x86_64")]
mod forward;
#[cfg(target_arch = "x86_64")]
mod inverse;
mod machine;
mod plain;
mod turbo_encode;
mod turbo_inverse;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) use machine::Machine;
pub(in crate::codec) use plain::{Colour, decode};
pub(super) use turbo_inverse::Inverse;

use super::{JpegError, Quality};
use crate::media::Picture;

/// What codes and decodes cells. Either reads what the other wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JpegLibrary {
    /// What libjpeg-turbo does, straight from and to 4:2:0 planes: our own, and the transforms of crate
    /// `libjpeg-turbo-rs` where the machine has no AVX2.
    #[default]
    Turbo,
    /// Crates `jpeg-encoder` and `zune-jpeg`: chroma at full width in, RGBA out.
    Plain,
}

impl JpegLibrary {
    /// Both, for tests and benchmarks.
    pub const ALL: [Self; 2] = [Self::Turbo, Self::Plain];
}

/// What is to be encoded: strips of one picture, 16 px high and equally wide, stacked to one tall picture.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct PackedSource<'a> {
    pub(in crate::codec) picture: &'a Picture,
    /// Left edge and top edge of each strip, multiples of 16.
    pub(in crate::codec) strips: &'a [(usize, usize)],
    /// Width of a strip, a multiple of 16. What lies outside the picture repeats its edge.
    pub(in crate::codec) width: usize,
}

/// Codes strips with one library at one quality, cut by one restart interval.
#[derive(Debug)]
pub(in crate::codec) struct StripEncoder {
    kind: Kind,
    quality: Quality,
    restart: u16,
}

#[derive(Debug)]
enum Kind {
    Turbo(Box<turbo_encode::Coder>),
    Plain,
}

impl StripEncoder {
    /// `restart` is in macroblocks, not 0.
    pub(in crate::codec) fn new(library: JpegLibrary, quality: Quality, restart: u16) -> Self {
        Self {
            kind: match library {
                JpegLibrary::Turbo => {
                    Kind::Turbo(Box::new(turbo_encode::Coder::new(quality, restart)))
                }
                JpegLibrary::Plain => Kind::Plain,
            },
            quality,
            restart,
        }
    }

    /// Macroblocks in a cell.
    pub(in crate::codec) const fn restart(&self) -> u16 {
        self.restart
    }

    /// A complete JPEG, 4:2:0, baseline, annex K tables, with restart markers. Appended to `out`. At most
    /// [`MAX_STRIPS`] strips.
    pub(in crate::codec) fn encode(
        &self,
        source: PackedSource<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), JpegError> {
        let side = |n: usize| u16::try_from(n).map_err(|_| JpegError::Broken("size"));
        let size = (side(source.width)?, side(source.strips.len() * 16)?);
        match &self.kind {
            Kind::Turbo(coder) => coder.encode(source, size, out),
            Kind::Plain => plain::encode(source, size, self.quality, self.restart, out)?,
        }
        Ok(())
    }
}

/// Strips in one call: what fits the format's 16-bit height.
pub(in crate::codec) const MAX_STRIPS: usize = 65_535 / 16;

/// Does `work`, which calls a library with a peer's bytes; a panic in it is a failure like any other. It must only
/// write buffers that mean nothing where it fails.
pub(in crate::codec) fn contained<T>(
    work: impl FnOnce() -> Result<T, JpegError>,
) -> Result<T, JpegError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(JpegError::Library("it panicked".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure() {
        let failed = contained(|| -> Result<(), JpegError> { panic!("a library's") });
        assert!(matches!(failed, Err(JpegError::Library(_))));
        assert_eq!(contained(|| Ok(7)), Ok(7));
    }
}
