//! What cameras deliver, turned into our pictures: full range, 4:2:0.

use yuv::{
    BufferStoreMut, YuvBiPlanarImage, YuvConversionMode, YuvError, YuvPackedImage,
    YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
};

use super::{CameraError, PixelFormat, RawFrame};
use crate::capture::jpeg::admit_from;
use crate::media::{Image, Picture, Size};

/// Converts the frames of one camera; keeps its buffer from one to the next.
#[derive(Debug, Default)]
pub(super) struct Converter {
    rgb: Vec<u8>,
}

impl Converter {
    /// JPEGs are passed through, cut at their end and with their tables; pixels are converted. Only bytes of this very frame come out.
    pub(super) fn convert(&mut self, frame: &RawFrame<'_>) -> Result<Image, CameraError> {
        let size = frame.format.size;
        let (width, height) = (size.width(), size.height());
        match frame.format.pixels {
            PixelFormat::Jpeg => Ok(admit_from(&frame.bytes)?),
            PixelFormat::Yuyv => {
                let row = width.next_multiple_of(2) * 2;
                let image = YuvPackedImage {
                    yuy: payload(&frame.bytes, row * height)?,
                    yuy_stride: narrow(row),
                    width: narrow(width),
                    height: narrow(height),
                };
                self.via_rgb(size, |rgb, stride| {
                    yuv::yuyv422_to_rgb(&image, rgb, stride, YuvRange::Limited, MATRIX)
                })
            }
            PixelFormat::Nv12 => {
                let row = width.next_multiple_of(2);
                let luma = row * height;
                let bytes = payload(&frame.bytes, luma + row * size.chroma_height())?;
                let image = YuvBiPlanarImage {
                    y_plane: &bytes[..luma],
                    y_stride: narrow(row),
                    uv_plane: &bytes[luma..],
                    uv_stride: narrow(row),
                    width: narrow(width),
                    height: narrow(height),
                };
                self.via_rgb(size, |rgb, stride| {
                    yuv::yuv_nv12_to_rgb(&image, rgb, stride, YuvRange::Limited, MATRIX, MODE)
                })
            }
        }
    }

    /// The library has no way from limited to full range that does not pass through RGB.
    fn via_rgb(
        &mut self,
        size: Size,
        unpack: impl FnOnce(&mut [u8], u32) -> Result<(), YuvError>,
    ) -> Result<Image, CameraError> {
        let (width, height) = (size.width(), size.height());
        let stride = narrow(width * 3);
        self.rgb.resize(width * height * 3, 0);
        unpack(&mut self.rgb, stride)?;
        let mut picture = Picture::filled(size, [0, 0, 0]);
        let [y, cb, cr] = picture.planes_mut();
        let mut planes = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(y),
            y_stride: narrow(width),
            u_plane: BufferStoreMut::Borrowed(cb),
            u_stride: narrow(size.chroma_width()),
            v_plane: BufferStoreMut::Borrowed(cr),
            v_stride: narrow(size.chroma_width()),
            width: narrow(width),
            height: narrow(height),
        };
        yuv::rgb_to_yuv420(&mut planes, &self.rgb, stride, YuvRange::Full, MATRIX, MODE)?;
        Ok(Image::Raw(picture))
    }
}

const MATRIX: YuvStandardMatrix = YuvStandardMatrix::Bt601;
const MODE: YuvConversionMode = YuvConversionMode::Balanced;

/// The first `length` bytes: a driver's buffer may be longer, and what is behind is not of this frame.
fn payload(bytes: &[u8], length: usize) -> Result<&[u8], CameraError> {
    bytes.get(..length).ok_or(CameraError::Short {
        bytes: bytes.len(),
        expected: length,
    })
}

/// Sides of a [`Size`] are at most 8192, so that nothing is cut.
fn narrow(side: usize) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::CameraFormat;
    use super::*;
    use crate::capture::jpeg::tests::sample;
    use crate::capture::watch::now;

    const SIDE: (u32, u32) = (64, 48);

    fn raw(pixels: PixelFormat, bytes: &[u8]) -> RawFrame<'_> {
        RawFrame {
            format: CameraFormat {
                size: Size::new(SIDE.0, SIDE.1).unwrap(),
                fps: 30,
                pixels,
            },
            bytes: bytes.into(),
            captured: now(),
        }
    }

    fn planes(pixels: PixelFormat, bytes: &[u8]) -> [u8; 3] {
        let image = Converter::default().convert(&raw(pixels, bytes)).unwrap();
        let Image::Raw(picture) = image else {
            panic!("pixels");
        };
        let (y, cb, cr) = (picture.y()[0], picture.cb()[0], picture.cr()[0]);
        for (plane, value) in [(picture.y(), y), (picture.cb(), cb), (picture.cr(), cr)] {
            assert!(plane.iter().all(|v| *v == value), "one colour stays one");
        }
        [y, cb, cr]
    }

    /// What the ranges say; colours that RGB can hold.
    fn expand([y, cb, cr]: [u8; 3]) -> [f32; 3] {
        let chroma = |c: u8| 128.0 + (f32::from(c) - 128.0) * 255.0 / 224.0;
        [
            (f32::from(y) - 16.0) * 255.0 / 219.0,
            chroma(cb),
            chroma(cr),
        ]
    }

    #[test]
    fn limited_range_becomes_full_range() {
        for colour in [
            [16, 128, 128],
            [235, 128, 128],
            [126, 128, 128],
            [81, 90, 240],
            [145, 54, 34],
            [41, 240, 110],
            [100, 140, 110],
        ] {
            let [y, cb, cr] = colour;
            let yuyv = [y, cb, y, cr].repeat(64 * 48 / 2);
            let mut nv12 = vec![y; 64 * 48];
            nv12.extend([cb, cr].repeat(32 * 24));
            for (pixels, bytes) in [(PixelFormat::Yuyv, yuyv), (PixelFormat::Nv12, nv12)] {
                let got = planes(pixels, &bytes);
                for (got, want) in got.into_iter().zip(expand(colour)) {
                    let off = (f32::from(got) - want.clamp(0.0, 255.0)).abs();
                    assert!(off <= 2.0, "{pixels:?} {colour:?}: {got} is not {want}");
                }
            }
        }
    }

    #[test]
    fn a_buffer_longer_than_the_picture_is_cut_and_a_shorter_one_is_an_error() {
        let mut bytes = [100, 128, 100, 128].repeat(64 * 48 / 2);
        let short = Converter::default().convert(&raw(PixelFormat::Yuyv, &bytes[1..]));
        assert!(matches!(short, Err(CameraError::Short { .. })));
        bytes.extend([255; 10_000]);
        planes(PixelFormat::Yuyv, &bytes);
    }

    #[test]
    fn a_jpeg_is_passed_through_without_what_is_behind_it() {
        let jpeg = sample(64, 48);
        let mut buffer = jpeg.clone();
        buffer.resize(jpeg.len() + 5000, 0xD9);
        let image = Converter::default().convert(&raw(PixelFormat::Jpeg, &buffer));
        let Ok(Image::Jpeg { bytes, .. }) = image else {
            panic!("a JPEG");
        };
        assert_eq!(bytes, jpeg);
    }
}
