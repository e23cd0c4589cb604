//! A film in the window is the film.

use std::process::Command;

use crate::rig::{Display, FILM, Program, SEEING, Serving, turn, until};

/// What is below this is another picture, or a bad one.
const LEAST_DB: f64 = 25.0;

#[test]
fn a_film_in_the_window_looks_as_ffmpeg_decodes_it() {
    let needs = [&SEEING[..], &["ffmpeg"]].concat();
    let Some(_turn) = turn("a film in the window", &needs) else {
        return;
    };
    let display = Display::start();
    let video = format!("file:{FILM}");
    let serving = Serving::start(None, &["--video", &video]);
    let mut watch = Program::watch(Some(&display), None, &serving.link, &[]);
    watch.named("connected");
    let frames = frames();
    let (number, psnr) = until("a picture of the film", || {
        // The window may just be growing to the size of its first picture.
        let luma = display.shot().luma();
        let all = frames.chunks_exact(luma.len());
        let nearest = all
            .map(|frame| psnr(&luma, frame))
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        println!("nearest is frame {} with {:.1} dB", nearest.0, nearest.1);
        Some(nearest).filter(|(_, psnr)| *psnr > LEAST_DB)
    });
    println!("the window shows frame {number} with {psnr:.1} dB");
    assert!(
        spread(&frames[number * 1280 * 720..][..1280 * 720]) > 20.0,
        "a plain picture proves nothing"
    );
}

/// The film's luma, full range, picture after picture.
fn frames() -> Vec<u8> {
    let film = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-nostdin", "-i", FILM])
        .args([
            "-vf",
            "scale=out_range=full,format=gray",
            "-f",
            "rawvideo",
            "-",
        ])
        .output()
        .unwrap();
    assert!(film.status.success());
    film.stdout
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let square = |(a, b): (&u8, &u8)| u64::from(a.abs_diff(*b)).pow(2);
    let sum: u64 = a.iter().zip(b).map(square).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / (sum as f64).max(1.0)).log10()
}

/// Standard deviation.
fn spread(luma: &[u8]) -> f64 {
    let mean = luma.iter().map(|v| f64::from(*v)).sum::<f64>() / luma.len() as f64;
    let squares: f64 = luma.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    (squares / luma.len() as f64).sqrt()
}
