//! Which cells of a picture are to be coded: those that changed, and a few in turn.

use std::sync::Arc;
use std::time::Duration;

use crate::media::{CellIndex, Grid, MediaTime, Picture};

/// Compares pictures with the pixels that were coded last, cell by cell.
#[derive(Debug)]
pub(super) struct Detector {
    grid: Grid,
    /// Each cell as it was when it was coded last. Shared with those who code it, while they do.
    coded: Arc<Picture>,
    /// When that was.
    coded_at: Vec<Option<MediaTime>>,
    /// The capture time of the picture before.
    last: Option<MediaTime>,
    /// The cell whose turn to be refreshed is next.
    turn: usize,
    /// Cells due in turn, in millionths.
    owed: u64,
}

impl Detector {
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            coded: Arc::new(Picture::filled(grid.size(), [0, 128, 128])),
            coded_at: vec![None; grid.count()],
            last: None,
            turn: 0,
            owed: 0,
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
            // The source's clock began anew: what was coded counts from now.
            self.coded_at
                .iter_mut()
                .flatten()
                .for_each(|at| *at = capture);
        }
        self.last = Some(capture);
        let turn = self.take_turn(elapsed);
        for (index, at) in (0u32..).zip(&self.coded_at) {
            let cell = index as usize;
            let due = at.is_none_or(|at| {
                let age = capture.since(at);
                age + elapsed >= REFRESH || (age >= REFRESH / 2 && turn.contains(cell))
            });
            if due || self.changed(picture, cell) {
                out.push(index);
            }
        }
    }

    /// Copies `cells` of `picture` and gives a picture in which they are, to be coded; anything may be in its other
    /// cells. A copy has to be kept anyway, and this one can be shared with other threads.
    pub(super) fn keep(
        &mut self,
        picture: &Picture,
        cells: &[CellIndex],
        capture: MediaTime,
    ) -> Arc<Picture> {
        // Nobody else has it between two pictures, so this copies nothing.
        let coded = Arc::make_mut(&mut self.coded);
        if cells.len() == self.grid.count() {
            let [y, cb, cr] = coded.planes_mut();
            y.copy_from_slice(picture.y());
            cb.copy_from_slice(picture.cb());
            cr.copy_from_slice(picture.cr());
            self.coded_at.fill(Some(capture));
            return Arc::clone(&self.coded);
        }
        for &cell in cells {
            let cell = cell as usize;
            let planes = PlaneRect::of(self.grid, cell);
            let from = [picture.y(), picture.cb(), picture.cr()];
            for ((rect, from), to) in planes.iter().zip(from).zip(coded.planes_mut()) {
                for range in rect.lines() {
                    to[range.clone()].copy_from_slice(&from[range]);
                }
            }
            self.coded_at[cell] = Some(capture);
        }
        Arc::clone(&self.coded)
    }

    /// Coding what was kept has failed: `cells` are due again.
    pub(super) fn forget(&mut self, cells: &[CellIndex]) {
        for &cell in cells {
            self.coded_at[cell as usize] = None;
        }
    }

    /// The cells that are looked at for refreshing, so many that all have their turn in half of [`REFRESH`].
    fn take_turn(&mut self, elapsed: Duration) -> Turn {
        let count = self.grid.count();
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let period = u64::try_from((REFRESH / 2).as_micros()).unwrap_or(u64::MAX);
        let grown = micros.min(period).saturating_mul(count as u64);
        self.owed += grown;
        let cells = usize::try_from(self.owed / period).map_or(count, |cells| cells.min(count));
        self.owed %= period;
        let from = self.turn;
        self.turn = (from + cells) % count;
        Turn { from, cells, count }
    }

    fn changed(&self, picture: &Picture, cell: usize) -> bool {
        let now = [picture.y(), picture.cb(), picture.cr()];
        let then = [self.coded.y(), self.coded.cb(), self.coded.cr()];
        let planes = PlaneRect::of(self.grid, cell);
        planes
            .iter()
            .zip(now)
            .zip(then)
            .any(|((rect, now), then)| differs(rect, now, then))
    }
}

/// Neighbouring cells, around the end.
struct Turn {
    from: usize,
    cells: usize,
    count: usize,
}

impl Turn {
    const fn contains(&self, cell: usize) -> bool {
        (cell + self.count - self.from) % self.count < self.cells
    }
}

/// Where a cell lies in one plane.
struct PlaneRect {
    stride: usize,
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl PlaneRect {
    fn of(grid: Grid, cell: usize) -> [Self; 3] {
        let size = grid.size();
        let left = cell % grid.columns() * grid.cell_width();
        let top = cell / grid.columns() * grid.cell_height();
        let rect = |half: usize, width: usize, height: usize| Self {
            stride: width,
            left: left / half,
            right: ((left + grid.cell_width()) / half).min(width),
            top: top / half,
            bottom: ((top + grid.cell_height()) / half).min(height),
        };
        let chroma = || rect(2, size.chroma_width(), size.chroma_height());
        [rect(1, size.width(), size.height()), chroma(), chroma()]
    }

    fn lines(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        (self.top..self.bottom).map(|y| y * self.stride + self.left..y * self.stride + self.right)
    }
}

fn differs(rect: &PlaneRect, now: &[u8], then: &[u8]) -> bool {
    let mut sum = 0;
    let mut samples = 0;
    for range in rect.lines() {
        let (now, then) = (&now[range.clone()], &then[range]);
        let difference = || now.iter().zip(then).map(|(a, b)| a.abs_diff(*b));
        if difference().fold(0, u8::max) > PEAK {
            return true;
        }
        sum += difference().map(u32::from).sum::<u32>();
        samples += now.len();
    }
    sum as usize > samples * MEAN
}

/// Every cell is coded anew at least this often.
const REFRESH: Duration = Duration::from_secs(3);

/// A cell has changed when its samples differ by more than this in the mean. A still webcam's noise differs by 1 to 2
/// from picture to picture; a change that stays below this is seen by nobody, and mended by the next refresh.
const MEAN: usize = 2;

/// ... or when any one sample differs by more than this: a pointer, a letter.
const PEAK: u8 = 20;
