//! What is coded when, of sources with and without noise.

use proptest::prelude::*;

use super::*;
use crate::codec::testing::{photo, size};
use crate::media::Size;

/// Between two pictures.
const INTERVAL: u64 = 33;

/// Pictures a second, or so.
const SECOND: usize = 30;

/// A source of pictures, what was last coded of them, and how much was.
struct Scene {
    clean: Picture,
    /// Standard deviation of the noise of a dark and of a bright sample.
    noise: [f32; 2],
    seed: u64,
    detector: Detector,
    now: u64,
    due: Vec<CellIndex>,
    coded: Picture,
}

impl Scene {
    fn new(clean: Picture, noise: [f32; 2]) -> Self {
        Self {
            detector: Detector::new(Grid::for_size(clean.size())),
            coded: clean.clone(),
            clean,
            noise,
            seed: 1,
            now: 0,
            due: Vec::new(),
        }
    }

    /// The next picture; gives how many cells are coded.
    fn step(&mut self) -> usize {
        let picture = Arc::new(self.noisy());
        let at = MediaTime::from_duration(Duration::from_millis(self.now));
        self.now += INTERVAL;
        self.detector.select(&picture, at, &mut self.due);
        self.detector.keep(&picture, &self.due, at);
        self.coded.clone_from(&self.detector.coded);
        self.due.len()
    }

    fn steps(&mut self, count: usize) -> usize {
        (0..count).map(|_| self.step()).sum()
    }

    fn noisy(&mut self) -> Picture {
        let mut picture = self.clean.clone();
        let [dark, bright] = self.noise;
        if dark > 0.0 || bright > 0.0 {
            for (plane, samples) in picture.planes_mut().into_iter().enumerate() {
                for sample in samples {
                    let brightness = if plane == 0 { *sample } else { 128 };
                    let deviation = dark + (bright - dark) * f32::from(brightness) / 255.0;
                    let noisy = f32::from(*sample) + self.normal() * deviation;
                    *sample = num(noisy);
                }
            }
        }
        picture
    }

    /// Normal, or nearly so.
    fn normal(&mut self) -> f32 {
        let mut sum = 0;
        for _ in 0..2 {
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            sum += [0, 16, 32, 48]
                .map(|shift| self.seed >> shift & 0xffff)
                .iter()
                .sum::<u64>();
        }
        // Of 8 even ones: mean 4, variance 8/12.
        (sum as f32 / 65536.0 - 4.0) / 0.8165
    }

    /// How far the mean of any 16x16 px that was coded is from the picture without noise.
    fn worst_block(&self) -> f32 {
        let width = self.clean.size().width();
        let rows = self.clean.size().height() / 16;
        let mut worst = 0.0f32;
        for row in 0..rows {
            for column in 0..width / 16 {
                let mut sum = 0;
                for y in row * 16..row * 16 + 16 {
                    let line = y * width + column * 16..y * width + column * 16 + 16;
                    let now = self.clean.y()[line.clone()].iter();
                    let then = self.coded.y()[line].iter();
                    sum += now
                        .zip(then)
                        .map(|(a, b)| i32::from(*a) - i32::from(*b))
                        .sum::<i32>();
                }
                worst = worst.max((sum as f32 / 256.0).abs());
            }
        }
        worst
    }

    /// Pastes part of another picture.
    fn paste(&mut self, from: &Picture, (x, y): (usize, usize), side: usize) {
        let size = self.clean.size();
        let strides = [size.width(), size.chroma_width(), size.chroma_width()];
        let from = [from.y(), from.cb(), from.cr()];
        for (plane, (to, from)) in self.clean.planes_mut().into_iter().zip(from).enumerate() {
            let half = if plane == 0 { 1 } else { 2 };
            for row in y / half..(y + side) / half {
                let start = row * strides[plane] + x / half;
                to[start..start + side / half].copy_from_slice(&from[start..start + side / half]);
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "conversion to integers saturates"
)]
fn num(sample: f32) -> u8 {
    sample.round() as u8
}

fn part() -> Size {
    size(640, 352)
}

/// Cells in that.
const CELLS: usize = 88;

#[test]
fn a_sensor_s_noise_is_never_coded_but_in_turn() {
    for noise in [[0.3, 0.3], [1.0, 1.0], [1.0, 4.0], [3.0, 1.0], [6.0, 6.0]] {
        let mut scene = Scene::new(photo(part(), 0), noise);
        scene.steps(SECOND);
        let coded = scene.steps(SECOND * 3);
        // Once, or now and then twice.
        assert!(coded < CELLS * 3 / 2, "noise of {noise:?}: {coded} cells");
    }
}

#[test]
fn without_noise_the_faintest_change_is_coded_within_a_second() {
    for plane in 0..3 {
        let mut scene = Scene::new(photo(part(), 0), [0.0; 2]);
        scene.steps(SECOND);
        for sample in scene.clean.planes_mut()[plane]
            .iter_mut()
            .skip(8000)
            .take(24)
        {
            *sample ^= 1;
        }
        scene.steps(SECOND);
        assert!(scene.coded == scene.clean, "plane {plane}");
    }
}

#[test]
fn a_fade_that_is_slower_than_the_noise_does_not_slip_through() {
    for noise in [[0.0; 2], [1.0, 1.0], [2.0, 4.0]] {
        let mut scene = Scene::new(photo(part(), 0), noise);
        scene.steps(SECOND);
        for fade in 0..120 {
            if fade % 15 == 0 {
                let y = scene.clean.planes_mut()[0].iter_mut();
                y.for_each(|y| *y = y.saturating_add(1).min(250));
            }
            scene.step();
            let most = 2.5 + noise[1] / 4.0;
            assert!(
                scene.worst_block() < most,
                "noise of {noise:?}, picture {fade}"
            );
        }
    }
}

#[test]
fn a_slight_change_of_colour_is_seen_through_the_noise() {
    let mut scene = Scene::new(photo(part(), 0), [3.0, 3.0]);
    scene.steps(SECOND * 2);
    // Two levels over 160x16 px.
    for row in 80..88 {
        for sample in &mut scene.clean.planes_mut()[1][row * 320..row * 320 + 80] {
            *sample += 2;
        }
    }
    let mut coded = false;
    for _ in 0..SECOND {
        scene.step();
        coded |= scene.due.contains(&40);
    }
    assert!(coded);
}

#[test]
fn noise_that_rises_is_known_within_a_second() {
    let mut scene = Scene::new(photo(part(), 0), [0.0; 2]);
    scene.steps(SECOND);
    scene.noise = [4.0, 5.0];
    scene.steps(SECOND);
    // What was coded before it was known comes to rest ...
    for _ in 0..SECOND {
        assert!(scene.step() <= CELLS / 20 + 2);
    }
    assert!(scene.steps(SECOND) < CELLS / 2);
    // ... and noise that falls.
    scene.noise = [0.5, 0.5];
    scene.steps(SECOND);
    let mut faint = scene.clean.clone();
    faint.planes_mut()[0]
        .iter_mut()
        .for_each(|y| *y = y.saturating_sub(3));
    scene.paste(&faint, (320, 160), 96);
    scene.steps(SECOND);
    assert!(scene.worst_block() < 0.5);
}

#[test]
fn what_moves_is_not_taken_for_noise() {
    // The whole picture, slowly and quickly.
    for speed in [1, 2, 7, 24] {
        let mut scene = Scene::new(photo(part(), 0), [1.0, 1.0]);
        scene.steps(SECOND);
        let before = scene.detector.noise.limits().of(0)[20].clear_absolute;
        for picture in 0..SECOND * 2 {
            scene.clean = photo(part(), picture * speed);
            scene.step();
        }
        let after = scene.detector.noise.limits().of(0)[20].clear_absolute;
        assert!(after < before * 2, "{speed} px: from {before} to {after}");
    }
}

#[test]
fn pictures_shown_twice_do_not_hide_the_noise() {
    let mut scene = Scene::new(photo(part(), 0), [2.0, 3.0]);
    let mut coded = 0;
    for picture in 0..SECOND * 2 {
        let seed = scene.seed;
        scene.step();
        scene.seed = seed;
        let again = scene.step();
        if picture > SECOND {
            coded += again;
        }
    }
    assert!(coded < CELLS, "{coded} cells");
}

#[test]
fn a_cut_is_coded_at_once_and_what_comes_after_it_bit_by_bit() {
    let mut scene = Scene::new(photo(part(), 0), [2.0, 2.0]);
    scene.steps(SECOND);
    scene.clean = photo(part(), 200);
    assert!(scene.step() > CELLS * 9 / 10);
    let mut after = 0;
    for picture in 0..SECOND {
        let coded = scene.step();
        // A twentieth of the picture, and what the cut left over.
        assert!(
            coded <= CELLS / 20 + 2,
            "{coded} cells, {picture} pictures later"
        );
        after += coded;
    }
    assert!(after >= CELLS * 9 / 10, "{after} cells came to rest");
}

#[test]
fn a_screen_at_rest_is_coded_only_in_turn() {
    let mut scene = Scene::new(photo(part(), 0), [0.0; 2]);
    scene.steps(SECOND);
    let shifted = photo(part(), 3);
    scene.paste(&shifted, (64, 64), 128);
    scene.step();
    // No noise, nothing left over: nothing to be mended.
    assert!(scene.steps(SECOND) <= CELLS / 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn nothing_is_left_of_a_movement_a_second_after_its_end(
        noise in 0.0f32..5.0,
        slope in 0.5f32..2.0,
        side in 3usize..8,
        speed in 1usize..9,
        contrast in 1u8..=4,
        (x, y) in (0usize..160, 0usize..150),
    ) {
        let clean = photo(part(), 0);
        let mut scene = Scene::new(clean.clone(), [noise, noise * slope]);
        scene.steps(SECOND / 2);
        // Something else, more or less alike, moves and slows down.
        let mut other = photo(part(), 77);
        for (plane, below) in other.planes_mut().into_iter().zip([clean.y(), clean.cb(), clean.cr()]) {
            for (sample, below) in plane.iter_mut().zip(below) {
                let step = (i16::from(*sample) - i16::from(*below)) / i16::from(contrast).pow(2);
                *sample = u8::try_from(i16::from(*below) + step).unwrap();
            }
        }
        for picture in 0..SECOND {
            scene.clean.clone_from(&clean);
            let way = picture * speed - picture * picture * speed / 2 / SECOND;
            scene.paste(&other, (x / 2 * 2 + way, y / 2 * 2), side * 16);
            scene.step();
        }
        scene.steps(SECOND);
        // Of 256 samples the noise's mean, six deviations of it, and a level.
        let most = noise * slope.max(1.0) / 16.0 * 6.0 + 1.0;
        prop_assert!(scene.worst_block() < most, "{} of {most}", scene.worst_block());
    }
}
