//! The header that all cells of a rung share, and cutting coded bytes into cells.

use bytes::{BufMut, Bytes, BytesMut};

use super::JpegError;
use super::layout::Layout;
use super::library::{Inverse, PackedSource, StripEncoder};
use super::scan::{Pair, Tail, Walker};
use super::segments::{EOI, RST0, RST7, find_ff};
use crate::media::{Grid, Picture, Size};

/// The checked header of a rung: SOI to SOS.
#[derive(Debug)]
pub(in crate::codec) struct CellHeader {
    bytes: Bytes,
    height_at: usize,
    walker: Walker,
    blank: Bytes,
    restart: usize,
}

impl CellHeader {
    /// Checks that `bytes` are the header of cells cut as `grid` says and nothing else: its size, baseline, 4:2:0,
    /// its restart interval, every table there, no segment that a decoder might act on.
    pub(in crate::codec) fn parse(bytes: &Bytes, grid: Grid) -> Result<Self, JpegError> {
        if bytes.len() > MAX_HEADER {
            return Err(JpegError::Broken("header too long"));
        }
        let layout = Layout::read(bytes)?;
        if layout.size != grid.size() {
            return Err(JpegError::WrongSize {
                expected: grid.size(),
                found: layout.size,
            });
        }
        if layout.restart != grid.restart() {
            return Err(JpegError::Broken("restart interval"));
        }
        if layout.scan_at != bytes.len() {
            return Err(JpegError::Broken("bytes behind the header"));
        }
        let four_two_zero = matches!(
            layout.components.as_slice(),
            // Other names would make some decoders take the components for red, green and blue.
            [y, cb, cr] if y.across == 2 && y.down == 2
                && y.id <= 1 && cb.id == y.id + 1 && cr.id == y.id + 2
        );
        if !layout.plain || !layout.baseline || !four_two_zero {
            return Err(JpegError::Unsupported(
                "header of cells must be plain baseline 4:2:0",
            ));
        }
        let walker = Walker::new(&layout)?;
        let restart = usize::from(grid.restart());
        let blank = walker.blank(restart);
        Ok(Self {
            height_at: layout.height_at,
            blank: blank.ok_or(JpegError::Broken("huffman table"))?.into(),
            walker,
            bytes: bytes.clone(),
            restart,
        })
    }

    /// Whether `cell` holds the macroblocks of one cell and nothing more.
    pub(in crate::codec) fn check(
        &self,
        cell: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), JpegError> {
        self.walker.check(cell, self.restart, Tail::Exact, scratch)
    }

    /// As [`Self::check`], and gives every macroblock's coefficients to `take` on the way: Y above and below, Cb and Cr.
    #[inline(always)]
    pub(super) fn read(
        &self,
        cell: &[u8],
        scratch: &mut Vec<u8>,
        take: impl FnMut(usize, &[Pair; 3]),
    ) -> Result<(), JpegError> {
        self.walker.read(cell, self.restart, scratch, take)
    }

    /// What makes samples of its coefficients.
    pub(super) fn inverse(&self) -> Result<Inverse, JpegError> {
        Inverse::new(&Layout::read(&self.bytes)?)
    }

    /// Macroblocks in a cell.
    pub(super) const fn restart(&self) -> usize {
        self.restart
    }

    /// A cell of mid grey.
    pub(in crate::codec) fn blank(&self) -> &[u8] {
        &self.blank
    }

    /// Its bytes.
    pub(in crate::codec) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes a complete JPEG into `out`: the header, `cells` with two bytes between each and the next, an end; `width` x `height` px. Neither may be above 65,535.
    pub(in crate::codec) fn assemble<'a>(
        &self,
        (width, height): (usize, usize),
        cells: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), JpegError> {
        let side = |n: usize| u16::try_from(n).map_err(|_| JpegError::Broken("size"));
        let [h1, h0] = side(height)?.to_be_bytes();
        let [w1, w0] = side(width)?.to_be_bytes();
        out.clear();
        out.extend_from_slice(&self.bytes);
        out[self.height_at..self.height_at + 4].copy_from_slice(&[h1, h0, w1, w0]);
        for (index, cell) in cells.enumerate() {
            if index > 0 {
                out.extend_from_slice(&[0xFF, restart_marker(index - 1)]);
            }
            out.extend_from_slice(cell);
        }
        out.extend_from_slice(&[0xFF, EOI]);
        Ok(())
    }
}

/// A standard JPEG of a rung's header and all its cells in raster order.
pub(in crate::codec) fn join_cells<'a>(
    header: &[u8],
    cells: impl Iterator<Item = &'a [u8]> + Clone,
) -> Bytes {
    let coded: usize = cells.clone().map(|cell| cell.len() + 2).sum();
    let mut out = BytesMut::with_capacity(header.len() + coded + 2);
    out.put_slice(header);
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.put_slice(&[0xFF, restart_marker(index - 1)]);
        }
        out.put_slice(cell);
    }
    out.put_slice(&[0xFF, EOI]);
    out.freeze()
}

/// The marker behind interval `index`: they count from 0 to 7 and around.
fn restart_marker(index: usize) -> u8 {
    const MARKERS: [u8; 8] = [0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7];
    MARKERS[index % MARKERS.len()]
}

/// The header of cells cut as `grid` says, as `encoder` makes it.
pub(in crate::codec) fn header_for(grid: Grid, encoder: &StripEncoder) -> Result<Bytes, JpegError> {
    let least = Size::new(Size::MIN_SIDE, Size::MIN_SIDE)?;
    let grey = Picture::filled(least, [128; 3]);
    let mut jpeg = Vec::new();
    let source = PackedSource {
        picture: &grey,
        strips: &[(0, 0)],
        width: 16,
    };
    encoder.encode(source, &mut jpeg)?;
    let layout = Layout::read(&jpeg)?;
    let (scan_at, height_at) = (layout.scan_at, layout.height_at);
    jpeg.truncate(scan_at);
    let size = grid.size();
    for (at, side) in [(height_at, size.height()), (height_at + 2, size.width())] {
        let side = u16::try_from(side).map_err(|_| JpegError::Broken("size"))?;
        jpeg[at..at + 2].copy_from_slice(&side.to_be_bytes());
    }
    Ok(jpeg.into())
}

/// Cuts a JPEG with restart markers into its intervals, without a copy.
#[derive(Debug)]
pub(in crate::codec) struct Splitter {
    jpeg: Bytes,
    at: usize,
    done: bool,
}

impl Splitter {
    /// Starts at `scan_at`, the first coded byte.
    pub(in crate::codec) const fn new(jpeg: Bytes, scan_at: usize) -> Self {
        Self {
            jpeg,
            at: scan_at,
            done: false,
        }
    }
}

impl Iterator for Splitter {
    type Item = Result<Bytes, JpegError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let start = self.at;
        let mut at = start;
        loop {
            let found = self.jpeg.get(at..).and_then(find_ff).map(|ff| at + ff);
            let marker = found.and_then(|ff| Some((ff, *self.jpeg.get(ff + 1)?)));
            match marker {
                Some((ff, 0)) => at = ff + 2,
                Some((ff, marker @ (RST0..=RST7 | EOI))) => {
                    self.done = marker == EOI;
                    self.at = ff + 2;
                    return Some(Ok(self.jpeg.slice(start..ff)));
                }
                Some(_) => {
                    self.done = true;
                    return Some(Err(JpegError::Broken("marker among coded bytes")));
                }
                None => {
                    self.done = true;
                    return Some(Err(JpegError::Truncated));
                }
            }
        }
    }
}

/// Four Huffman tables and two of quantisation take 600 bytes; this leaves room for a comment.
const MAX_HEADER: usize = 4096;
