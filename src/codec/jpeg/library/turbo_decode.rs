//! Cells straight to planes, with the entropy decoder and transform of crate `libjpeg-turbo-rs`.
//!
//! Its call for planes (`decompress_raw`) reads a complete JPEG, so cells would have to be packed into one, its tables
//! built anew and its planes allocated each time. This calls the parts below it: `BitReader`, `McuDecoder` and the
//! transform (AVX2, SSE2 or NEON, found at run time), all of them safe functions, with tables made once from the
//! header that we have checked. So no parser of that crate ever sees a peer's bytes.
//!
//! What those parts do on their own with bytes that are no cell: a reader past its end, or at a marker, gives zeros
//! and says so afterwards; an unknown code is an error; a run past the 64th coefficient lands on the 64th; a table is
//! refused where it has more than 256 symbols or a code of up to nine bits too many, but not one of more bits; sums
//! of direct coefficients wrap. Nothing allocates, and nothing takes longer than the blocks asked for. Every cell has
//! passed our own walk before it comes here, so none of this should ever matter.

use std::sync::Arc;

use libjpeg_turbo_rs::common::huffman_table::HuffmanTable;
use libjpeg_turbo_rs::decode::bitstream::BitReader;
use libjpeg_turbo_rs::decode::entropy::McuDecoder;
use libjpeg_turbo_rs::encode::tables::ZIGZAG_ORDER;
use libjpeg_turbo_rs::simd::{SimdRoutines, detect};

use crate::codec::jpeg::JpegError;
use crate::codec::jpeg::layout::{Component as Named, Layout};

/// Decodes cells of one header.
pub(in crate::codec) struct CellDecoder {
    /// Y, Cb, Cr.
    components: [Component; 3],
    macroblocks: usize,
    simd: SimdRoutines,
}

struct Component {
    dc: Arc<HuffmanTable>,
    ac: Arc<HuffmanTable>,
    quantisation: [u16; 64],
}

/// The samples of one cell, 4:2:0, row by row: sixteen rows of Y, eight of Cb, eight of Cr.
#[derive(Debug)]
pub(in crate::codec) struct CellSamples {
    planes: [Vec<u8>; 3],
}

impl CellSamples {
    /// For cells of `width` px.
    pub(in crate::codec) fn new(width: usize) -> Self {
        Self {
            planes: [width * 16, width * 4, width * 4].map(|length| vec![0; length]),
        }
    }

    /// Y, Cb, Cr.
    pub(in crate::codec) const fn planes(&self) -> &[Vec<u8>; 3] {
        &self.planes
    }
}

impl CellDecoder {
    /// From a header of 4:2:0 cells of `macroblocks`.
    pub(in crate::codec::jpeg) fn new(
        layout: &Layout<'_>,
        macroblocks: usize,
    ) -> Result<Self, JpegError> {
        let [y, cb, cr] = layout.components.as_slice() else {
            return Err(JpegError::Broken("components"));
        };
        let mut built: [[Option<Arc<HuffmanTable>>; 4]; 2] = Default::default();
        // Built once where components share it, so that it is in the cache once.
        let mut table = |class: usize, number: u8| {
            let slot = &mut built[class][usize::from(number)];
            if let Some(table) = slot {
                return Ok::<_, JpegError>(Arc::clone(table));
            }
            let spec = layout.huffman[class][usize::from(number)];
            let spec = spec.ok_or(JpegError::Broken("huffman table missing"))?;
            let mut counts = [0; 17];
            counts[1..].copy_from_slice(spec.counts);
            let table = HuffmanTable::build(&counts, spec.values);
            let table = Arc::new(table.map_err(|error| JpegError::Library(error.to_string()))?);
            Ok(Arc::clone(slot.insert(table)))
        };
        let mut component = |of: &Named| {
            let zigzag = layout.quantisation.get(usize::from(of.quantisation));
            let zigzag = zigzag.copied().flatten();
            let zigzag = zigzag.ok_or(JpegError::Broken("quantisation table missing"))?;
            let mut quantisation = [0; 64];
            for (&at, &step) in ZIGZAG_ORDER.iter().zip(zigzag) {
                quantisation[at] = u16::from(step);
            }
            Ok::<_, JpegError>(Component {
                dc: table(0, of.dc)?,
                ac: table(1, of.ac)?,
                quantisation,
            })
        };
        Ok(Self {
            components: [component(y)?, component(cb)?, component(cr)?],
            macroblocks,
            simd: detect(),
        })
    }

    /// Decodes one cell. `out` is of its width; after an error anything may be in it.
    pub(in crate::codec) fn decode(
        &self,
        cell: &[u8],
        out: &mut CellSamples,
    ) -> Result<(), JpegError> {
        let mut scan = Scan {
            reader: BitReader::new(cell),
            entropy: McuDecoder::new(3),
            idct: self.simd.idct_islow,
        };
        let [luma, cb, cr] = &self.components;
        let [y_out, cb_out, cr_out] = &mut out.planes;
        let width = self.macroblocks * 16;
        for x in 0..self.macroblocks {
            for at in [0, 8, width * 8, width * 8 + 8] {
                scan.block(0, luma, width, &mut y_out[x * 16 + at..])?;
            }
            scan.block(1, cb, width / 2, &mut cb_out[x * 8..])?;
            scan.block(2, cr, width / 2, &mut cr_out[x * 8..])?;
        }
        if scan.reader.insufficient_data() {
            return Err(JpegError::Truncated);
        }
        Ok(())
    }
}

impl std::fmt::Debug for CellDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CellDecoder")
            .field("macroblocks", &self.macroblocks)
            .finish_non_exhaustive()
    }
}

struct Scan<'a> {
    reader: BitReader<'a>,
    entropy: McuDecoder,
    idct: fn(&[i16; 64], &[u16; 64], &mut [u8; 64]),
}

impl Scan<'_> {
    /// Decodes the next block to the first eight columns of `out`, whose rows are `width` apart.
    #[inline]
    fn block(
        &mut self,
        index: usize,
        component: &Component,
        width: usize,
        out: &mut [u8],
    ) -> Result<(), JpegError> {
        let mut coefficients = [0; 64];
        self.entropy
            .decode_block(
                &mut self.reader,
                index,
                &component.dc,
                &component.ac,
                &mut coefficients,
            )
            .map_err(|error| JpegError::Library(error.to_string()))?;
        let mut samples = [0; 64];
        (self.idct)(&coefficients, &component.quantisation, &mut samples);
        let (rows, _) = samples.as_chunks::<8>();
        for (row, line) in rows.iter().zip(out.chunks_mut(width)) {
            line[..8].copy_from_slice(row);
        }
        Ok(())
    }
}
