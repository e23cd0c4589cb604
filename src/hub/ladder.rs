//! From the best picture to the coarsest and rarest one: which steps there are for a source.
//!
//! What a step takes of the one before, in bits a second at its viewer, measured with `tests/data/bigbuckbunny.mp4`
//! (1280x720, 25 a second, 19.4 Mbit/s at the best step):
//!
//! | chosen by level | | | quality fixed to 75 | | |
//! |---|---|---|---|---|---|
//! | full 75 | | 19.39 Mbit/s | full | | 19.39 Mbit/s |
//! | full 45 | x 0.65 | 12.58 | full, 1 of 2 | x 0.56 | 10.91 |
//! | half 75 | x 0.53 | 6.67 | half | x 0.61 | 6.67 |
//! | half 45 | x 0.62 | 4.15 | half, 1 of 2 | x 0.57 | 3.77 |
//! | half 45, 1 of 2 | x 0.57 | 2.35 | quarter | x 0.46 | 1.73 |
//! | quarter 45 | x 0.45 | 1.06 | quarter, 1 of 2 | x 0.60 | 1.04 |
//! | quarter 45, 1 of 2 | x 0.60 | 0.64 | quarter, 1 of 4 | x 0.56 | 0.59 |
//! | quarter 45, 1 of 4 | x 0.56 | 0.36 | | | |
//!
//! `cargo bench --bench ladder` prints them, `cargo bench --bench ladder -- FILM` those of another film.

use crate::{
    codec::Quality,
    media::{Level, Size},
};

/// The steps for a source of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// How often the source may be halved.
    halvings: usize,
    /// What the operator has fixed; chosen by level if `None`.
    quality: Option<Quality>,
}

/// One step: how the picture is coded, and how many of them come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How it is coded.
    pub level: Level,
    /// Of so many pictures one comes; at least 1.
    pub every: u8,
}

impl Step {
    /// The source as it is, every picture.
    pub const BEST: Self = Self {
        level: Level::Full,
        every: 1,
    };
}

impl Ladder {
    /// The ladder for a source of that size. With a fixed `quality` only size and rate differ from step to step.
    pub fn new(source: Size, quality: Option<Quality>) -> Self {
        let halves = std::iter::successors(Some(source), |size| size.half().ok());
        let halvings = halves
            .skip(1)
            .take_while(|size| is_large_enough(*size))
            .take(MOST_HALVINGS)
            .count();
        Self { halvings, quality }
    }

    /// How many steps there are.
    pub const fn steps(&self) -> usize {
        self.table().len()
    }

    /// That step, or the last one if there are fewer.
    pub fn step(&self, step: usize) -> Step {
        let table = self.table();
        let (level, every) = table[step.min(table.len() - 1)];
        Step { level, every }
    }

    /// The level of the last step.
    pub fn coarsest(&self) -> Level {
        self.step(usize::MAX).level
    }

    /// Whether any step is of that level.
    pub fn has(&self, level: Level) -> bool {
        self.table().iter().any(|(other, _)| *other == level)
    }

    /// The quality of that level's pictures.
    pub fn quality(&self, level: Level) -> Quality {
        self.quality.unwrap_or(match level {
            Level::Full | Level::Half => Quality::DEFAULT,
            Level::FullCoarse | Level::HalfCoarse | Level::Quarter => COARSE,
        })
    }

    const fn table(&self) -> &'static [(Level, u8)] {
        let fixed = self.quality.is_some();
        match (fixed, self.halvings) {
            (false, 0) => &[
                (Level::Full, 1),
                (Level::FullCoarse, 1),
                (Level::FullCoarse, 2),
                (Level::FullCoarse, 4),
            ],
            (false, 1) => &[
                (Level::Full, 1),
                (Level::FullCoarse, 1),
                (Level::Half, 1),
                (Level::HalfCoarse, 1),
                (Level::HalfCoarse, 2),
                (Level::HalfCoarse, 4),
            ],
            (false, _) => &[
                (Level::Full, 1),
                (Level::FullCoarse, 1),
                (Level::Half, 1),
                (Level::HalfCoarse, 1),
                (Level::HalfCoarse, 2),
                (Level::Quarter, 1),
                (Level::Quarter, 2),
                (Level::Quarter, 4),
            ],
            (true, 0) => &[(Level::Full, 1), (Level::Full, 2), (Level::Full, 4)],
            (true, 1) => &[
                (Level::Full, 1),
                (Level::Full, 2),
                (Level::Half, 1),
                (Level::Half, 2),
                (Level::Half, 4),
            ],
            (true, _) => &[
                (Level::Full, 1),
                (Level::Full, 2),
                (Level::Half, 1),
                (Level::Half, 2),
                (Level::Quarter, 1),
                (Level::Quarter, 2),
                (Level::Quarter, 4),
            ],
        }
    }
}

/// A smaller picture shows too little to be worth having.
fn is_large_enough(size: Size) -> bool {
    let (width, height) = (size.width(), size.height());
    width.max(height) >= LEAST_LONG && width.min(height) >= LEAST_SHORT
}

const LEAST_LONG: usize = 160;
const LEAST_SHORT: usize = 90;
const MOST_HALVINGS: usize = 2;

/// Of the coarse levels.
const COARSE: Quality = match Quality::new(45) {
    Some(quality) => quality,
    None => Quality::DEFAULT,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(width: u32, height: u32, quality: Option<Quality>) -> Ladder {
        Ladder::new(Size::new(width, height).unwrap(), quality)
    }

    fn levels(ladder: Ladder) -> Vec<Level> {
        let has = |level: &Level| ladder.has(*level);
        Level::ALL.into_iter().filter(has).collect()
    }

    #[test]
    fn a_large_source_goes_down_to_a_quarter() {
        for (width, height) in [(1920, 1080), (640, 360), (360, 640), (1366, 768)] {
            assert_eq!(levels(ladder(width, height, None)), Level::ALL);
        }
    }

    #[test]
    fn a_small_source_has_fewer_sizes() {
        use Level::{Full, FullCoarse, Half, HalfCoarse};
        for (width, height) in [(320, 180), (320, 240), (240, 320)] {
            let half = [Full, FullCoarse, Half, HalfCoarse];
            assert_eq!(levels(ladder(width, height, None)), half);
        }
        for (width, height) in [(160, 90), (16, 16), (318, 180), (8192, 16)] {
            assert_eq!(levels(ladder(width, height, None)), [Full, FullCoarse]);
        }
    }

    #[test]
    fn a_fixed_quality_is_that_of_every_level() {
        let fixed = Quality::new(90);
        let ladder = ladder(1280, 720, fixed);
        assert_eq!(
            levels(ladder),
            [Level::Full, Level::Half, Level::Quarter],
            "levels that differ by size alone"
        );
        for level in levels(ladder) {
            assert_eq!(Some(ladder.quality(level)), fixed);
        }
    }

    #[test]
    fn every_ladder_begins_with_the_source_and_goes_down() {
        for quality in [None, Some(Quality::DEFAULT)] {
            for (width, height) in [(1280, 720), (320, 180), (16, 16)] {
                let ladder = ladder(width, height, quality);
                let steps: Vec<Step> = (0..ladder.steps()).map(|at| ladder.step(at)).collect();
                assert_eq!(steps[0], Step::BEST);
                assert_eq!(ladder.step(99), steps[steps.len() - 1]);
                for pair in steps.windows(2) {
                    assert!(pair[0].level < pair[1].level || pair[0].every < pair[1].every);
                    assert!(pair[0].level <= pair[1].level);
                }
            }
        }
    }
}
