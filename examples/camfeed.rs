//! Plays the camera for tests: feeds a v4l2loopback device with JPEGs of changing size, 30 a second.
//!
//! usage: `camfeed /dev/video9 SECONDS`
//!
//! The picture is grey with a bright bar that moves by 80 pixels each frame; every other frame has noise, so that a
//! driver's buffer holds old bytes behind a shorter JPEG.

use std::error::Error;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn Error>> {
    use std::io::Write;
    use std::time::{Duration, Instant};

    use v4l::video::Output;
    use v4l::{Device, Format, FourCC};

    let args: Vec<String> = std::env::args().collect();
    let [_, path, seconds] = args.as_slice() else {
        return Err("usage: camfeed /dev/videoN SECONDS".into());
    };
    let mut device = Device::with_path(path)?;
    let mut format = Format::new(WIDTH.into(), HEIGHT.into(), FourCC::new(b"MJPG"));
    format.size = u32::from(WIDTH) * u32::from(HEIGHT) * 2;
    Output::set_format(&device, &format)?;
    let frames = frames()?;
    let end = Duration::from_secs(seconds.parse()?);
    #[expect(clippy::disallowed_methods, reason = "a camera lives in real time")]
    let start = Instant::now();
    for (number, frame) in (0..).zip(frames.iter().cycle()) {
        let due = Duration::from_secs(number) / 30;
        if due >= end {
            break;
        }
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        device.write_all(frame)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() -> Result<(), Box<dyn Error>> {
    Err("v4l2loopback is part of Linux".into())
}

#[cfg(target_os = "linux")]
const WIDTH: u16 = 1280;
#[cfg(target_os = "linux")]
const HEIGHT: u16 = 720;

#[cfg(target_os = "linux")]
fn frames() -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut frames = Vec::new();
    for number in 0..16u32 {
        let mut luma = vec![100u8; usize::from(WIDTH) * usize::from(HEIGHT)];
        for (i, pixel) in (0u32..).zip(&mut luma) {
            let (x, y) = (i % u32::from(WIDTH), i / u32::from(WIDTH));
            if x / 80 == number {
                *pixel = 220;
            } else if number.is_multiple_of(2) {
                let noise = x
                    .wrapping_mul(2_654_435_761)
                    .wrapping_add(y.wrapping_mul(40_503));
                *pixel = 90 + u8::try_from(noise >> 24)? % 20;
            }
        }
        let mut jpeg = Vec::new();
        jpeg_encoder::Encoder::new(&mut jpeg, 75).encode(
            &luma,
            WIDTH,
            HEIGHT,
            jpeg_encoder::ColorType::Luma,
        )?;
        frames.push(jpeg);
    }
    Ok(frames)
}
