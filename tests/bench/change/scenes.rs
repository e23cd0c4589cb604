//! What a server is shown.

use std::io;

use tunnelcast::glyph::Face;
use tunnelcast::media::{Picture, Size};

use crate::material::{Sensor, film, photograph};

/// Pictures of one kind of source.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) rate: u32,
    /// As the world is.
    pub(crate) pictures: Vec<Picture>,
    /// What a camera adds to it.
    pub(crate) sensor: Option<Sensor>,
}

/// All of them, `seconds` long.
pub(crate) fn all(seconds: f32) -> io::Result<Vec<Scene>> {
    let count = |rate: f32| num(rate * seconds);
    let film = film(count(25.0))?;
    let still = film.first().cloned().into_iter().cycle();
    Ok(vec![
        Scene {
            name: "film",
            rate: 25,
            pictures: film.clone(),
            sensor: None,
        },
        Scene {
            name: "photograph, panned 4 px a picture",
            rate: 30,
            pictures: pan(&photograph()?, count(30.0)),
            sensor: None,
        },
        Scene {
            name: "camera, somebody moving",
            rate: 25,
            pictures: somebody(&film),
            sensor: Some(SENSOR),
        },
        Scene {
            name: "camera, nobody there",
            rate: 25,
            pictures: still.take(film.len()).collect(),
            sensor: Some(SENSOR),
        },
        Scene {
            name: "screen: typing, scrolling, reading",
            rate: 30,
            pictures: screen(count(30.0))?,
            sensor: None,
        },
    ])
}

/// A deviation of 1.5 levels in the dark, 2.5 in the middle and 3.1 where it is bright.
const SENSOR: Sensor = Sensor::new(2.25, 0.03);

/// Goes around the photograph.
fn pan(photograph: &Picture, count: usize) -> Vec<Picture> {
    let mut picture = photograph.clone();
    let size = picture.size();
    let mut pictures = Vec::with_capacity(count);
    for _ in 0..count {
        pictures.push(picture.clone());
        let [y, cb, cr] = picture.planes_mut();
        y.chunks_mut(size.width())
            .for_each(|row| row.rotate_left(4));
        for plane in [cb, cr] {
            let rows = plane.chunks_mut(size.chroma_width());
            rows.for_each(|row| row.rotate_left(2));
        }
    }
    pictures
}

/// The film's first picture, and in front of it, walking to and fro, who moves in the film.
fn somebody(film: &[Picture]) -> Vec<Picture> {
    let Some(still) = film.first() else {
        return Vec::new();
    };
    let size = still.size();
    let mut pictures = Vec::with_capacity(film.len());
    for (index, film) in film.iter().enumerate() {
        let mut picture = still.clone();
        let right = num(460.0 - 80.0 * (index as f32 / 20.0).cos()) / 2 * 2;
        let strides = [size.width(), size.chroma_width(), size.chroma_width()];
        let from = [film.y(), film.cb(), film.cr()];
        for (plane, (to, from)) in picture.planes_mut().into_iter().zip(from).enumerate() {
            let half = if plane == 0 { 1 } else { 2 };
            for y in 0..size.height() / half {
                // An ellipse around the body.
                let down = ((y * half) as f32 - 380.0) / 300.0;
                let reach = 130.0 * (1.0 - down * down).max(0.0).sqrt();
                let (from_x, to_x) = (num(440.0 - reach) / half, num(440.0 + reach) / half);
                let row = y * strides[plane];
                let right = right / half;
                to[row + from_x + right..row + to_x + right]
                    .copy_from_slice(&from[row + from_x..row + to_x]);
            }
        }
        pictures.push(picture);
    }
    pictures
}

/// A terminal: for 2 fifths of the time somebody types, for one a text runs through, for two nothing happens but that
/// the cursor blinks.
fn screen(count: usize) -> io::Result<Vec<Picture>> {
    let size = Size::new(1280, 720).map_err(io::Error::other)?;
    let text = include_str!("../../../src/wire/README.md");
    let (lines, columns) = (size.height() / FACE.height(), size.width() / FACE.width());
    let text: Vec<String> = text
        .lines()
        .map(|line| line.chars().take(columns).collect())
        .collect();
    let mut pictures = Vec::with_capacity(count);
    for index in 0..count {
        let part = index * 5 / count.max(1);
        let typed = index.min(count * 2 / 5) / 3;
        let gone = index.clamp(count * 2 / 5, count * 3 / 5) - count * 2 / 5;
        let mut page: Vec<String> = text[gone..gone + lines - 1].to_vec();
        let cursor = if part < 2 || index / 15 % 2 == 0 {
            "_"
        } else {
            ""
        };
        let command = COMMAND.chars().cycle().take(typed);
        page.push(format!("$ {}{cursor}", command.collect::<String>()));
        let mut picture = Picture::filled(size, [24, 128, 128]);
        let [y, ..] = picture.planes_mut();
        FACE.runs(&page.join("\n"), |left, top, length| {
            let start = top * size.width() + left;
            if left + length <= size.width() {
                y[start..start + length].fill(208);
            }
        });
        pictures.push(picture);
    }
    Ok(pictures)
}

const FACE: Face = Face::LARGE;

const COMMAND: &str = "tunnelcast watch https://example.org/camera --headless --duration 10s ";

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small and positive"
)]
fn num(number: f32) -> usize {
    number.round() as usize
}
