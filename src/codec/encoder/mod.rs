//! Pictures to frames of cells.

use std::sync::Arc;

use bytes::Bytes;

use super::CodecError;
use super::change::Detector;
use super::jpeg::{
    JpegError, JpegLibrary, MAX_STRIPS, PackedSource, Quality, Splitter, StripEncoder, header_for,
    join_cells,
};
use super::workers::{Task, Workers};
use crate::media::{
    Cell, CellIndex, Extent, Frame, Grid, MediaTime, Picture, Rung, RungId, RungKind, Size,
};

/// Codes the pictures of one source for one rung.
#[derive(Debug)]
pub struct Encoder {
    rung: Arc<Rung>,
    grid: Grid,
    coder: Arc<StripEncoder>,
    workers: Workers<Strips>,
    /// Tasks that are done, for their buffers.
    spare: Vec<Strips>,
    detector: Detector,
    /// As in the newest frame; empty before the first.
    cells: Vec<Cell>,
    /// Reused: what is to be coded.
    due: Vec<CellIndex>,
    /// Reused: what was coded.
    coded: Vec<(CellIndex, Bytes)>,
    /// Length of the header, which packed pictures have too.
    header_bytes: usize,
    /// Coded bytes of one cell in the newest picture, for reserving.
    cell_bytes: usize,
    /// The newest picture was coded in whole rows: the next one will be, too, unless all came to rest.
    moving: bool,
}

impl Encoder {
    /// An encoder for pictures of `size`. Its rung's cells are cut as [`Grid::for_size`] says.
    pub fn new(rung: RungId, size: Size, quality: Quality) -> Result<Self, CodecError> {
        Self::with_library(rung, size, quality, JpegLibrary::default())
    }

    /// As [`Self::new`], with the library that codes.
    pub fn with_library(
        rung: RungId,
        size: Size,
        quality: Quality,
        library: JpegLibrary,
    ) -> Result<Self, CodecError> {
        let grid = Grid::for_size(size);
        let coder = StripEncoder::new(library, quality, grid.restart());
        let header = header_for(grid, &coder)?;
        Ok(Self {
            header_bytes: header.len(),
            rung: Arc::new(Rung {
                id: rung,
                source: None,
                kind: RungKind::Cells { grid, header },
            }),
            grid,
            coder: Arc::new(coder),
            workers: Workers::of_this_machine(),
            spare: Vec::new(),
            detector: Detector::new(grid),
            cells: Vec::new(),
            due: Vec::new(),
            coded: Vec::new(),
            cell_bytes: 512,
            moving: false,
        })
    }

    /// Says that the pictures are smaller copies of a source's of size `source`, if they are.
    pub fn of(mut self, source: Size) -> Self {
        let source = Some(source).filter(|source| *source != self.grid.size());
        Arc::make_mut(&mut self.rung).source = source;
        self
    }

    /// Codes what changed, and some cells in turn so that each is coded anew at least every 3 s, and gives the whole
    /// frame; cells that stay as they were share their bytes and version with earlier frames. A cell that was coded
    /// to the same bytes keeps its version: nobody needs it again.
    ///
    /// `number` must be greater than that of the frame before. Errors: a picture of another size.
    pub fn encode(
        &mut self,
        picture: &Picture,
        number: u64,
        capture: MediaTime,
    ) -> Result<Frame, CodecError> {
        self.encode_early(&Arc::new(picture.clone()), number, capture, None)
    }

    /// As [`Self::encode`], without a copy of the picture, which is kept until the next; `early` gets what there is of
    /// the frame while the rest is being coded, if that is long enough to be worth it.
    pub fn encode_early(
        &mut self,
        picture: &Arc<Picture>,
        number: u64,
        capture: MediaTime,
        early: Option<&mut dyn FnMut(Extent)>,
    ) -> Result<Frame, CodecError> {
        if picture.size() != self.grid.size() {
            return Err(CodecError::PictureSize {
                expected: self.grid.size(),
                found: picture.size(),
            });
        }
        let mut due = std::mem::take(&mut self.due);
        // While the helpers begin, this thread finds out what is due; what is not will be dropped.
        let begun = self.moving && self.workers.have_helpers();
        if begun {
            self.start_rows(picture);
        }
        self.detector.select(picture, capture, &mut due);
        self.moving = due.len() * 10 >= self.grid.count() * WHOLE_FROM_TENTHS;
        if self.moving && !begun {
            self.start_rows(picture);
        }
        // Of the very first frame there is nothing to show beside what is made.
        let early = early.filter(|_| !self.cells.is_empty());
        let step = (due.len() / PARTS).max(LEAST_PART);
        let mut parts = Parts {
            number,
            capture,
            early,
            step,
        };
        let coded = if begun || self.moving {
            self.code_whole(picture, &due, &mut parts)
        } else {
            self.code_packed(picture, &due, &mut parts)
        };
        match &coded {
            Ok(()) => self.take(number),
            Err(_) => self.detector.forget(&due),
        }
        self.due = due;
        coded?;
        Ok(self.frame(number, capture))
    }

    fn frame(&self, number: u64, capture: MediaTime) -> Frame {
        Frame {
            number,
            capture,
            rung: Arc::clone(&self.rung),
            cells: self.cells.clone(),
        }
    }

    /// How its frames are coded.
    pub const fn rung(&self) -> &Arc<Rung> {
        &self.rung
    }

    /// What was coded becomes part of the newest frame.
    fn take(&mut self, number: u64) {
        let count = self.coded.len();
        let mut sum = 0;
        if self.cells.is_empty() {
            let empty = Cell {
                version: number,
                bytes: Bytes::new(),
            };
            self.cells = vec![empty; self.grid.count()];
        }
        for (index, bytes) in self.coded.drain(..) {
            sum += bytes.len();
            let cell = &mut self.cells[index as usize];
            if cell.bytes != bytes {
                cell.version = number;
            }
            // The new bytes even where they are equal: a slice keeps its whole buffer alive, and so every buffer is
            // let go after one round of refreshing.
            cell.bytes = bytes;
        }
        if let Some(mean) = sum.checked_div(count) {
            self.cell_bytes = mean;
        }
    }

    /// Fills `coded` with `due`, stacked on each other, less what `parts` were given.
    fn code_packed(
        &mut self,
        picture: &Arc<Picture>,
        due: &[CellIndex],
        parts: &mut Parts<'_>,
    ) -> Result<(), JpegError> {
        let grid = self.grid;
        let strip = |place: usize| {
            let cell = due[place] as usize;
            let (row, column) = (cell / grid.columns(), cell % grid.columns());
            (column * grid.cell_width(), row * grid.cell_height())
        };
        let keep = |place: usize| due.get(place).copied();
        self.start_strips(picture, due.len(), strip, 1);
        self.detector.keep(picture, due, parts.capture);
        self.finish_strips(due.len(), keep, parts)
    }

    /// Hands out rows over the whole width.
    fn start_rows(&mut self, picture: &Arc<Picture>) {
        let grid = self.grid;
        let strip = |row: usize| (0, row * grid.cell_height());
        self.start_strips(picture, grid.rows(), strip, grid.columns());
    }

    /// The same of the rows that were handed out, of which `due` are kept.
    fn code_whole(
        &mut self,
        picture: &Arc<Picture>,
        due: &[CellIndex],
        parts: &mut Parts<'_>,
    ) -> Result<(), JpegError> {
        let mut wanted = due.iter().copied().peekable();
        // In rising order, both of them.
        let keep = |place: usize| wanted.next_if(|&cell| cell as usize == place);
        self.detector.keep(picture, due, parts.capture);
        self.finish_strips(self.grid.count(), keep, parts)
    }

    /// Hands out `count` strips to be coded, each `cells_across` wide.
    fn start_strips(
        &mut self,
        picture: &Arc<Picture>,
        count: usize,
        strip: impl Fn(usize) -> (usize, usize),
        cells_across: usize,
    ) {
        let pieces = self.workers.pieces(count * cells_across);
        let share = count.div_ceil(pieces).clamp(1, MAX_STRIPS);
        for from in (0..count).step_by(share) {
            let task = self.spare.pop();
            let mut task = task.unwrap_or_else(|| Strips::new(Arc::clone(&self.coder)));
            task.strips.clear();
            task.strips
                .extend((from..count.min(from + share)).map(&strip));
            task.picture = Some(Arc::clone(picture));
            task.cells_across = cells_across;
            task.header_bytes = self.header_bytes;
            task.cell_bytes = self.cell_bytes;
            self.workers.start(task);
        }
    }

    /// Takes the `places` cells that were handed out, and puts those into `coded` for which `keep` has a name; it is
    /// asked for all in order.
    fn finish_strips(
        &mut self,
        places: usize,
        mut keep: impl FnMut(usize) -> Option<CellIndex>,
        parts: &mut Parts<'_>,
    ) -> Result<(), JpegError> {
        self.coded.clear();
        let mut result = Ok(());
        let mut place = 0;
        while let Some(mut task) = self.workers.finish() {
            let done = std::mem::replace(&mut task.result, Ok(()));
            result = result.and(done);
            for bytes in task.cells.drain(..) {
                self.coded.extend(keep(place).map(|cell| (cell, bytes)));
                place += 1;
            }
            self.spare.push(task);
            if result.is_ok() && parts.are_due(self.coded.len(), places - place) {
                self.give(parts);
            }
        }
        result
    }

    /// Shows what is coded.
    fn give(&mut self, parts: &mut Parts<'_>) {
        let Some(last) = self.coded.last() else {
            return;
        };
        let cells = last.0 as usize + 1;
        self.take(parts.number);
        let frame = Arc::new(self.frame(parts.number, parts.capture));
        if let Some(early) = &mut parts.early {
            early(Extent { frame, cells });
        }
    }
}

/// A frame that goes out in parts.
struct Parts<'a> {
    number: u64,
    capture: MediaTime,
    early: Option<&'a mut dyn FnMut(Extent)>,
    /// Cells that make a part.
    step: usize,
}

impl Parts<'_> {
    /// Whether `coded` cells are enough, and the `left` as many again.
    fn are_due(&self, coded: usize, left: usize) -> bool {
        self.early.is_some() && coded >= self.step && left >= self.step
    }
}

/// Some strips of a picture, to be coded on any thread.
#[derive(Debug)]
struct Strips {
    coder: Arc<StripEncoder>,
    /// Let go as soon as it is coded.
    picture: Option<Arc<Picture>>,
    strips: Vec<(usize, usize)>,
    cells_across: usize,
    header_bytes: usize,
    cell_bytes: usize,
    cells: Vec<Bytes>,
    result: Result<(), JpegError>,
}

impl Strips {
    const fn new(coder: Arc<StripEncoder>) -> Self {
        Self {
            coder,
            picture: None,
            strips: Vec::new(),
            cells_across: 1,
            header_bytes: 0,
            cell_bytes: 0,
            cells: Vec::new(),
            result: Ok(()),
        }
    }

    fn code(&mut self, picture: &Picture) -> Result<(), JpegError> {
        let count = self.strips.len() * self.cells_across;
        // New each time, since the cells are slices of it.
        let mut jpeg = Vec::with_capacity(1024 + count * self.cell_bytes * 5 / 4);
        let source = PackedSource {
            picture,
            strips: &self.strips,
            width: self.cells_across * usize::from(self.coder.restart()) * 16,
        };
        self.coder.encode(source, &mut jpeg)?;
        self.cells.clear();
        for cell in Splitter::new(jpeg.into(), self.header_bytes) {
            self.cells.push(cell?);
        }
        if self.cells.len() != count {
            return Err(JpegError::Broken("number of restart intervals"));
        }
        Ok(())
    }
}

impl Task for Strips {
    const NAME: &'static str = "encode";

    fn work(&mut self) {
        if let Some(picture) = self.picture.take() {
            self.result = self.code(&picture);
        }
    }
}

/// A standard JPEG of a whole frame, for anybody who knows nothing of cells.
pub fn join(frame: &Frame) -> Bytes {
    match &frame.rung.kind {
        RungKind::Cells { header, .. } => {
            join_cells(header, frame.cells.iter().map(|cell| &cell.bytes[..]))
        }
        RungKind::Whole { .. } => frame
            .cells
            .first()
            .map(|cell| cell.bytes.clone())
            .unwrap_or_default(),
    }
}

/// A frame goes out in so many parts at most, of so many cells at least: a part costs a copy of the frame's table of
/// cells and a wake-up, some 20 us in all, and coding so many cells takes 300.
const PARTS: usize = 4;
const LEAST_PART: usize = 48;

/// From this share of the cells on the picture is coded in whole rows: a cell costs the same either way (0.5 % was
/// measured between 360 packed cells and the whole picture), and whole rows need no gathering.
const WHOLE_FROM_TENTHS: usize = 9;

#[cfg(test)]
mod tests;
