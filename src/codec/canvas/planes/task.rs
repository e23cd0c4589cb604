//! Some cells, checked and decoded on any thread.

use std::sync::Arc;

use bytes::Bytes;

use crate::codec::jpeg::{CellDecoder, CellSamples, JpegError};
use crate::codec::workers::Task;

/// Cells to be decoded, each into samples of its own.
#[derive(Debug)]
pub(super) struct Decode {
    decoder: Arc<CellDecoder>,
    cells: Vec<(usize, Bytes)>,
    /// One for each cell, and some of earlier ones.
    samples: Vec<CellSamples>,
    results: Vec<Result<(), JpegError>>,
    scratch: Vec<u8>,
}

impl Decode {
    pub(super) const fn new(decoder: Arc<CellDecoder>) -> Self {
        Self {
            decoder,
            cells: Vec::new(),
            samples: Vec::new(),
            results: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Takes one more cell.
    pub(super) fn push(&mut self, cell: usize, bytes: Bytes) {
        if self.samples.len() == self.cells.len() {
            self.samples.push(self.decoder.samples());
        }
        self.cells.push((cell, bytes));
    }

    /// Each cell with its bytes and what became of it.
    pub(super) fn results(
        &mut self,
    ) -> impl Iterator<Item = (usize, Bytes, Result<&CellSamples, JpegError>)> {
        let done = self.cells.drain(..).zip(self.results.drain(..));
        done.zip(&self.samples)
            .map(|(((cell, bytes), result), samples)| (cell, bytes, result.map(|()| samples)))
    }
}

impl Task for Decode {
    const NAME: &'static str = "decode";

    fn work(&mut self) {
        for ((_, bytes), samples) in self.cells.iter().zip(&mut self.samples) {
            let result = self.decoder.decode(bytes, &mut self.scratch, samples);
            self.results.push(result);
        }
    }
}
