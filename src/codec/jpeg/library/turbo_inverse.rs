//! From coefficients to samples, with the inverse transform of crate `libjpeg-turbo-rs`, or our own (`inverse`) where the
//! machine has AVX2.
//!
//! It is all of that crate that is used in decoding. Its call for planes (`decompress_raw`) reads a complete JPEG:
//! cells would have to be packed into one, its tables built anew and its planes allocated each time. Its entropy
//! decoder can be called alone (`decode::entropy`), and is bounded well enough: zeros behind the end, unknown codes
//! are errors, a run past the 64th coefficient lands on the 64th, nothing allocates. But our own walk over a cell,
//! without which we would not let a young decoder near a peer's bytes, meets every coefficient on its way anyway, and
//! handing them out there takes less time than walking twice. What is left for the crate is a function of arrays of
//! fixed size (SSE2 or NEON), which gives samples for whatever is in them.

use libjpeg_turbo_rs::simd::{SimdRoutines, detect};

#[cfg(target_arch = "x86_64")]
use super::inverse::{Steps, inverse_apart, inverse_beside, steps};
use super::machine::Machine;
use crate::codec::jpeg::JpegError;
use crate::codec::jpeg::layout::Layout;
use crate::codec::jpeg::scan::{Pair, ZIGZAG};

/// Multiplies and transforms the blocks of one header, two at a time.
pub(in crate::codec::jpeg) struct Inverse {
    /// Steps by component, row by row.
    quantisation: [[u16; 64]; 3],
    /// Those of two Y, and of Cb and Cr.
    #[cfg(target_arch = "x86_64")]
    steps: [Steps; 2],
    simd: SimdRoutines,
    machine: Machine,
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
        Ok(Self::with(quantisation, Machine::new()))
    }

    fn with(quantisation: [[u16; 64]; 3], machine: Machine) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            steps: [(0, 0), (1, 2)].map(|(a, b)| steps(&quantisation[a], &quantisation[b])),
            quantisation,
            simd: detect(),
            machine,
        }
    }

    /// The same as on any other machine.
    #[cfg(any(test, fuzzing))]
    pub(in crate::codec::jpeg) const fn portable(mut self) -> Self {
        self.machine = Machine::Any;
        self
    }

    /// What these are called within.
    pub(in crate::codec::jpeg) const fn machine(&self) -> Machine {
        self.machine
    }

    /// Writes two blocks of Y side by side to the first sixteen columns and eight rows of `out`, whose rows are `width`
    /// apart.
    #[inline(always)]
    pub(in crate::codec::jpeg) fn luma(&self, pair: &Pair, out: &mut [u8], width: usize) {
        match self.machine {
            Machine::Any => {
                self.block(0, pair, 0, out, width);
                self.block(0, pair, 8, &mut out[8..], width);
            }
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2(avx2) => inverse_beside(avx2, pair, &self.steps[0], out, width),
        }
    }

    /// Writes a block of Cb and one of Cr to the first eight columns and rows of each of `out`.
    #[inline(always)]
    pub(in crate::codec::jpeg) fn chroma(&self, pair: &Pair, out: [&mut [u8]; 2], width: usize) {
        let [blue, red] = out;
        match self.machine {
            Machine::Any => {
                self.block(1, pair, 0, blue, width);
                self.block(2, pair, 8, red, width);
            }
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2(avx2) => inverse_apart(avx2, pair, &self.steps[1], blue, red, width),
        }
    }

    /// The block that stands at `offset` of a pair.
    fn block(&self, component: usize, pair: &Pair, offset: usize, out: &mut [u8], width: usize) {
        let mut coefficients = [0; 64];
        let (rows, _) = coefficients.as_chunks_mut::<8>();
        for (row, both) in rows.iter_mut().zip(pair.chunks(16)) {
            row.copy_from_slice(&both[offset..offset + 8]);
        }
        let mut samples = [0; 64];
        (self.simd.idct_islow)(&coefficients, &self.quantisation[component], &mut samples);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What both pairs of a macroblock become.
    fn samples(inverse: &Inverse, pair: &Pair) -> [Vec<u8>; 3] {
        let mut planes = [vec![0; 20 * 8], vec![0; 10 * 8], vec![0; 10 * 8]];
        let [y, cb, cr] = &mut planes;
        inverse.luma(pair, y, 20);
        inverse.chroma(pair, [cb, cr], 10);
        planes
    }

    proptest! {
        #[test]
        fn the_transform_of_this_machine_is_that_of_the_library(
            most in 1u16..=255,
            steps in prop::collection::vec(any::<u16>(), 64 * 3),
            first in [-1000i16..1000, -1000i16..1000],
            others in prop::collection::vec((2usize..128, -500i16..=500), 0..12),
        ) {
            let quantisation = std::array::from_fn(|at| std::array::from_fn(|k| 1 + steps[at * 64 + k] % most));
            let mut pair = [0; 128];
            // No larger than those of a picture once they are multiplied.
            for (at, value) in [(0, first[0]), (8, first[1])].into_iter().chain(others) {
                pair[at] = value / most.cast_signed();
            }
            let ours = samples(&Inverse::with(quantisation, Machine::new()), &pair);
            let theirs = samples(&Inverse::with(quantisation, Machine::Any), &pair);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn any_coefficients_become_samples(values in prop::collection::vec(any::<i16>(), 128)) {
            let pair = values.try_into().unwrap();
            samples(&Inverse::with([[255; 64]; 3], Machine::new()), &pair);
        }
    }
}
