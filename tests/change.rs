//! Change detection on real pictures: what a viewer has a second after everything has come to rest.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, or says that it was left out"
)]

#[path = "bench/change/material.rs"]
mod material;

use std::sync::Arc;
use std::time::Duration;

use material::{Sensor, film, photograph, psnr, squared_error};
use tunnelcast::codec::{Canvas, Encoder, Quality, decode_jpeg, join};
use tunnelcast::media::{MediaTime, Picture};

/// Shows `moving`, then its last picture for a second.
fn comes_to_rest(name: &str, moving: &[Picture], mut sensor: Sensor) {
    let rate = 25;
    let last = moving.last().unwrap();
    let mut encoder = Encoder::new(1, last.size(), Quality::DEFAULT).unwrap();
    let mut canvas = Canvas::new(Arc::clone(encoder.rung())).unwrap();
    let mut newest = None;
    let at_rest = std::iter::repeat_n(last, rate);
    for (number, scene) in (1..).zip(moving.iter().chain(at_rest)) {
        let picture = sensor.look_at(scene);
        let at = Duration::from_millis(number * 1000 / rate as u64);
        let at = MediaTime::from_duration(at);
        let frame = encoder.encode(&picture, number, at).unwrap();
        let cells = (0..).zip(&frame.cells);
        let new = cells.filter(|(_, cell)| cell.version == number);
        let new: Vec<_> = new
            .map(|(index, cell)| (index, cell.bytes.clone()))
            .collect();
        assert_eq!(canvas.apply(&new).bad, 0);
        newest = Some(picture);
    }
    let shown = decode_jpeg(&canvas.join().unwrap()).unwrap();
    let mut encoder = Encoder::new(1, last.size(), Quality::DEFAULT).unwrap();
    let whole = encoder
        .encode(&newest.unwrap(), 1, MediaTime::ZERO)
        .unwrap();
    let whole = decode_jpeg(&join(&whole)).unwrap();

    // Against the scene without the noise, which is another in every picture.
    let [ours, full] = [&shown, &whole].map(|picture| psnr(squared_error(picture, last)));
    let noise = (sensor.dark + sensor.light * 255.0).sqrt();
    let blocks = furthest_blocks(&shown, &whole);
    println!(
        "{name}, noise of {noise:.1}: {ours:.2} dB, coded whole {full:.2}; blocks {blocks:.2}"
    );
    assert!(
        ours >= full - 0.5,
        "{name}: {ours:.2} dB, coded whole {full:.2}"
    );
    // Two levels, and six deviations of the mean of 256 samples of either noise.
    let most = 2.0 + noise * std::f32::consts::SQRT_2 / 16.0 * 6.0;
    assert!(blocks <= f64::from(most), "{name}: {blocks} of {most}");
}

/// How far the means of any 16x16 px are apart.
fn furthest_blocks(a: &Picture, b: &Picture) -> f64 {
    let width = a.size().width();
    let mut worst = 0;
    for top in (0..a.size().height() - 15).step_by(16) {
        for left in (0..width - 15).step_by(16) {
            let rows = (top..top + 16).map(|y| y * width + left..y * width + left + 16);
            let sum = |plane: &[u8]| -> i64 {
                let samples = rows.clone().flat_map(|row| &plane[row]);
                samples.map(|y| i64::from(*y)).sum()
            };
            worst = worst.max((sum(a.y()) - sum(b.y())).abs());
        }
    }
    worst as f64 / 256.0
}

fn sensors() -> [Sensor; 4] {
    [(0.0, 0.0), (0.5, 0.0), (2.25, 0.03), (16.0, 0.1)]
        .map(|(dark, light)| Sensor::new(dark, light))
}

#[test]
fn a_film_that_stops_looks_as_if_it_were_coded_whole() {
    let film = match film(40) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            println!(
                "SKIPPED: a_film_that_stops_looks_as_if_it_were_coded_whole: ffmpeg is not installed"
            );
            return;
        }
        film => film.unwrap(),
    };
    for sensor in sensors() {
        comes_to_rest("film", &film[20..], sensor);
    }
}

#[test]
fn a_photograph_that_fades_and_moves_looks_in_the_end_as_if_it_were_coded_whole() {
    let photograph = photograph().unwrap();
    for (name, speed, fade) in [("slow", 1, 0), ("quick", 12, 0), ("fading", 0, 1)] {
        let moving: Vec<_> = (0..25)
            .map(|index| {
                let mut picture = photograph.clone();
                let [y, ..] = picture.planes_mut();
                y.rotate_left(index * speed);
                let darker = fade * u8::try_from(index / 4).unwrap();
                y.iter_mut().for_each(|y| *y = y.saturating_sub(darker));
                picture
            })
            .collect();
        for sensor in sensors() {
            comes_to_rest(name, &moving, sensor);
        }
    }
}
