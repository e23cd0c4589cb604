//! Real pictures, and a sensor's noise on them.

use std::io;
use std::process::{Command, Stdio};

use tunnelcast::codec::decode_jpeg;
use tunnelcast::media::{Picture, Size};

const FILM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bigbuckbunny.mp4");

/// The first `count` pictures of the film (25 a second), 1280x720. Fails where there is no ffmpeg.
pub(crate) fn film(count: usize) -> io::Result<Vec<Picture>> {
    let size = Size::new(1280, 720).map_err(io::Error::other)?;
    let film = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i", FILM, "-frames:v"])
        .arg(count.to_string())
        .args(["-vf", "scale=out_range=full", "-pix_fmt", "yuvj420p"])
        .args(["-f", "rawvideo", "-"])
        .stderr(Stdio::inherit())
        .output()?;
    let luma = size.width() * size.height();
    let pictures = film.stdout.chunks_exact(luma * 3 / 2).map(|planes| {
        let (y, chroma) = planes.split_at(luma);
        let (cb, cr) = chroma.split_at(luma / 4);
        Picture::from_planes(size, y.to_vec(), cb.to_vec(), cr.to_vec()).map_err(io::Error::other)
    });
    let pictures: Vec<_> = pictures.collect::<Result<_, _>>()?;
    if pictures.len() < count {
        return Err(io::Error::other("the film is too short"));
    }
    Ok(pictures)
}

/// A photograph, 1280x720.
pub(crate) fn photograph() -> io::Result<Picture> {
    decode_jpeg(include_bytes!("../../data/motorcycle.jpg")).map_err(io::Error::other)
}

/// Noise as of a sensor: some that is always there, and some that grows with the light. The same every time.
pub(crate) struct Sensor {
    /// Variance in the dark.
    pub(crate) dark: f32,
    /// Variance that each level of brightness adds.
    pub(crate) light: f32,
    state: u64,
}

impl Sensor {
    pub(crate) const fn new(dark: f32, light: f32) -> Self {
        Self {
            dark,
            light,
            state: 0x2545_f491_4f6c_dd1d,
        }
    }

    /// The next picture of `scene`. Chroma has half the noise of luma, for each of its samples is of four pixels.
    pub(crate) fn look_at(&mut self, scene: &Picture) -> Picture {
        let mut picture = scene.clone();
        let (width, half) = (scene.size().width(), scene.size().chroma_width());
        let [y, cb, cr] = picture.planes_mut();
        for sample in y.iter_mut() {
            *sample = self.noisy(*sample, *sample, 1.0);
        }
        for (index, (cb, cr)) in cb.iter_mut().zip(cr).enumerate() {
            let brightness = scene.y()[index / half * 2 * width + index % half * 2];
            *cb = self.noisy(*cb, brightness, 0.5);
            *cr = self.noisy(*cr, brightness, 0.5);
        }
        picture
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "conversion to integers saturates"
    )]
    fn noisy(&mut self, sample: u8, brightness: u8, share: f32) -> u8 {
        let deviation = (self.dark + self.light * f32::from(brightness)).sqrt() * share;
        (f32::from(sample) + self.normal() * deviation).round() as u8
    }

    /// Nearly normal: of eight even numbers.
    fn normal(&mut self) -> f32 {
        let mut sum = 0;
        for _ in 0..2 {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            let parts = [0, 16, 32, 48].map(|shift| self.state >> shift & 0xffff);
            sum += parts.iter().sum::<u64>();
        }
        (sum as f32 / 65536.0 - 4.0) / 0.8165
    }
}

/// Mean of the squared errors of luma.
pub(crate) fn squared_error(a: &Picture, b: &Picture) -> f64 {
    let pairs = a.y().iter().zip(b.y());
    let squares = pairs.map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2));
    squares.sum::<u64>() as f64 / a.y().len() as f64
}

/// In dB.
pub(crate) fn psnr(squared_error: f64) -> f64 {
    10.0 * (255.0 * 255.0 / squared_error).log10()
}
