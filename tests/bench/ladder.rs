//! What each step of the ladder takes of the one before: a film through the coder, as a viewer on that step gets it.
//!
//! `cargo bench --bench ladder [-- FILM]` needs ffmpeg. Prints bits a second and the ratio from step to step.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark's result is what it prints, and it fails by panicking"
)]

use std::process::Command;
use std::sync::Arc;

use tunnelcast::codec::{Encoder, Quality};
use tunnelcast::container::y4m::Reader;
use tunnelcast::hub::{Ladder, Step};
use tunnelcast::media::{Extent, Frame, Level, MediaTime, Picture, VideoStep, halve};
use tunnelcast::timeline::Cursor;

/// Pictures a second, to which every film is brought.
const RATE: u32 = 25;

/// Seconds of the film.
const LENGTH: u32 = 10;

fn main() {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/bigbuckbunny.mp4");
    let mut given = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let film = given.next().unwrap_or_else(|| own.to_owned());
    let pictures = pictures(&film);
    let size = pictures[0].size();
    println!("{film}: {} pictures of {size}", pictures.len());
    for quality in [None, Some(Quality::DEFAULT)] {
        let ladder = Ladder::new(size, quality);
        let name = quality.map_or_else(
            || "by level".to_owned(),
            |quality| quality.get().to_string(),
        );
        println!("quality {name}:");
        let mut before = None;
        for step in (0..ladder.steps()).map(|at| ladder.step(at)) {
            let bits = bits(&code(&pictures, ladder, step.level), step);
            let ratio = before.map_or(1.0, |before: f64| bits / before);
            before = Some(bits);
            let Step { level, every } = step;
            let coded = ladder.quality(level).get();
            println!(
                "  {level:?} q{coded}, 1 of {every}: {:.2} Mbit/s, x {ratio:.2}",
                bits / 1e6
            );
        }
    }
}

fn pictures(film: &str) -> Vec<Picture> {
    let video = Command::new("ffmpeg")
        .args(["-v", "error", "-i", film, "-an", "-t", &LENGTH.to_string()])
        .args(["-r", &RATE.to_string(), "-pix_fmt", "yuvj420p"])
        .args(["-strict", "-1", "-f", "yuv4mpegpipe", "-"])
        .output()
        .unwrap();
    let mut pictures = Vec::new();
    let mut reader = Reader::default();
    reader
        .push(&video.stdout, |picture| pictures.push(picture))
        .unwrap();
    pictures
}

fn code(pictures: &[Picture], ladder: Ladder, level: Level) -> Vec<Arc<Frame>> {
    let mut encoder: Option<Encoder> = None;
    let number = |(number, picture): (u64, &Picture)| {
        let mut scaled = picture.clone();
        for _ in 0..level.halvings() {
            let larger = scaled.clone();
            halve(&larger, &mut scaled).unwrap();
        }
        let make = || Encoder::new(1, scaled.size(), ladder.quality(level)).unwrap();
        let capture = MediaTime::from_micros(number * 1_000_000 / u64::from(RATE));
        let encoder = encoder.get_or_insert_with(make);
        Arc::new(encoder.encode(&scaled, number, capture).unwrap())
    };
    (1..).zip(pictures).map(number).collect()
}

/// Bits a second of cells.
fn bits(frames: &[Arc<Frame>], step: Step) -> f64 {
    let mut cursor = Cursor::new();
    let mut bytes = 0;
    for frame in frames.iter().step_by(step.every.into()) {
        cursor.aim(Extent::whole(Arc::clone(frame)));
        while let Some(step) = cursor.step() {
            if let VideoStep::Cell { bytes: cell, .. } = step {
                bytes += cell.len();
            }
        }
    }
    let seconds = frames.len() as f64 / f64::from(RATE);
    bytes as f64 * 8.0 / seconds
}
