//! Cells decoded to pixels, packed into pictures with guards.

mod plan;
mod task;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::store::Store;
use super::{Applied, paint_line};
use crate::codec::jpeg::JpegError;
use crate::codec::workers::Workers;
use crate::media::{CellIndex, Grid, Rect};
use plan::{Job, plan, with_guards};
use task::Decode;

/// The cells of one rung.
#[derive(Debug)]
pub(super) struct Packed {
    store: Store,
    /// Reused by the threads.
    spare: Vec<Decode>,
    workers: Workers<Decode>,
}

impl Packed {
    pub(super) fn new(grid: Grid, header: &Bytes) -> Result<Self, JpegError> {
        Ok(Self {
            store: Store::new(grid, header)?,
            spare: Vec::new(),
            workers: Workers::of_this_machine(),
        })
    }

    #[cfg(test)]
    pub(super) fn set_workers(&mut self, most: std::num::NonZeroUsize) {
        self.workers = Workers::new(most);
    }

    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn apply(&mut self, cells: &[(CellIndex, Bytes)], pixels: &mut [u32]) -> Applied {
        let mut applied = Applied::default();
        let mut waiting = self.store.mark(cells, &mut applied);
        // A second time only where a job had bad cells in it and could not be done: without them it can.
        while waiting > 0 {
            let at_once = self.workers.for_cells(waiting);
            let jobs = plan(self.store.changed(), self.store.grid, at_once);
            // In rounds, so that there are never more decoded pictures than threads.
            let mut jobs = jobs.into_iter();
            while jobs.len() > 0 {
                for job in jobs.by_ref().take(at_once) {
                    let task = self.task(job, cells);
                    self.workers.start(task);
                }
                while let Some(mut task) = self.workers.finish() {
                    if task.is_good() {
                        self.show(&task.job, &task.rgba, pixels, &mut applied.dirty);
                        self.keep(&task.job, cells);
                    } else {
                        self.refuse(&mut task, &mut applied);
                    }
                    self.spare.push(task);
                }
            }
            let changed = self.store.changed().iter();
            waiting = changed.filter(|changed| **changed).count();
        }
        applied
    }

    /// The job with all that is needed to do it on another thread.
    fn task(&mut self, job: Job, cells: &[(CellIndex, Bytes)]) -> Decode {
        let spare = self.spare.pop();
        let store = &self.store;
        let grid = store.grid;
        let mut task = spare.unwrap_or_else(|| Decode::new(Arc::clone(&store.header)));
        let columns = grid.columns();
        let bytes = |row: usize, column: usize| {
            let cell = row * columns + column;
            if store.changed()[cell] {
                (&cells[store.place(cell)].1[..], Some(cell))
            } else if store.held(cell).is_empty() {
                (store.header.blank(), None)
            } else {
                (store.held(cell), None)
            }
        };
        let (width, height) = (grid.cell_width(), grid.cell_height());
        match &job {
            Job::Packed(runs) => {
                let strips: usize = runs.iter().map(|run| self.strips(&run.rows)).sum();
                let cells = runs
                    .iter()
                    .flat_map(|run| with_guards(&run.rows, grid).map(|row| bytes(row, run.column)));
                task.fill((width, strips * height), cells);
            }
            Job::Band(rows) => {
                let rows = with_guards(rows, grid);
                let size = (width * columns, rows.len() * height);
                let cells = rows.flat_map(|row| (0..columns).map(move |column| (row, column)));
                task.fill(size, cells.map(|(row, column)| bytes(row, column)));
            }
        }
        task.job = job;
        task
    }

    /// What was painted is held from now on.
    fn keep(&mut self, job: &Job, cells: &[(CellIndex, Bytes)]) {
        for cell in job.cells(self.store.grid) {
            if self.store.unmark(cell) {
                self.store.keep(cell, &cells[self.store.place(cell)].1);
            }
        }
    }

    /// Forgets the bad cells of a task, or, where the library would not decode what was checked, all its new ones.
    fn refuse(&mut self, task: &mut Decode, applied: &mut Applied) {
        if let Some(fault) = task.failed.take() {
            for cell in task.job.cells(self.store.grid) {
                if self.store.unmark(cell) {
                    applied.add_bad(fault.clone());
                }
            }
        }
        for (cell, fault) in task.bad.drain(..) {
            // A guard is another task's cell too.
            if self.store.unmark(cell) {
                applied.add_bad(fault);
            }
        }
    }

    /// Paints what `job` decoded.
    fn show(&self, job: &Job, rgba: &[u8], pixels: &mut [u32], dirty: &mut Vec<Rect>) {
        match job {
            Job::Packed(runs) => {
                let mut strip = 0;
                for run in runs {
                    let columns = run.column..run.column + 1;
                    let part = Decoded {
                        rgba,
                        width: self.store.grid.cell_width(),
                        strip,
                    };
                    dirty.extend(self.show_rows(&run.rows, columns, part, pixels));
                    strip += self.strips(&run.rows);
                }
            }
            Job::Band(rows) => {
                let part = Decoded {
                    rgba,
                    width: self.store.grid.cell_width() * self.store.grid.columns(),
                    strip: 0,
                };
                dirty.extend(self.show_rows(rows, 0..self.store.grid.columns(), part, pixels));
            }
        }
    }

    /// Paints `rows` of `columns`, and of the guards the line that touches them, since it has their chroma in it.
    fn show_rows(
        &self,
        rows: &Range<usize>,
        columns: Range<usize>,
        part: Decoded<'_>,
        pixels: &mut [u32],
    ) -> Option<Rect> {
        let (cell_width, cell_height) =
            (self.store.grid.cell_width(), self.store.grid.cell_height());
        let size = self.store.grid.size();
        let guarded = with_guards(rows, self.store.grid);
        let top = rows.start * cell_height - usize::from(guarded.start < rows.start);
        let bottom = rows.end * cell_height + usize::from(guarded.end > rows.end);
        let bottom = bottom.min(size.height());
        let left = columns.start * cell_width;
        let right = (columns.end * cell_width).min(size.width());
        for y in top..bottom {
            let row = y / cell_height;
            let line = part.strip * cell_height + y - guarded.start * cell_height;
            let from = &part.rgba[line * part.width * 4..][..part.width * 4];
            let to = &mut pixels[y * size.width()..][..size.width()];
            let first = row * self.store.grid.columns();
            let known = |column: &usize| self.store.is_known(first + column);
            if columns.clone().all(|column| known(&column)) {
                paint_line(from, &mut to[left..right]);
                continue;
            }
            let cells = from
                .chunks(cell_width * 4)
                .zip(to[left..right].chunks_mut(cell_width));
            for ((from, to), _) in cells
                .zip(columns.clone())
                .filter(|(_, column)| known(column))
            {
                paint_line(from, to);
            }
        }
        (top < bottom && left < right).then(|| Rect {
            x: left,
            y: top,
            width: right - left,
            height: bottom - top,
        })
    }

    /// Cells that a run of `rows` takes in its picture.
    fn strips(&self, rows: &Range<usize>) -> usize {
        with_guards(rows, self.store.grid).len()
    }
}

/// Where a run or band begins in what was decoded.
#[derive(Clone, Copy)]
struct Decoded<'a> {
    rgba: &'a [u8],
    width: usize,
    /// Rows of cells before it.
    strip: usize,
}
