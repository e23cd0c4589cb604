//! Cells decoded to planes, and pixels made of these when they are wanted.
//!
//! A cell is decoded alone, to samples that depend on nothing but its bytes; chroma is interpolated afterwards, over
//! the whole picture. So the pixels are the same however and in whatever order the cells came.

mod paint;
mod task;

use std::sync::Arc;

use bytes::Bytes;

use super::Applied;
use super::store::Store;
use crate::codec::jpeg::{CellDecoder, JpegError};
use crate::codec::workers::Workers;
use crate::media::{CellIndex, Grid, Rect};
use paint::Painter;
use task::Decode;

/// The cells of one rung and their planes.
#[derive(Debug)]
pub(super) struct Planes {
    store: Store,
    decoder: Arc<CellDecoder>,
    painter: Painter,
    /// Reused by the threads.
    spare: Vec<Decode>,
    workers: Workers<Decode>,
}

impl Planes {
    pub(super) fn new(grid: Grid, header: &Bytes) -> Result<Self, JpegError> {
        let store = Store::new(grid, header)?;
        Ok(Self {
            decoder: Arc::new(CellDecoder::new(Arc::clone(&store.header))?),
            store,
            painter: Painter::new(grid),
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

    /// Hands out those of `cells` that are new.
    pub(super) fn begin(&mut self, cells: &[(CellIndex, Bytes)], applied: &mut Applied) {
        let waiting = self.store.mark(cells, applied);
        if waiting > 0 {
            self.start(cells, waiting);
        }
    }

    /// Takes some that are done; `None` when none are left.
    pub(super) fn advance(&mut self) -> Option<Applied> {
        let mut task = self.workers.finish()?;
        let mut applied = Applied::default();
        for (cell, bytes, result) in task.results() {
            self.store.unmark(cell);
            match result {
                Ok(samples) => {
                    self.painter.put(cell, samples);
                    self.store.keep(cell, &bytes);
                }
                Err(fault) => applied.add_bad(fault),
            }
        }
        self.spare.push(task);
        self.painter.take_dirty(&mut applied.dirty);
        Some(applied)
    }

    /// Whether some are left.
    pub(super) fn is_underway(&self) -> bool {
        self.workers.is_busy()
    }

    /// Makes the pixels of `part`, as [`Raster::paint`](crate::media::Raster::paint); black where nothing has come.
    pub(super) fn paint(&mut self, part: Rect, out: &mut [u32], stride: usize) {
        self.painter.paint(&self.store, part, out, stride);
    }

    /// Hands out the `waiting` cells.
    fn start(&mut self, cells: &[(CellIndex, Bytes)], waiting: usize) {
        let mut share = waiting.div_ceil(self.workers.pieces(waiting));
        if waiting == self.store.grid.count() {
            // Whole rows are painted in one go.
            share = share.next_multiple_of(self.store.grid.columns());
        }
        let mut task = self.spare_task();
        let mut count = 0;
        for cell in 0..self.store.grid.count() {
            if !self.store.changed()[cell] {
                continue;
            }
            task.push(cell, cells[self.store.place(cell)].1.clone());
            count += 1;
            if count % share == 0 || count == waiting {
                let next = self.spare_task();
                self.workers.start(std::mem::replace(&mut task, next));
            }
        }
        self.spare.push(task);
    }

    fn spare_task(&mut self) -> Decode {
        let spare = self.spare.pop();
        spare.unwrap_or_else(|| Decode::new(Arc::clone(&self.decoder)))
    }
}
