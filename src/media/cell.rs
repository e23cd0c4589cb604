//! A picture cut into cells: the restart intervals of a 4:2:0 JPEG, each decodable alone.

use bytes::Bytes;

use super::Size;

/// The most cells that a picture may have.
pub const MAX_CELLS: usize = 1 << 16;

/// Pixels along the side of a 4:2:0 macroblock.
const MACROBLOCK: usize = 16;

/// Where a cell stands in raster order.
pub type CellIndex = u32;

/// How a picture is cut: every cell is `restart` macroblocks wide and one macroblock (16 px) high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    size: Size,
    restart: u16,
}

impl Grid {
    /// The cut for a picture of `size`: the divisor of its macroblocks a row that is nearest to 10 (by ratio, at most 40).
    ///
    /// A row of 1366 px has 86 = 2 x 43 macroblocks, so its cells are of 2. Of 43 they would take 4 % fewer bytes and
    /// 2.8 instead of 3.6 ms to code when everything moves, but 4 to 7 times the bytes when little does (a block of 64
    /// px: 9,790 and 1,339), which is what screens of that width mostly show; and none would fit a datagram.
    pub fn for_size(size: Size) -> Self {
        let row = size.width().div_ceil(MACROBLOCK);
        let distance = |r: usize| if r > 10 { r * 100 / 10 } else { 10 * 100 / r };
        let restart = (1..=row.min(40))
            .filter(|r| row.is_multiple_of(*r))
            .min_by_key(|r| distance(*r))
            .unwrap_or(1);
        Self {
            size,
            restart: u16::try_from(restart).unwrap_or(1),
        }
    }

    /// A cut that a peer chose; `restart` must divide the macroblocks of a row and give at most [`MAX_CELLS`] cells.
    pub fn new(size: Size, restart: u16) -> Result<Self, GridError> {
        let grid = Self { size, restart };
        let row = size.width().div_ceil(MACROBLOCK);
        if restart == 0 || !row.is_multiple_of(usize::from(restart)) || grid.count() > MAX_CELLS {
            return Err(GridError { size, restart });
        }
        Ok(grid)
    }

    /// The picture's size.
    pub const fn size(self) -> Size {
        self.size
    }

    /// Macroblocks in a cell: the JPEG restart interval.
    pub const fn restart(self) -> u16 {
        self.restart
    }

    /// Cells in a row.
    pub const fn columns(self) -> usize {
        self.size.width().div_ceil(MACROBLOCK) / self.restart as usize
    }

    /// Rows of cells.
    pub const fn rows(self) -> usize {
        self.size.height().div_ceil(MACROBLOCK)
    }

    /// Cells in a picture.
    pub const fn count(self) -> usize {
        self.columns() * self.rows()
    }

    /// Width of a cell as coded, in pixels; the last column may reach past the picture's edge.
    pub const fn cell_width(self) -> usize {
        self.restart as usize * MACROBLOCK
    }

    /// Height of a cell as coded, in pixels; the last row may reach past the picture's edge.
    pub const fn cell_height(self) -> usize {
        MACROBLOCK
    }
}

/// A cut that does not fit the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a restart interval of {restart} macroblocks does not fit a {size} picture")]
pub struct GridError {
    /// The picture.
    pub size: Size,
    /// The interval.
    pub restart: u16,
}

/// One coded cell: the entropy-coded bytes of one restart interval, without marker.
///
/// In a picture that is passed through whole, the only cell (index 0) is the complete JPEG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The frame in which these bytes came into being; a cell that did not change keeps its version.
    pub version: u64,
    /// Entropy-coded bytes, with their stuffing, without marker.
    pub bytes: Bytes,
}
