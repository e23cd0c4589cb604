//! The planes of the whole picture, and their conversion to pixels.
//!
//! Chroma is interpolated as JPEG means it: its samples lie between those of luma, and each pixel takes 9, 3, 3 and 1
//! sixteenths of the four around it, as libjpeg does. The conversion of crate `yuv` takes those weights for samples
//! that lie on every second pixel; one pixel further left and up they are ours. So all planes have one column more on
//! the left and one row more above, and conversion begins there: what it makes of the borders is not used.

use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv420_to_bgra_bilinear};

use crate::codec::canvas::store::Store;
use crate::codec::jpeg::CellSamples;
use crate::media::{Grid, Rect};

/// Planes with a border: sample (x, y) stands at (x + 1, y + 1).
#[derive(Debug)]
pub(super) struct Painter {
    grid: Grid,
    y: Bordered,
    cb: Bordered,
    cr: Bordered,
    /// Which cells were put since the last call of [`Self::take_dirty`].
    fresh: Vec<bool>,
    /// Reused: pixels as they come from the conversion.
    bgra: Vec<u8>,
    /// Reused: what has changed.
    areas: Vec<Area>,
}

#[derive(Debug)]
struct Bordered {
    samples: Vec<u8>,
    stride: usize,
}

/// A rectangle of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    left: usize,
    /// The column behind it.
    right: usize,
    top: usize,
    /// The row behind it.
    bottom: usize,
}

impl Painter {
    /// Black.
    pub(super) fn new(grid: Grid) -> Self {
        let width = grid.columns() * grid.cell_width();
        let height = grid.rows() * grid.cell_height();
        let bordered = |width: usize, height: usize, value| Bordered {
            samples: vec![value; width * height],
            stride: width,
        };
        // A border on each side, and what the conversion goes too far.
        let chroma = || bordered(width / 2 + 2 + SURPLUS / 2, height / 2 + 2, 128);
        Self {
            grid,
            y: bordered(width + 2 + SURPLUS, height + 3, 0),
            cb: chroma(),
            cr: chroma(),
            fresh: vec![false; grid.count()],
            bgra: Vec::new(),
            areas: Vec::new(),
        }
    }

    /// Takes the samples of `cell`.
    pub(super) fn put(&mut self, cell: usize, samples: &CellSamples) {
        self.fresh[cell] = true;
        let grid = self.grid;
        let (row, column) = (cell / grid.columns(), cell % grid.columns());
        let (x, y) = (column * grid.cell_width(), row * grid.cell_height());
        let [luma, cb, cr] = samples.planes();
        self.y.put((x, y), grid.cell_width(), luma);
        for (plane, samples) in [(&mut self.cb, cb), (&mut self.cr, cr)] {
            plane.put((x / 2, y / 2), grid.cell_width() / 2, samples);
            plane.extend_edges(grid, (row, column));
        }
    }

    /// The pixels that depend on what was put since the last call.
    pub(super) fn take_dirty(&mut self, dirty: &mut Vec<Rect>) {
        let mut areas = std::mem::take(&mut self.areas);
        areas.clear();
        find_areas(&self.fresh, self.grid, &mut areas);
        self.fresh.fill(false);
        dirty.extend(areas.iter().map(|area| self.rect(*area)));
        self.areas = areas;
    }

    /// The pixels of an area: its cells, and one more on each side, in whose chroma they are.
    fn rect(&self, area: Area) -> Rect {
        let size = self.grid.size();
        let width = self.grid.cell_width();
        let (x, y) = ((area.left * width).max(1) - 1, (area.top * 16).max(1) - 1);
        Rect {
            x,
            y,
            width: (area.right * width + 1).min(size.width()) - x,
            height: (area.bottom * 16 + 1).min(size.height()) - y,
        }
    }

    /// Makes the pixels of `part`; black where `store` holds no cell.
    pub(super) fn paint(&mut self, store: &Store, part: Rect, out: &mut [u32], stride: usize) {
        let size = self.grid.size();
        let part = part.intersection(Rect::whole(size.width(), size.height()));
        if part.is_empty() {
            return;
        }
        let mut rows = out.chunks_mut(stride);
        // Counted from the border, and in pairs that share their chroma.
        let lines = part.y.div_ceil(2) * 2..part.bottom() + 1;
        for top in lines.clone().step_by(BAND) {
            let bottom = lines.end.min(top + BAND);
            self.convert(part, top..bottom.next_multiple_of(2));
            let left = (part.x + 1) % 2;
            let wide = wide(part);
            for (line, bgra) in (top..bottom).zip(self.bgra.chunks_exact(wide * 4)) {
                if line <= part.y {
                    continue;
                }
                let Some(row) = rows.next() else {
                    return;
                };
                let length = part.width.min(row.len());
                paint_line(&bgra[left * 4..], &mut row[..length]);
                if !store.is_complete() {
                    self.blacken(store, line - 1, part.x, &mut row[..length]);
                }
            }
        }
    }

    /// Converts some lines of `part`, an even number, counted from the border, from the pair on in which it begins.
    fn convert(&mut self, part: Rect, lines: std::ops::Range<usize>) {
        let left = part.x.div_ceil(2) * 2;
        // The last pair of columns and of rows would be made without the chroma behind them.
        let (wide, high) = (wide(part), lines.len() + 1);
        if self.bgra.len() < wide * high * 4 {
            self.bgra.resize(wide * high * 4, 0);
        }
        let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let image = YuvPlanarImage {
            y_plane: self.y.from((left, lines.start)),
            y_stride: side(self.y.stride),
            u_plane: self.cb.from((left / 2, lines.start / 2)),
            u_stride: side(self.cb.stride),
            v_plane: self.cr.from((left / 2, lines.start / 2)),
            v_stride: side(self.cr.stride),
            width: side(wide),
            height: side(high),
        };
        let converted = yuv420_to_bgra_bilinear(
            &image,
            &mut self.bgra,
            side(wide * 4),
            YuvRange::Full,
            YuvStandardMatrix::Bt601,
        );
        debug_assert!(converted.is_ok(), "{converted:?}");
    }

    /// Takes from the pixels of `row` `y`, from `x` on, those whose cells are not there.
    fn blacken(&self, store: &Store, y: usize, x: usize, row: &mut [u32]) {
        let width = self.grid.cell_width();
        let first = y / 16 * self.grid.columns();
        let mut from = 0;
        while from < row.len() {
            let column = (x + from) / width;
            let end = ((column + 1) * width - x).min(row.len());
            if store.held(first + column).is_empty() {
                row[from..end].fill(0);
            }
            from = end;
        }
    }
}

/// So many columns are converted for `part`: from the pair in which it begins, counted from the border, and some more.
const fn wide(part: Rect) -> usize {
    ((part.x + 1) % 2 + part.width).next_multiple_of(2) + SURPLUS
}

impl Bordered {
    /// What begins at a place counted from the border.
    fn from(&self, (x, y): (usize, usize)) -> &[u8] {
        &self.samples[y * self.stride + x..]
    }

    fn put(&mut self, (x, y): (usize, usize), width: usize, samples: &[u8]) {
        let lines = self.samples.chunks_exact_mut(self.stride).skip(y + 1);
        for (line, row) in lines.zip(samples.chunks_exact(width)) {
            line[x + 1..][..width].copy_from_slice(row);
        }
    }

    /// Repeats the picture's chroma around it, where the cell is at its edge.
    fn extend_edges(&mut self, grid: Grid, (row, column): (usize, usize)) {
        let size = grid.size();
        let (width, height) = (size.chroma_width(), size.chroma_height());
        let (last_row, last_column) = (row + 1 == grid.rows(), column + 1 == grid.columns());
        if column == 0 || last_column {
            for line in self
                .samples
                .chunks_exact_mut(self.stride)
                .skip(row * 8 + 1)
                .take(8)
            {
                line[0] = line[1];
                line[width + 1] = line[width];
            }
        }
        let half = grid.cell_width() / 2;
        let part = column * half..(column + 1) * half + 2;
        if row == 0 {
            self.copy_line(1, 0, part.clone());
        }
        if last_row {
            self.copy_line(height, height + 1, part);
        }
    }

    fn copy_line(&mut self, from: usize, to: usize, part: std::ops::Range<usize>) {
        let start = from * self.stride;
        self.samples.copy_within(
            start + part.start..start + part.end,
            to * self.stride + part.start,
        );
    }
}

/// Runs of fresh cells, those of neighbouring rows together where they begin and end alike.
fn find_areas(fresh: &[bool], grid: Grid, areas: &mut Vec<Area>) {
    for (row, cells) in fresh.chunks_exact(grid.columns()).enumerate() {
        let mut column = 0;
        while let Some(start) = cells[column..].iter().position(|c| *c) {
            let left = column + start;
            let length = cells[left..].iter().position(|c| !*c);
            let right = length.map_or(cells.len(), |length| left + length);
            let above = areas
                .iter_mut()
                .rev()
                .take_while(|area| area.bottom >= row)
                .find(|area| area.bottom == row && (area.left, area.right) == (left, right));
            match above {
                Some(area) => area.bottom = row + 1,
                None => areas.push(Area {
                    left,
                    right,
                    top: row,
                    bottom: row + 1,
                }),
            }
            column = right;
        }
    }
}

/// BGRA to 0x00RRGGBB, as many pixels as `to` has.
fn paint_line(bgra: &[u8], to: &mut [u32]) {
    let (pixels, _) = bgra.as_chunks::<4>();
    for (to, from) in to.iter_mut().zip(pixels) {
        *to = u32::from_le_bytes(*from) & 0x00FF_FFFF;
    }
}

/// Lines converted at once: what they take stays in the cache.
const BAND: usize = 16;

/// Columns that are converted for nothing: two because the last pair is made without the chroma behind it, and six so
/// that the rest of a cell's width is done in a vector.
const SURPLUS: usize = 8;
