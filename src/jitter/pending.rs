//! A picture's changes while they wait: one buffer, and where in it each cell is.

use std::time::Instant;

use bytes::Bytes;

use crate::media::{CellIndex, MediaTime, RungId};

/// The cells of a frame, copied: what comes are slices of read buffers, which would be kept alive as long as they wait.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) rung: RungId,
    pub(super) frame: u64,
    pub(super) capture: MediaTime,
    cells: Vec<Held>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that belong to no cell any more.
    dead: usize,
    /// What counts towards the bounds.
    pub(super) bytes: usize,
    pub(super) since: Instant,
    pub(super) skipped: u64,
    /// Some of its cells were handed out ahead.
    pub(super) begun: bool,
}

/// Where a cell's bytes are, and the frame that they come from: on an unordered link an older version may come later.
#[derive(Clone, Copy, Debug)]
struct Held {
    cell: CellIndex,
    version: u64,
    start: usize,
    length: usize,
}

/// Finds a cell in a list: by cell index one more than its place, 0 where it is not. All 0 between uses.
#[derive(Debug, Default)]
pub(super) struct Index(Vec<u32>);

impl Index {
    fn place(&self, cell: CellIndex) -> Option<usize> {
        let place = self.0.get(cell as usize)?.checked_sub(1)?;
        Some(place as usize)
    }

    fn set(&mut self, cell: CellIndex, place: usize) {
        let cell = cell as usize;
        if self.0.len() <= cell {
            self.0.resize(cell + 1, 0);
        }
        self.0[cell] = u32::try_from(place + 1).unwrap_or(0);
    }

    fn clear(&mut self, cell: CellIndex) {
        if let Some(place) = self.0.get_mut(cell as usize) {
            *place = 0;
        }
    }
}

impl Pending {
    pub(super) const fn new(rung: RungId, frame: u64, capture: MediaTime, since: Instant) -> Self {
        Self {
            rung,
            frame,
            capture,
            cells: Vec::new(),
            buffer: Vec::new(),
            dead: 0,
            bytes: 0,
            since,
            skipped: 0,
            begun: false,
        }
    }

    /// Cells that are held.
    pub(super) const fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether nothing has come of it.
    pub(super) const fn is_empty(&self) -> bool {
        self.cells.is_empty() && !self.begun
    }

    /// Makes room for `cells` and `bytes`, as many as a frame usually has.
    pub(super) fn reserve(&mut self, (cells, bytes): (usize, usize)) {
        self.cells.reserve(cells);
        self.buffer.reserve(bytes);
    }

    /// Gives back what room was not needed, if that is much, and says what was.
    pub(super) fn fit(&mut self) -> (usize, usize) {
        if self.buffer.capacity() / 2 > self.buffer.len() {
            self.buffer.shrink_to_fit();
            self.cells.shrink_to_fit();
        }
        (self.cells.len(), self.buffer.len())
    }

    /// Takes a cell unless a newer version of it is held. `index` is that of this frame's cells.
    pub(super) fn put(&mut self, cell: CellIndex, version: u64, bytes: &[u8], index: &mut Index) {
        let Some(place) = index.place(cell) else {
            index.set(cell, self.cells.len());
            self.append(cell, version, bytes);
            return;
        };
        let held = &mut self.cells[place];
        if held.version > version {
            return;
        }
        self.bytes = self.bytes - held.length + bytes.len();
        self.dead += held.length;
        held.version = version;
        held.start = self.buffer.len();
        held.length = bytes.len();
        self.buffer.extend_from_slice(bytes);
        if self.dead > self.buffer.len() / 2 {
            self.compact();
        }
    }

    /// `index`, which is nobody's, is that of this frame's cells from now on.
    pub(super) fn enter(&self, index: &mut Index) {
        for (place, held) in self.cells.iter().enumerate() {
            index.set(held.cell, place);
        }
    }

    /// This frame's cells leave `index`: the next frame's may come.
    pub(super) fn leave(&self, index: &mut Index) {
        self.cells.iter().for_each(|held| index.clear(held.cell));
    }

    /// This with what `earlier` has and this has not, or not as new. `index` is nobody's.
    pub(super) fn over(mut self, earlier: Self, index: &mut Index) -> Self {
        self.skipped += earlier.skipped + 1;
        if self.rung == earlier.rung {
            self.enter(index);
            for held in &earlier.cells {
                let bytes = &earlier.buffer[held.start..held.start + held.length];
                self.put(held.cell, held.version, bytes, index);
            }
            self.leave(index);
        }
        self
    }

    /// All cells by index, as slices of one buffer.
    pub(super) fn into_cells(mut self) -> Vec<(CellIndex, Bytes)> {
        self.cells.sort_unstable_by_key(|held| held.cell);
        let buffer = Bytes::from(self.buffer);
        let cells = self.cells.iter();
        cells
            .map(|held| {
                (
                    held.cell,
                    buffer.slice(held.start..held.start + held.length),
                )
            })
            .collect()
    }

    fn append(&mut self, cell: CellIndex, version: u64, bytes: &[u8]) {
        self.cells.push(Held {
            cell,
            version,
            start: self.buffer.len(),
            length: bytes.len(),
        });
        self.buffer.extend_from_slice(bytes);
        self.bytes += bytes.len() + CELL_OVERHEAD;
    }

    /// A peer that sends the same cells over and over must not make the buffer grow.
    fn compact(&mut self) {
        let mut buffer = Vec::with_capacity(self.buffer.len() - self.dead);
        for held in &mut self.cells {
            let bytes = &self.buffer[held.start..held.start + held.length];
            held.start = buffer.len();
            buffer.extend_from_slice(bytes);
        }
        self.buffer = buffer;
        self.dead = 0;
    }
}

/// Counted for each cell beside its bytes, so that a flood of empty cells is bounded too.
pub(super) const CELL_OVERHEAD: usize = 64;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "virtual time has to begin somewhere"
)]
mod tests {
    use super::*;

    #[test]
    fn the_same_cell_over_and_over_takes_no_more_room() {
        let mut index = Index::default();
        let mut pending = Pending::new(1, 1, MediaTime::ZERO, Instant::now());
        for version in 0..10_000_u64 {
            pending.put(5, version, &[1; 700], &mut index);
            pending.put(9, version, &version.to_be_bytes(), &mut index);
        }
        assert!(pending.buffer.len() < 3000 && pending.buffer.capacity() < 6000);
        assert_eq!(pending.bytes, 700 + 8 + 2 * CELL_OVERHEAD);
        pending.leave(&mut index);
        assert!(index.0.iter().all(|place| *place == 0));
        let cells = pending.into_cells();
        let newest = Bytes::copy_from_slice(&9_999_u64.to_be_bytes());
        assert_eq!(cells, [(5, Bytes::from(vec![1; 700])), (9, newest)]);
    }
}
