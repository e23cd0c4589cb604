//! Which cells of a picture are to be coded: those that changed, those that came to rest, and a few in turn.
//!
//! A cell is compared with the pixels that were **coded last** for it, never with the picture before, so that a slow
//! fade adds up until it is seen. Of every 8x8 block of luma and chroma two sums decide: that of the absolute
//! differences, and that of the signed ones, in which noise cancels out and a shift of brightness or colour does not;
//! the signed sums are also looked at over 16x16 px and over the whole cell, where noise cancels out further. What
//! they may come to by noise alone is estimated ([`noise`]). What exceeds that
//!
//! - **clearly**, in any one block or by any one sample, is coded at once;
//! - **faintly** (no more than somebody might see who looks for it) is coded within [`SOON`], so many cells at a time;
//! - and a cell that was coded because it had changed and has since been at **rest** is coded once more, within the
//!   same time and bounds: what is left of its movement may have been too little to be told from noise.
//!
//! So a second after a movement has ended the viewer has what coding the whole picture would have given him, but for
//! the noise. Every cell is coded anew within [`REFRESH`], in turn, in case anything went wrong.
//!
//! Thresholds that follow the noise of the source, tests on sums over blocks, and refreshing in turn are old friends
//! from conditional replenishment (Mounts, *A video encoding system with conditional picture-element replenishment*,
//! 1969; McCanne and Jacobson's *vic*, 1995, which codes again what has come to rest, "background fill"). What a noise
//! of so much comes to in a sum of so many samples is textbook change detection (Aach, Kaup, Mester, *Statistical
//! model-based change detection in moving video*, 1993).

mod compare;
mod noise;
mod pace;
mod place;

use std::sync::Arc;
use std::time::Duration;

use crate::media::{CellIndex, Grid, MediaTime, Picture};
use compare::Finding;
use noise::Noise;
use pace::{Pace, Turn};
use place::Place;

/// Compares pictures with the pixels that were coded last, cell by cell.
#[derive(Debug)]
pub(super) struct Detector {
    grid: Grid,
    /// Each cell as it was when it was coded last. Shared with the source, and with those who code it, where all were
    /// coded at once.
    coded: Arc<Picture>,
    cells: Vec<State>,
    /// How bright each 8x8 block of `coded` is, by cells.
    levels: Vec<u8>,
    noise: Noise,
    /// The capture time of the picture before.
    last: Option<MediaTime>,
    /// The cell whose turn to be refreshed is next.
    turn: usize,
    refreshing: Pace,
    /// The cell that is asked first whether it is to be coded without haste.
    unhurried: usize,
    gentle: Pace,
}

/// What is known of a cell.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// When it was coded last.
    coded_at: Option<MediaTime>,
    /// When it was last coded because it had changed; `None` once it was coded at rest.
    moved_at: Option<MediaTime>,
    /// What is to become of it in the picture at hand.
    fate: Fate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Stays,
    Coded,
    /// Is to be coded soon: it has changed a little.
    Changed,
    /// Is to be coded soon: it has come to rest.
    Rests,
}

impl Detector {
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            coded: Arc::new(Picture::filled(grid.size(), [0, 128, 128])),
            cells: vec![State::default(); grid.count()],
            levels: vec![0; grid.count() * place::blocks(grid)],
            noise: Noise::new(grid.size()),
            last: None,
            turn: 0,
            refreshing: Pace::default(),
            unhurried: 0,
            gentle: Pace::default(),
        }
    }

    /// Fills `out` with the cells to be coded now, in raster order. `picture` must have the grid's size.
    pub(super) fn select(
        &mut self,
        picture: &Picture,
        capture: MediaTime,
        out: &mut Vec<CellIndex>,
    ) {
        out.clear();
        let elapsed = self.last.map_or(Duration::ZERO, |last| capture.since(last));
        if self.last.is_some_and(|last| last > capture) {
            self.begin_anew(capture);
        }
        self.last = Some(capture);
        self.noise.observe(picture, elapsed);
        let count = self.grid.count();
        let turn = Turn {
            from: self.turn,
            cells: self.refreshing.take(elapsed, count, ROUND),
            count,
        };
        self.turn = turn.end();
        let refreshed = self.judge(picture, capture, elapsed, &turn);
        let places = self.gentle.take(elapsed, count, SOON);
        self.without_haste(places.saturating_sub(refreshed), capture);
        let coded = (0u32..).zip(&self.cells);
        out.extend(coded.filter_map(|(index, cell)| (cell.fate == Fate::Coded).then_some(index)));
    }

    /// Says what is to become of each cell, and how many are coded only because it is their turn.
    fn judge(
        &mut self,
        picture: &Picture,
        capture: MediaTime,
        elapsed: Duration,
        turn: &Turn,
    ) -> usize {
        let mut refreshed = 0;
        let blocks = place::blocks(self.grid);
        let levels = self.levels.chunks_exact(blocks);
        for (index, (cell, levels)) in self.cells.iter_mut().zip(levels).enumerate() {
            let age = cell.coded_at.map(|at| capture.since(at));
            let Some(age) = age.filter(|age| *age + elapsed < REFRESH) else {
                cell.fate = Fate::Coded;
                continue;
            };
            let resting = cell.moved_at.map(|at| capture.since(at) >= REST);
            if age >= YOUNG && turn.contains(index) {
                cell.fate = Fate::Coded;
                if resting == Some(true) {
                    cell.moved_at = None;
                }
                refreshed += 1;
                continue;
            }
            let place = Place::of(self.grid, index);
            let found = place.compare(picture, &self.coded, levels, self.noise.limits());
            cell.fate = match (found, resting) {
                (Finding::Clear, _) => {
                    cell.moved_at = Some(capture);
                    Fate::Coded
                }
                (Finding::Faint, _) => Fate::Changed,
                (Finding::Noise, Some(true)) => Fate::Rests,
                (Finding::Same, Some(true)) => {
                    cell.moved_at = None;
                    Fate::Stays
                }
                (Finding::Noise | Finding::Same, _) => Fate::Stays,
            };
        }
        refreshed
    }

    /// Of the cells that are to be coded soon, lets so many be coded now; all have their chance in turn.
    fn without_haste(&mut self, places: usize, capture: MediaTime) {
        let (before, after) = self.cells.split_at_mut(self.unhurried);
        let offset = before.len();
        let after = after.iter_mut().zip(offset..);
        let waiting = after
            .chain(before.iter_mut().zip(0..))
            .filter(|(cell, _)| matches!(cell.fate, Fate::Changed | Fate::Rests));
        let mut next = self.unhurried;
        for (cell, index) in waiting.take(places) {
            cell.moved_at = (cell.fate == Fate::Changed).then_some(capture);
            cell.fate = Fate::Coded;
            next = index + 1;
        }
        self.unhurried = next % self.grid.count();
    }

    /// The source's clock began anew: what was coded counts from now.
    fn begin_anew(&mut self, capture: MediaTime) {
        for cell in &mut self.cells {
            let times = [&mut cell.coded_at, &mut cell.moved_at];
            times.into_iter().flatten().for_each(|time| *time = capture);
        }
    }

    /// Keeps `cells` of `picture`, which are coded: the whole picture if these are all, else a copy of them. May be
    /// called while they are being coded.
    pub(super) fn keep(&mut self, picture: &Arc<Picture>, cells: &[CellIndex], capture: MediaTime) {
        if cells.len() == self.grid.count() {
            self.coded = Arc::clone(picture);
        } else if !Arc::ptr_eq(&self.coded, picture) {
            // The source has let go of what was kept whole, so this copies nothing but the cells.
            let coded = Arc::make_mut(&mut self.coded);
            for &cell in cells {
                Place::of(self.grid, cell as usize).copy(picture, coded);
            }
        }
        let blocks = place::blocks(self.grid);
        for &cell in cells {
            let cell = cell as usize;
            let levels = &mut self.levels[cell * blocks..][..blocks];
            Place::of(self.grid, cell).brightness(picture.y(), levels);
            self.cells[cell].coded_at = Some(capture);
        }
    }

    /// Coding what was kept has failed: `cells` are due again.
    pub(super) fn forget(&mut self, cells: &[CellIndex]) {
        for &cell in cells {
            self.cells[cell as usize].coded_at = None;
        }
    }
}

/// Every cell is coded anew at least this often.
const REFRESH: Duration = Duration::from_secs(3);

/// All cells have their turn in this time ...
const ROUND: Duration = Duration::from_millis(2600);

/// ... but one that was coded so recently is left out. Together less than [`REFRESH`], so that no cell ever has to be
/// refreshed out of turn, and a burst be refreshed in a burst.
const YOUNG: Duration = Duration::from_millis(300);

/// A cell that has not changed for so long is at rest.
const REST: Duration = Duration::from_millis(150);

/// In this time as many cells as there are can be coded without haste; with [`REST`] less than a second.
const SOON: Duration = Duration::from_millis(750);

#[cfg(test)]
mod tests;
