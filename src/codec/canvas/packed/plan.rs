//! How a set of cells is decoded at least cost, without seams.
//!
//! Chroma is interpolated across rows, so a cell looks right only between its true neighbours. Few cells are packed
//! into a tall picture in vertical runs, each with the held cell above and below it as guards; many are decoded in
//! bands of whole rows, with a guard row above and below. At the picture's top and bottom there is no neighbour, and
//! the edge of the decoded picture has to stand for that of the whole one.

use std::ops::Range;

use crate::media::Grid;

/// One picture to be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Runs stacked on each other, one cell wide.
    Packed(Vec<Run>),
    /// Whole rows of cells.
    Band(Range<usize>),
}

impl Job {
    /// The cells that it paints, changed or not.
    pub(super) fn cells(&self, grid: Grid) -> impl Iterator<Item = usize> {
        let (runs, rows) = match self {
            Self::Packed(runs) => (&runs[..], 0..0),
            Self::Band(rows) => (&[][..], rows.clone()),
        };
        let columns = grid.columns();
        let of_run = move |run: &Run| {
            let column = run.column;
            run.rows.clone().map(move |row| row * columns + column)
        };
        let of_band = rows.start * columns..rows.end * columns;
        runs.iter().flat_map(of_run).chain(of_band)
    }
}

/// Neighbouring rows of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) column: usize,
    pub(super) rows: Range<usize>,
}

/// `rows` and the guards that there are.
pub(super) fn with_guards(rows: &Range<usize>, grid: Grid) -> Range<usize> {
    rows.start.saturating_sub(1)..(rows.end + 1).min(grid.rows())
}

/// Chooses for the cells that `changed` says (one bool a cell), to be done on up to `workers` threads.
pub(super) fn plan(changed: &[bool], grid: Grid, workers: usize) -> Vec<Job> {
    let runs = runs(changed, grid);
    let bands = bands(changed, grid);
    let packed_cost: usize = runs
        .iter()
        .map(|run| with_guards(&run.rows, grid).len())
        .sum();
    let band_cost: usize = bands
        .iter()
        .map(|rows| with_guards(rows, grid).len() * grid.columns())
        .sum();
    let jobs = pack(runs, grid, workers);
    // Each further picture has a header to be read.
    if band_cost <= packed_cost + jobs.len().saturating_sub(bands.len()) * HEADER_COST {
        split(bands, grid, workers)
    } else {
        jobs
    }
}

fn runs(changed: &[bool], grid: Grid) -> Vec<Run> {
    let mut runs = Vec::new();
    for column in 0..grid.columns() {
        let at = |row: usize| changed[row * grid.columns() + column];
        runs.extend(stretches(grid.rows(), at).map(|rows| Run { column, rows }));
    }
    runs
}

fn bands(changed: &[bool], grid: Grid) -> Vec<Range<usize>> {
    let columns = grid.columns();
    let at = |row: usize| changed[row * columns..][..columns].contains(&true);
    let mut bands: Vec<Range<usize>> = Vec::new();
    for rows in stretches(grid.rows(), at) {
        match bands.last_mut() {
            // Guards for two cost more than the rows between.
            Some(last) if rows.start <= last.end + 2 => last.end = rows.end,
            _ => bands.push(rows),
        }
    }
    bands
}

/// The stretches of `0..length` in which `at` holds.
fn stretches(length: usize, at: impl Fn(usize) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = (from..length).find(|&i| at(i))?;
        let end = (start..length).find(|&i| !at(i)).unwrap_or(length);
        from = end;
        Some(start..end)
    })
}

/// Cuts bands so that every worker has one.
fn split(bands: Vec<Range<usize>>, grid: Grid, workers: usize) -> Vec<Job> {
    let total: usize = bands.iter().map(ExactSizeIterator::len).sum();
    let share = total.div_ceil(workers).clamp(1, MAX_PIXEL_ROWS / 16 - 2);
    let mut jobs = Vec::new();
    for band in bands {
        let parts = band.len().div_ceil(share).max(1);
        let each = band.len().div_ceil(parts).max(1);
        let mut start = band.start;
        while start < band.end {
            let end = (start + each).min(band.end);
            jobs.push(Job::Band(start..end));
            start = end;
        }
    }
    debug_assert!(jobs.len() <= grid.rows());
    jobs
}

/// Distributes runs over pictures. A run at the picture's top must come first in its picture, one at the bottom last.
fn pack(runs: Vec<Run>, grid: Grid, workers: usize) -> Vec<Job> {
    let mut tops = Vec::new();
    let mut bottoms = Vec::new();
    let mut middles = Vec::new();
    let mut jobs = Vec::new();
    let mut total = 0;
    for run in runs {
        total += with_guards(&run.rows, grid).len();
        match (run.rows.start == 0, run.rows.end == grid.rows()) {
            (true, true) => jobs.push(Job::Packed(vec![run])),
            (true, false) => tops.push(run),
            (false, true) => bottoms.push(run),
            (false, false) => middles.push(run),
        }
    }
    let edges = tops.len().max(bottoms.len());
    let limit = MAX_PIXEL_ROWS / 16 - 2 * (grid.rows() + 2);
    let share = total.div_ceil(workers).max(1).min(limit);
    let mut tops = tops.into_iter();
    let mut bottoms = bottoms.into_iter();
    let mut middles = middles.into_iter().peekable();
    let mut made = 0;
    while made < edges || middles.peek().is_some() {
        let mut packed: Vec<Run> = tops.next().into_iter().collect();
        let last = bottoms.next();
        let cells = |run: &Run| with_guards(&run.rows, grid).len();
        let mut strips: usize = packed.iter().chain(&last).map(cells).sum();
        while let Some(run) = middles.next_if(|run| strips == 0 || strips + cells(run) <= share) {
            strips += cells(&run);
            packed.push(run);
        }
        packed.extend(last);
        jobs.push(Job::Packed(packed));
        made += 1;
    }
    jobs
}

/// Reading a header costs as much as decoding this many cells.
const HEADER_COST: usize = 2;

/// The most rows of pixels in one decoded picture: enough for the tallest column with guards, three times over.
const MAX_PIXEL_ROWS: usize = 32_768;
