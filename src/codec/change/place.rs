//! Where a cell lies in a picture.

use std::ops::Range;

use crate::media::{Grid, Picture};

/// Luma blocks of 8x8 in a cell: for each macroblock two above, two below.
pub(super) const fn blocks(grid: Grid) -> usize {
    grid.restart() as usize * 4
}

/// A cell's rectangles in the three planes.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) luma: PlaneRect,
    pub(super) chroma: PlaneRect,
}

impl Place {
    pub(super) fn of(grid: Grid, cell: usize) -> Self {
        let size = grid.size();
        let left = cell % grid.columns() * grid.cell_width();
        let top = cell / grid.columns() * grid.cell_height();
        let rect = |half: usize, width: usize, height: usize| PlaneRect {
            stride: width,
            left: left / half,
            right: ((left + grid.cell_width()) / half).min(width),
            top: top / half,
            bottom: ((top + grid.cell_height()) / half).min(height),
        };
        Self {
            luma: rect(1, size.width(), size.height()),
            chroma: rect(2, size.chroma_width(), size.chroma_height()),
        }
    }

    /// Copies the cell.
    pub(super) fn copy(&self, from: &Picture, to: &mut Picture) {
        let from = [from.y(), from.cb(), from.cr()];
        let rects = [&self.luma, &self.chroma, &self.chroma];
        for ((rect, from), to) in rects.into_iter().zip(from).zip(to.planes_mut()) {
            for range in rect.lines() {
                to[range.clone()].copy_from_slice(&from[range]);
            }
        }
    }

    /// Fills `levels` with how bright each 8x8 block is, in quarters of luma, by macroblocks. Two of its rows will do.
    pub(super) fn brightness(&self, luma: &[u8], levels: &mut [u8]) {
        let PlaneRect { left, right, .. } = self.luma;
        for (place, level) in levels.iter_mut().enumerate() {
            let (macroblock, half) = (place / 4, place / 2 % 2);
            let x = (left + macroblock * 16 + place % 2 * 8)..right;
            let top = self.luma.top + half * 8;
            let last = self.luma.bottom - 1;
            let row = |y: usize| {
                let start = y.min(last) * self.luma.stride;
                let row = luma.get(start + x.start..start + x.end).unwrap_or(&[]);
                row.first_chunk::<8>()
                    .map(|row| row.iter().map(|y| u16::from(*y)).sum::<u16>())
            };
            *level = match (row(top + 2), row(top + 5)) {
                (Some(a), Some(b)) => u8::try_from((a + b) / 64).unwrap_or(u8::MAX),
                // Cut off by the edge.
                _ => 32,
            };
        }
    }
}

/// Where a cell lies in one plane.
#[derive(Debug)]
pub(super) struct PlaneRect {
    pub(super) stride: usize,
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) top: usize,
    pub(super) bottom: usize,
}

impl PlaneRect {
    pub(super) fn lines(&self) -> impl Iterator<Item = Range<usize>> {
        (self.top..self.bottom).map(|y| y * self.stride + self.left..y * self.stride + self.right)
    }
}
