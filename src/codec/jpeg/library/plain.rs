//! Crates `jpeg-encoder` and `zune-jpeg`.

use jpeg_encoder::{ImageBuffer, JpegColorType, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{PackedSource, contained};
use crate::codec::jpeg::{JpegError, Quality};
use crate::media::Size;

/// What zune is to make of the colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Colour {
    /// Four bytes a pixel; alpha is 255. Cheapest on the way to the window: 2.01 ms for a photograph of 720p and 0.11
    /// to 0x00RRGGBB; three bytes take 2.03 and 0.32.
    Rgba,
    /// Three bytes a pixel, as coded.
    YCbCr,
    /// One byte a pixel.
    Grey,
}

/// As [`super::StripEncoder::encode`]; `width` and `height` are those of all strips together.
pub(super) fn encode(
    source: PackedSource<'_>,
    (width, height): (u16, u16),
    quality: Quality,
    restart: u16,
    out: &mut Vec<u8>,
) -> Result<(), JpegError> {
    let mut encoder = jpeg_encoder::Encoder::new(out, quality.get());
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_restart_interval(restart);
    encoder
        .encode_image(Strips {
            width,
            height,
            source,
        })
        .map_err(|error| JpegError::Library(error.to_string()))
}

/// Decodes a complete JPEG of the size given into the front of `out`, which is grown where needed.
pub(in crate::codec) fn decode(
    jpeg: &[u8],
    (width, height): (usize, usize),
    colour: Colour,
    out: &mut Vec<u8>,
) -> Result<(), JpegError> {
    let (space, depth) = match colour {
        Colour::Rgba => (ColorSpace::RGBA, 4),
        Colour::YCbCr => (ColorSpace::YCbCr, 3),
        Colour::Grey => (ColorSpace::Luma, 1),
    };
    let options = DecoderOptions::new_fast()
        .set_strict_mode(true)
        .set_max_width(width)
        .set_max_height(height)
        .jpeg_set_out_colorspace(space);
    contained(|| {
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        let failed = |error: zune_jpeg::errors::DecodeErrors| JpegError::Library(error.to_string());
        decoder.decode_headers().map_err(failed)?;
        if decoder.dimensions() != Some((width, height)) {
            return Err(JpegError::Broken("size"));
        }
        let length = width * height * depth;
        if out.len() < length {
            out.resize(length, 0);
        }
        decoder.decode_into(&mut out[..length]).map_err(failed)
    })
}

/// The strips as crate `jpeg-encoder` wants them: rows of samples, chroma at full width.
struct Strips<'a> {
    source: PackedSource<'a>,
    width: u16,
    height: u16,
}

impl ImageBuffer for Strips<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let PackedSource {
            picture,
            strips,
            width,
        } = self.source;
        let size = picture.size();
        let row = usize::from(y) % 16;
        let (left, top) = strips[usize::from(y) / 16];
        let [luma, cb, cr, _] = buffers;

        let line = (top + row).min(size.height() - 1);
        let from = left.min(size.width() - 1);
        let to = (left + width).min(size.width());
        let line = &picture.y()[line * size.width()..][from..to];
        luma.extend_from_slice(line);
        repeat_last(luma, width - line.len());

        for (out, plane) in [(cb, picture.cb()), (cr, picture.cr())] {
            if row % 2 == 1 {
                // The encoder takes the upper left sample of every four: this row only has to be there.
                out.resize(out.len() + width, 0);
            } else {
                double(out, chroma_line(plane, size, left, top + row, width), width);
            }
        }
    }
}

/// The samples of one chroma row that lie inside the picture.
fn chroma_line(plane: &[u8], size: Size, left: usize, y: usize, width: usize) -> &[u8] {
    let line = (y / 2).min(size.chroma_height() - 1);
    let from = (left / 2).min(size.chroma_width() - 1);
    let to = ((left + width) / 2).min(size.chroma_width());
    &plane[line * size.chroma_width()..][from..to]
}

fn double(out: &mut Vec<u8>, samples: &[u8], width: usize) {
    let start = out.len();
    out.resize(start + samples.len() * 2, 0);
    let (pairs, _) = out[start..].as_chunks_mut::<2>();
    for (pair, &sample) in pairs.iter_mut().zip(samples) {
        *pair = [sample; 2];
    }
    repeat_last(out, width - samples.len() * 2);
}

fn repeat_last(out: &mut Vec<u8>, count: usize) {
    let last = out.last().copied().unwrap_or_default();
    out.resize(out.len() + count, last);
}
