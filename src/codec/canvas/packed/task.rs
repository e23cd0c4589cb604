//! A picture of some cells, checked and decoded on any thread.

use std::ops::Range;
use std::sync::Arc;

use super::plan::Job;
use crate::codec::jpeg::{CellHeader, Colour, JpegError, decode};
use crate::codec::workers::Task;

/// One job, its bytes and its pixels.
#[derive(Debug)]
pub(super) struct Decode {
    pub(super) job: Job,
    header: Arc<CellHeader>,
    jpeg: Vec<u8>,
    size: (usize, usize),
    /// Cells that have not been checked, and where they are in `jpeg`.
    fresh: Vec<(usize, Range<usize>)>,
    scratch: Vec<u8>,
    /// The picture, once it is done and good; what is behind it is of earlier ones.
    pub(super) rgba: Vec<u8>,
    /// Fresh cells that are none. Where there are any, nothing was decoded.
    pub(super) bad: Vec<(usize, JpegError)>,
    /// The library would not decode it.
    pub(super) failed: Option<JpegError>,
}

impl Decode {
    pub(super) const fn new(header: Arc<CellHeader>) -> Self {
        Self {
            job: Job::Packed(Vec::new()),
            header,
            jpeg: Vec::new(),
            size: (0, 0),
            fresh: Vec::new(),
            scratch: Vec::new(),
            rgba: Vec::new(),
            bad: Vec::new(),
            failed: None,
        }
    }

    /// Takes the bytes of a picture of `size`; those of cells that are to be checked come with their index.
    pub(super) fn fill<'a>(
        &mut self,
        size: (usize, usize),
        cells: impl Iterator<Item = (&'a [u8], Option<usize>)>,
    ) {
        self.size = size;
        self.fresh.clear();
        self.bad.clear();
        let mut at = self.header.len();
        let fresh = &mut self.fresh;
        let cells = cells.map(|(bytes, cell)| {
            let end = at + bytes.len();
            fresh.extend(cell.map(|cell| (cell, at..end)));
            at = end + 2;
            bytes
        });
        self.failed = self.header.assemble(size, cells, &mut self.jpeg).err();
    }

    pub(super) const fn is_good(&self) -> bool {
        self.failed.is_none() && self.bad.is_empty()
    }
}

impl Task for Decode {
    const NAME: &'static str = "decode";

    fn work(&mut self) {
        for (cell, range) in &self.fresh {
            let bytes = &self.jpeg[range.clone()];
            if let Err(fault) = self.header.check(bytes, &mut self.scratch) {
                self.bad.push((*cell, fault));
            }
        }
        if self.is_good() {
            self.failed = decode(&self.jpeg, self.size, Colour::Rgba, &mut self.rgba).err();
        }
    }
}
