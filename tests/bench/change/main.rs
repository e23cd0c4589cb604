//! What change detection saves: film, pan, camera and screen at 720p, quality 75, five seconds each, beside every picture
//! coded whole at the same quality.
//!
//! `cargo bench --bench change` prints a table; `docs/change.md` has one. It is the same every time, for nothing is
//! timed and the noise has a fixed seed. As a test it only looks whether all of it works. Needs ffmpeg.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

mod material;
mod scenes;

use std::{env, error::Error, sync::Arc, time::Duration};

use material::{psnr, squared_error};
use scenes::Scene;
use tunnelcast::codec::{Canvas, Encoder, Quality, decode_jpeg, join};
use tunnelcast::media::MediaTime;

fn main() -> Result<(), Box<dyn Error>> {
    let measuring = env::args().any(|argument| argument == "--bench");
    if !measuring
        && std::process::Command::new("ffmpeg")
            .arg("-version")
            .output()
            .is_err()
    {
        println!("SKIPPED: change: ffmpeg is not installed");
        return Ok(());
    }
    let seconds = if measuring { 5.0 } else { 0.4 };
    println!(
        "| source | cells sent | Mbit/s | PSNR, dB | whole pictures: Mbit/s | PSNR, dB | ratio |"
    );
    println!("|---|---|---|---|---|---|---|");
    for scene in scenes::all(seconds)? {
        println!("{}", measure(scene)?.row());
    }
    Ok(())
}

/// What a source comes to.
struct Row {
    name: &'static str,
    /// Of those there are.
    cells: f64,
    cells_mbps: f64,
    whole_mbps: f64,
    /// Of what the viewer has against the source, and without its noise.
    cells_psnr: [f64; 2],
    whole_psnr: [f64; 2],
    noisy: bool,
}

impl Row {
    fn row(&self) -> String {
        let psnr = |[noisy, clean]: [f64; 2]| {
            if self.noisy {
                format!("{noisy:.1} ({clean:.1})")
            } else {
                format!("{noisy:.1}")
            }
        };
        format!(
            "| {} | {:.1} % | {:.2} | {} | {:.2} | {} | {:.1} |",
            self.name,
            self.cells * 100.0,
            self.cells_mbps,
            psnr(self.cells_psnr),
            self.whole_mbps,
            psnr(self.whole_psnr),
            self.whole_mbps / self.cells_mbps,
        )
    }
}

fn measure(scene: Scene) -> Result<Row, Box<dyn Error>> {
    let Scene {
        name,
        rate,
        pictures,
        mut sensor,
    } = scene;
    let first = pictures.first().ok_or("no picture")?;
    let mut encoder = Encoder::new(1, first.size(), Quality::DEFAULT)?;
    let mut canvas = Canvas::new(Arc::clone(encoder.rung()))?;
    let (mut sent, mut all, mut bytes, mut whole_bytes) = (0, 0, 0, 0);
    let (mut cells_error, mut whole_error) = ([0.0; 2], [0.0; 2]);
    let noisy = sensor.is_some();
    for (number, clean) in (1..).zip(&pictures) {
        let picture = match &mut sensor {
            Some(sensor) => &sensor.look_at(clean),
            None => clean,
        };
        let at = Duration::from_secs(number) / rate;
        let frame = encoder.encode(picture, number, MediaTime::from_duration(at))?;
        let cells = (0..).zip(&frame.cells);
        let new = cells.filter(|(_, cell)| cell.version == number);
        let new: Vec<_> = new
            .map(|(index, cell)| (index, cell.bytes.clone()))
            .collect();
        all += frame.cells.len();
        sent += new.len();
        bytes += new.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let bad = canvas.apply(&new).bad;
        if bad > 0 {
            return Err(format!("{bad} cells of {name} are bad").into());
        }
        let shown = decode_jpeg(&canvas.join().ok_or("incomplete")?)?;

        let whole = Encoder::new(1, picture.size(), Quality::DEFAULT)?;
        let whole = join(&{ whole }.encode(picture, 1, MediaTime::ZERO)?);
        whole_bytes += whole.len();
        let whole = decode_jpeg(&whole)?;
        for (reference, source) in [picture, clean].into_iter().enumerate() {
            cells_error[reference] += squared_error(&shown, source);
            whole_error[reference] += squared_error(&whole, source);
        }
    }
    let count = pictures.len() as f64;
    let mbps = |bytes: usize| bytes as f64 * 8.0 * f64::from(rate) / count / 1e6;
    Ok(Row {
        name,
        cells: sent as f64 / all as f64,
        cells_mbps: mbps(bytes),
        whole_mbps: mbps(whole_bytes),
        cells_psnr: cells_error.map(|sum| psnr(sum / count)),
        whole_psnr: whole_error.map(|sum| psnr(sum / count)),
        noisy,
    })
}
