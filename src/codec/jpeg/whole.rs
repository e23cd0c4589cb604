//! Whole JPEGs, as cameras and pipes deliver them.

use super::JpegError;
use super::layout::Layout;
use super::library::{Colour, decode};
use super::scan::{Tail, Walker};
use super::segments::{EOI, RST0, RST7, Segments, find_ff};
use crate::media::{Picture, Size};

/// A JPEG that has been walked from end to end and is safe to decode.
#[derive(Debug)]
pub(in crate::codec) struct Whole<'a> {
    jpeg: &'a [u8],
    size: Size,
    grey: bool,
}

impl<'a> Whole<'a> {
    /// Walks it. Expects what [`super::normalise`] gives; bytes behind the end marker are ignored.
    pub(in crate::codec) fn check(
        jpeg: &'a [u8],
        scratch: &mut Vec<u8>,
    ) -> Result<Self, JpegError> {
        let layout = Layout::read(jpeg)?;
        let mut segments = Segments::new(jpeg)?;
        segments.at = layout.scan_at;
        segments.skip_scan()?;
        let scan = &jpeg[layout.scan_at..segments.at];
        if segments.next_segment()?.marker != EOI {
            return Err(JpegError::Unsupported("more than one scan"));
        }
        let walker = Walker::new(&layout)?;
        let (across, down) = layout.macroblocks();
        let total = across * down;
        let interval = match usize::from(layout.restart) {
            0 => total,
            restart => restart,
        };
        let mut left = total;
        for coded in intervals(scan) {
            let count = interval.min(left);
            if count == 0 {
                return Err(JpegError::Broken(
                    "more restart intervals than the picture has",
                ));
            }
            walker.check(coded, count, Tail::Any, scratch)?;
            left -= count;
        }
        if left > 0 {
            return Err(JpegError::Truncated);
        }
        Ok(Self {
            jpeg: &jpeg[..segments.at],
            size: layout.size,
            grey: layout.components.len() == 1,
        })
    }

    pub(in crate::codec) const fn size(&self) -> Size {
        self.size
    }

    /// Four bytes a pixel into the front of `out`.
    pub(in crate::codec) fn rgba(&self, out: &mut Vec<u8>) -> Result<(), JpegError> {
        self.decode(Colour::Rgba, out)
    }

    fn decode(&self, colour: Colour, out: &mut Vec<u8>) -> Result<(), JpegError> {
        let side = (self.size.width(), self.size.height());
        decode(self.jpeg, side, colour, out)
    }
}

/// Decodes a whole JPEG to planes, for a source whose pictures are to be coded anew. Errors: anything that is not one
/// complete sequential JPEG in grey or YCbCr.
pub fn decode_jpeg(jpeg: &[u8]) -> Result<Picture, JpegError> {
    let mut scratch = Vec::new();
    let whole = Whole::check(jpeg, &mut scratch)?;
    let mut picture = Picture::filled(whole.size, [0, 128, 128]);
    let mut out = Vec::new();
    if whole.grey {
        whole.decode(Colour::Grey, &mut out)?;
        let [y, _, _] = picture.planes_mut();
        y.copy_from_slice(&out[..y.len()]);
        return Ok(picture);
    }
    whole.decode(Colour::YCbCr, &mut out)?;
    planes(&out, whole.size, &mut picture);
    Ok(picture)
}

/// Takes interleaved samples apart; chroma is the mean of each four.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the mean of four bytes is a byte"
)]
fn planes(samples: &[u8], size: Size, picture: &mut Picture) {
    let (pixels, _) = samples.as_chunks::<3>();
    let [y, cb, cr] = picture.planes_mut();
    for (to, from) in y.iter_mut().zip(pixels) {
        *to = from[0];
    }
    let (width, height) = (size.width(), size.height());
    for row in 0..size.chroma_height() {
        let upper = &pixels[2 * row * width..][..width];
        let lower = &pixels[(2 * row + 1).min(height - 1) * width..][..width];
        for column in 0..size.chroma_width() {
            let (left, right) = (2 * column, (2 * column + 1).min(width - 1));
            let at = row * size.chroma_width() + column;
            for (plane, channel) in [(&mut *cb, 1), (&mut *cr, 2)] {
                let sum: u16 = [upper[left], upper[right], lower[left], lower[right]]
                    .iter()
                    .map(|pixel| u16::from(pixel[channel]))
                    .sum();
                plane[at] = ((sum + 2) / 4) as u8;
            }
        }
    }
}

/// The restart intervals of a scan.
fn intervals(mut scan: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut more = true;
    std::iter::from_fn(move || {
        if !more {
            return None;
        }
        let mut from = 0;
        while let Some(ff) = find_ff(&scan[from..]).map(|at| from + at) {
            if let Some(RST0..=RST7) = scan.get(ff + 1) {
                let (interval, rest) = scan.split_at(ff);
                scan = &rest[2..];
                return Some(trim_fill(interval));
            }
            // Of two 0xFF the second may begin a marker.
            from = ff + 1;
        }
        more = false;
        Some(trim_fill(scan))
    })
}

/// Without the 0xFF bytes that may stand before a marker.
fn trim_fill(mut interval: &[u8]) -> &[u8] {
    while let Some((0xFF, rest)) = interval.split_last() {
        interval = rest;
    }
    interval
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
    use proptest::prelude::*;

    use super::*;
    use crate::codec::jpeg::jpeg_size;

    const PHOTO: &[u8] = include_bytes!("../../../tests/data/motorcycle.jpg");

    fn gradient(width: u16, height: u16, depth: usize) -> Vec<u8> {
        let pixel = |x: u16, y: u16| {
            [x, y, x + y, x][..depth]
                .iter()
                .map(|v| v.to_le_bytes()[0])
                .collect()
        };
        (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| -> Vec<u8> { pixel(x, y) }))
            .collect()
    }

    fn encode(kind: ColorType, set: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let mut jpeg = Vec::new();
        let depth = [(ColorType::Luma, 1), (ColorType::Cmyk, 4)]
            .into_iter()
            .find_map(|(other, depth)| (other == kind).then_some(depth))
            .unwrap_or(3);
        let mut encoder = Encoder::new(&mut jpeg, 90);
        set(&mut encoder);
        encoder
            .encode(&gradient(97, 45, depth), 97, 45, kind)
            .unwrap();
        jpeg
    }

    #[test]
    fn what_cameras_send_is_decoded() {
        let grey = encode(ColorType::Luma, |_| {});
        let reference = decode_jpeg(&grey).unwrap();
        assert!(reference.cb().iter().all(|v| *v == 128));
        let samplings = [
            SamplingFactor::F_1_1,
            SamplingFactor::F_2_1,
            SamplingFactor::F_1_2,
            SamplingFactor::F_2_2,
        ];
        for sampling in samplings {
            for restart in [0, 1, 4] {
                let jpeg = encode(ColorType::Rgb, |encoder| {
                    encoder.set_sampling_factor(sampling);
                    encoder.set_restart_interval(restart);
                });
                assert_eq!(jpeg_size(&jpeg).unwrap(), Size::new(97, 45).unwrap());
                decode_jpeg(&jpeg).unwrap();
            }
        }
        let own_tables = encode(ColorType::Luma, |e| e.set_optimized_huffman_tables(true));
        assert_eq!(decode_jpeg(&own_tables).unwrap(), reference);
    }

    #[test]
    fn other_kinds_are_named() {
        let progressive = encode(ColorType::Rgb, |e| e.set_progressive(true));
        assert_eq!(
            decode_jpeg(&progressive),
            Err(JpegError::Unsupported("progressive"))
        );
        assert_eq!(
            jpeg_size(&progressive),
            Err(JpegError::Unsupported("progressive"))
        );
        let cmyk = encode(ColorType::Cmyk, |_| {});
        assert_eq!(
            decode_jpeg(&cmyk),
            Err(JpegError::Unsupported("kind of colour"))
        );
        let scans = encode(ColorType::Rgb, |e| e.set_optimized_huffman_tables(true));
        let several = Err(JpegError::Unsupported("more than one scan"));
        assert_eq!(decode_jpeg(&scans).map(drop), several);
        assert_eq!(jpeg_size(&scans).map(drop), several);
    }

    #[test]
    fn a_size_out_of_bounds_is_an_error() {
        let mut jpeg = encode(ColorType::Rgb, |_| {});
        let at = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
        jpeg[at + 5..at + 9].copy_from_slice(&[0xFF; 4]);
        assert!(matches!(jpeg_size(&jpeg), Err(JpegError::Size(_))));
        assert!(matches!(decode_jpeg(&jpeg), Err(JpegError::Size(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn damage_is_an_error_or_a_picture_and_never_a_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            in_header in any::<bool>(),
        ) {
            let mut jpeg = encode(ColorType::Rgb, |encoder| {
                encoder.set_sampling_factor(SamplingFactor::F_2_1);
                encoder.set_restart_interval(3);
            });
            let range = if in_header { 640 } else { jpeg.len() };
            for (at, value) in damage {
                let at = at.index(range);
                jpeg[at] = value;
            }
            let _ = jpeg_size(&jpeg);
            let _ = super::super::normalise(jpeg.clone().into());
            let _ = decode_jpeg(&jpeg);
        }
    }

    #[test]
    fn a_photograph_is_decoded() {
        let picture = decode_jpeg(PHOTO).unwrap();
        assert_eq!(picture.size(), Size::new(1280, 720).unwrap());
    }
}
