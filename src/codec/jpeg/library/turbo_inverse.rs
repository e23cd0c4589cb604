//! From coefficients to samples, with the inverse transform of crate `libjpeg-turbo-rs`.
//!
//! It is all of that crate that is used in decoding. Its call for planes (`decompress_raw`) reads a complete JPEG:
//! cells would have to be packed into one, its tables built anew and its planes allocated each time. Its entropy
//! decoder can be called alone (`decode::entropy`), and is bounded well enough: zeros behind the end, unknown codes
//! are errors, a run past the 64th coefficient lands on the 64th, nothing allocates. But our own walk over a cell,
//! without which we would not let a young decoder near a peer's bytes, meets every coefficient on its way anyway, and
//! handing them out there takes less time than walking twice. What is left for the crate is a function of arrays of
//! fixed size (AVX2, SSE2 or NEON, found at run time), which gives samples for whatever is in them.

use libjpeg_turbo_rs::simd::{SimdRoutines, detect};

use crate::codec::jpeg::JpegError;
use crate::codec::jpeg::layout::Layout;
use crate::codec::jpeg::scan::ZIGZAG;

/// Multiplies and transforms the blocks of one header.
pub(in crate::codec::jpeg) struct Inverse {
    /// Steps by component, row by row.
    quantisation: [[u16; 64]; 3],
    simd: SimdRoutines,
}

impl Inverse {
    /// From a header with three components.
    pub(in crate::codec::jpeg) fn new(layout: &Layout<'_>) -> Result<Self, JpegError> {
        let mut quantisation = [[0; 64]; 3];
        if layout.components.len() != quantisation.len() {
            return Err(JpegError::Broken("components"));
        }
        for (steps, component) in quantisation.iter_mut().zip(&layout.components) {
            let table = layout.quantisation.get(usize::from(component.quantisation));
            let table = table.copied().flatten();
            let table = table.ok_or(JpegError::Broken("quantisation table missing"))?;
            for (&place, &step) in ZIGZAG.iter().zip(table) {
                steps[usize::from(place)] = u16::from(step);
            }
        }
        Ok(Self {
            quantisation,
            simd: detect(),
        })
    }

    /// Writes a block of `component` (0 to 2) to the first eight columns and rows of `out`, whose rows are `width`
    /// apart.
    #[inline]
    pub(in crate::codec::jpeg) fn block(
        &self,
        component: usize,
        coefficients: &[i16; 64],
        width: usize,
        out: &mut [u8],
    ) {
        let mut samples = [0; 64];
        (self.simd.idct_islow)(coefficients, &self.quantisation[component], &mut samples);
        let (rows, _) = samples.as_chunks::<8>();
        for (row, line) in rows.iter().zip(out.chunks_mut(width)) {
            line[..8].copy_from_slice(row);
        }
    }
}

impl std::fmt::Debug for Inverse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inverse").finish_non_exhaustive()
    }
}
