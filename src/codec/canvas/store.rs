//! The cells that a viewer holds, and which of those that came are to be painted.

use std::sync::Arc;

use bytes::Bytes;

use super::{Applied, NO_SUCH_CELL};
use crate::codec::jpeg::{CellHeader, JpegError, join_cells};
use crate::media::{CellIndex, Grid};

/// The cells of one rung, as bytes.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) grid: Grid,
    pub(super) header: Arc<CellHeader>,
    /// Copies, whose memory is used again: what comes are slices of buffers that must not be kept alive. Empty where
    /// nothing has come.
    held: Vec<Vec<u8>>,
    missing: usize,
    /// Which cells are to be painted; all false between calls.
    changed: Vec<bool>,
    /// Where in the list their new bytes are.
    places: Vec<usize>,
    scratch: Vec<u8>,
}

impl Store {
    pub(super) fn new(grid: Grid, header: &Bytes) -> Result<Self, JpegError> {
        Ok(Self {
            grid,
            header: Arc::new(CellHeader::parse(header, grid)?),
            held: vec![Vec::new(); grid.count()],
            missing: grid.count(),
            changed: vec![false; grid.count()],
            places: vec![0; grid.count()],
            scratch: Vec::new(),
        })
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    pub(super) fn join(&self, header: &[u8]) -> Option<Bytes> {
        self.is_complete()
            .then(|| join_cells(header, self.held.iter().map(Vec::as_slice)))
    }

    /// Finds out which cells are to be painted, and gives their number.
    pub(super) fn mark(&mut self, cells: &[(CellIndex, Bytes)], applied: &mut Applied) -> usize {
        let mut count = 0;
        for (place, (index, bytes)) in cells.iter().enumerate() {
            let cell = *index as usize;
            if cell >= self.grid.count() {
                applied.add_bad(NO_SUCH_CELL);
            } else if self.changed[cell] {
                // One of two goes; the later one only makes the earlier one go if it is of use itself.
                match self.header.check(bytes, &mut self.scratch) {
                    Ok(()) => self.places[cell] = place,
                    Err(fault) => applied.add_bad(fault),
                }
            } else if self.held[cell] != *bytes || bytes.is_empty() {
                self.changed[cell] = true;
                self.places[cell] = place;
                count += 1;
            }
        }
        count
    }

    /// Whether each cell is to be painted.
    pub(super) fn changed(&self) -> &[bool] {
        &self.changed
    }

    /// Where in the list a changed cell's bytes are.
    pub(super) fn place(&self, cell: usize) -> usize {
        self.places[cell]
    }

    /// The bytes held; none where nothing has come.
    pub(super) fn held(&self, cell: usize) -> &[u8] {
        &self.held[cell]
    }

    /// Whether there is something to be seen at `cell`.
    pub(super) fn is_known(&self, cell: usize) -> bool {
        self.changed[cell] || !self.held[cell].is_empty()
    }

    /// Forgets that `cell` is to be painted, and says whether it was.
    pub(super) fn unmark(&mut self, cell: usize) -> bool {
        std::mem::take(&mut self.changed[cell])
    }

    /// From now on `cell` holds `bytes`.
    pub(super) fn keep(&mut self, cell: usize, bytes: &[u8]) {
        let held = &mut self.held[cell];
        self.missing -= usize::from(held.is_empty());
        held.clear();
        held.extend_from_slice(bytes);
    }
}
