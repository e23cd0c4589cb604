//! Coded pictures: a rung says how, a frame is one moment of it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Cell, CellIndex, Grid, MediaTime, Size};

/// Names a rung within a server's run; never used twice.
pub type RungId = u32;

/// One way in which a stream's picture is coded; one size and one quality for its life, so its cells always fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its name on the wire.
    pub id: RungId,
    /// How its frames are made up.
    pub kind: RungKind,
    /// The size of the source's picture, where this one is a smaller copy of it.
    pub source: Option<Size>,
}

/// How a rung's frames are made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RungKind {
    /// Cells of a 4:2:0 JPEG. `header` is everything of the JPEG before the first cell: SOI to the end of SOS, with
    /// the restart interval; header + cells with RST markers between + EOI is a standard JPEG.
    Cells {
        /// The cut.
        grid: Grid,
        /// SOI to SOS.
        header: Bytes,
    },
    /// One cell, which is a complete JPEG.
    Whole {
        /// As the JPEG's own header says.
        size: Size,
    },
}

impl Rung {
    /// The picture's size.
    pub const fn size(&self) -> Size {
        match &self.kind {
            RungKind::Cells { grid, .. } => grid.size(),
            RungKind::Whole { size } => *size,
        }
    }

    /// The size of the source's picture.
    pub const fn source_size(&self) -> Size {
        match self.source {
            Some(size) => size,
            None => self.size(),
        }
    }

    /// Cells in a frame.
    pub const fn cells(&self) -> usize {
        match &self.kind {
            RungKind::Cells { grid, .. } => grid.count(),
            RungKind::Whole { .. } => 1,
        }
    }
}

/// One coded picture of a rung. Cells that did not change share their bytes with earlier frames.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Counts up by at least one with each frame of a stream; a cell's version is the number of a frame.
    pub number: u64,
    /// When the source had the picture.
    pub capture: MediaTime,
    /// How it is coded.
    pub rung: Arc<Rung>,
    /// [`Rung::cells`] of them, in raster order.
    pub cells: Vec<Cell>,
}

impl Frame {
    /// Bytes of all its cells.
    pub fn bytes(&self) -> usize {
        self.cells.iter().map(|cell| cell.bytes.len()).sum()
    }
}

/// How much of a frame there is: its cells are coded in order, and the first go while the last are not made yet.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The frame; what is not made yet is as in the frame before.
    pub frame: Arc<Frame>,
    /// So many of its cells are made, the first ones.
    pub cells: usize,
}

impl Extent {
    /// All of it.
    pub fn whole(frame: Arc<Frame>) -> Self {
        Self {
            cells: frame.cells.len(),
            frame,
        }
    }

    /// Whether all its cells are made.
    pub fn is_whole(&self) -> bool {
        self.cells >= self.frame.cells.len()
    }

    /// Whether there is more of it than the first `cells` of frame `number`.
    pub fn is_beyond(&self, (number, cells): (u64, usize)) -> bool {
        (self.frame.number, self.cells) > (number, cells)
    }
}

/// One step of bringing a picture to a viewer.
#[derive(Clone, Debug)]
pub enum VideoStep {
    /// Before the first cell of a rung.
    Rung(Arc<Rung>),
    /// A cell that the viewer lacks.
    Cell {
        /// How it is coded.
        rung: RungId,
        /// The frame it is taken from.
        frame: u64,
        /// When that was captured.
        capture: MediaTime,
        /// Where it stands.
        index: CellIndex,
        /// What it is; never empty.
        bytes: Bytes,
    },
    /// The viewer lacks nothing of this frame any more.
    End {
        /// How it is coded.
        rung: RungId,
        /// The frame.
        frame: u64,
        /// When it was captured.
        capture: MediaTime,
    },
}
