//! A picture whose samples are still arriving.

use crate::media::{Picture, Size};

/// How samples stand for brightness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Black 16, white 235, as video usually is.
    Limited,
    /// Black 0, white 255, as in [`Picture`].
    Full,
}

/// A 4:2:0 picture that is read plane by plane; limited range is expanded as it comes, so that the last byte finds
/// nothing left to do.
#[derive(Debug)]
pub(super) struct Filling {
    picture: Picture,
    range: Range,
    plane: usize,
    at: usize,
}

impl Filling {
    pub(super) fn new(size: Size, range: Range) -> Self {
        Self {
            // Not of zeros, which the system gives only when they are first touched.
            picture: Picture::filled(size, [128; 3]),
            range,
            plane: 0,
            at: 0,
        }
    }

    /// Bytes of a picture.
    pub(super) const fn length(size: Size) -> usize {
        size.width() * size.height() + 2 * size.chroma_width() * size.chroma_height()
    }

    /// Where the next bytes go; empty when the picture is whole.
    pub(super) fn space(&mut self) -> &mut [u8] {
        let at = self.at;
        let plane = self.picture.planes_mut().into_iter().nth(self.plane);
        plane.map_or(&mut [], |plane| &mut plane[at..])
    }

    /// Says that `count` bytes were put there; true when the picture is whole.
    pub(super) fn filled(&mut self, count: usize) -> bool {
        let (range, chroma) = (self.range, self.plane > 0);
        let space = self.space();
        let count = count.min(space.len());
        if range == Range::Limited {
            expand(&mut space[..count], chroma);
        }
        let full = count == space.len();
        self.at += count;
        if full {
            self.plane = (self.plane + 1).min(3);
            self.at = 0;
        }
        self.plane == 3
    }

    /// Takes what it can of `bytes`; how much that was, and whether the picture is whole.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> (usize, bool) {
        let before = bytes.len();
        loop {
            let space = self.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            let whole = self.filled(count);
            if whole || bytes.is_empty() {
                return (before - bytes.len(), whole);
            }
        }
    }

    pub(super) fn into_picture(self) -> Picture {
        self.picture
    }
}

/// Expands limited range to full range in place, in arithmetic that the compiler turns into vectors.
pub(super) fn expand(samples: &mut [u8], chroma: bool) {
    if chroma {
        for sample in samples {
            let wide = ((i16::from(*sample) - 128) * CHROMA_128 + 64) >> 7;
            *sample = narrow((wide + 128).clamp(0, 255).cast_unsigned());
        }
    } else {
        for sample in samples {
            let wide = (u16::from(sample.saturating_sub(16)) * LUMA_128 + 64) >> 7;
            *sample = narrow(wide.min(255));
        }
    }
}

/// 255 / 219 and 255 / 224 in 128ths: within one level of the exact result.
const LUMA_128: u16 = 149;
const CHROMA_128: i16 = 146;

#[expect(clippy::cast_possible_truncation, reason = "callers clamp to 255")]
const fn narrow(sample: u16) -> u8 {
    sample as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limited_range_is_expanded_to_within_a_level() {
        for sample in 0..=255_u8 {
            let mut luma = [sample];
            expand(&mut luma, false);
            let exact = ((f64::from(sample) - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0);
            assert!((f64::from(luma[0]) - exact).abs() <= 1.0, "luma {sample}");
            let mut chroma = [sample];
            expand(&mut chroma, true);
            let exact = ((f64::from(sample) - 128.0) * 255.0 / 224.0 + 128.0).clamp(0.0, 255.0);
            assert!(
                (f64::from(chroma[0]) - exact).abs() <= 1.0,
                "chroma {sample}"
            );
        }
        let mut ends = [16, 235];
        expand(&mut ends, false);
        assert_eq!(ends, [0, 255]);
    }
}
