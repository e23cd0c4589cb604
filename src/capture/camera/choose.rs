//! Which of a camera's formats to ask for.

use super::{CameraFormat, PixelFormat};

/// The size and rate that suit most lines and screens.
const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
const FPS: u32 = 30;

/// Nothing larger is asked for: it would only be scaled down again.
const MAX_WIDTH: usize = 1920;
const MAX_HEIGHT: usize = 1080;

/// The formats worth asking for, best first: 30 fps or near, the size nearest to 1280x720, JPEG rather than pixels.
pub(in crate::capture) fn rank(formats: &[CameraFormat]) -> Vec<CameraFormat> {
    let mut ranked: Vec<_> = formats
        .iter()
        .copied()
        .filter(|format| {
            format.fps > 0 && format.size.width() <= MAX_WIDTH && format.size.height() <= MAX_HEIGHT
        })
        .collect();
    ranked.sort_by_key(|format| {
        let pixels = match format.pixels {
            PixelFormat::Jpeg => 0,
            PixelFormat::Yuyv => 1,
            PixelFormat::Nv12 => 2,
        };
        let off = format.size.width().abs_diff(WIDTH) + format.size.height().abs_diff(HEIGHT);
        (slowness(format.fps), off, format.fps.abs_diff(FPS), pixels)
    });
    ranked.dedup();
    ranked
}

/// Cameras list sizes that they only manage at a few pictures a second; those come last.
const fn slowness(fps: u32) -> u32 {
    match fps {
        24.. => 0,
        15..24 => 1,
        10..15 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Size;
    use PixelFormat::{Jpeg, Nv12, Yuyv};

    fn best(formats: &[(u32, u32, u32, PixelFormat)]) -> Option<String> {
        let formats: Vec<_> = formats
            .iter()
            .map(|(width, height, fps, pixels)| CameraFormat {
                size: Size::new(*width, *height).unwrap(),
                fps: *fps,
                pixels: *pixels,
            })
            .collect();
        rank(&formats).first().map(ToString::to_string)
    }

    #[test]
    fn a_usual_webcam_gives_jpeg_at_30() {
        let formats = [
            (640, 480, 30, Yuyv),
            (1280, 720, 10, Yuyv),
            (1280, 720, 30, Jpeg),
            (1280, 720, 60, Jpeg),
            (1920, 1080, 30, Jpeg),
        ];
        assert_eq!(best(&formats).unwrap(), "1280x720 at 30 fps as JPEG");
    }

    #[test]
    fn a_smooth_picture_is_better_than_a_large_one() {
        let formats = [(640, 480, 30, Yuyv), (1280, 720, 5, Yuyv)];
        assert_eq!(best(&formats).unwrap(), "640x480 at 30 fps as YUYV");
    }

    #[test]
    fn nothing_larger_than_full_hd_is_chosen() {
        let formats = [(3840, 2160, 30, Jpeg), (320, 180, 5, Nv12)];
        assert_eq!(best(&formats).unwrap(), "320x180 at 5 fps as NV12");
        assert_eq!(best(&formats[..1]), None);
    }
}
