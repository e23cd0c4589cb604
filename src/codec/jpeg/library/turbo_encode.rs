//! Cells straight from the planes, with the transform and quantisation of crate `libjpeg-turbo-rs`.
//!
//! Its call that takes planes (`compress_raw`) has no restart interval, wants planes without a stride, allocates twice
//! the picture and builds all tables each time; its calls that have an interval want RGB. So this puts its parts
//! together one level lower: `simd::detect_encoder` for the transform with quantisation (AVX2 or NEON, found at run
//! time), `marker_writer` and `tables` for the header. Its entropy coder is not public: [`entropy`](super::super::entropy)
//! is ours. The crate calls these modules unsupported: hence its exact version in `Cargo.toml`.

use libjpeg_turbo_rs::encode::{marker_writer, pipeline, tables};
use libjpeg_turbo_rs::simd::{EncoderSimdRoutines, QuantDivisors, detect_encoder};

use super::PackedSource;
use crate::codec::jpeg::Quality;
use crate::codec::jpeg::entropy::{BlockCodes, EntropyWriter};
use crate::codec::jpeg::huffman::{STANDARD, Spec};
use crate::codec::jpeg::normalise::standard_tables;

/// All that is the same from picture to picture.
pub(super) struct Coder {
    /// SOI to SOS.
    header: Vec<u8>,
    /// Where the height stands in it, two bytes before the width.
    height_at: usize,
    luma: Tables,
    chroma: Tables,
    restart: usize,
    simd: EncoderSimdRoutines,
}

struct Tables {
    divisors: QuantDivisors,
    codes: BlockCodes,
}

impl Coder {
    pub(super) fn new(quality: Quality, restart: u16) -> Self {
        let scaled = |table| tables::quality_scale_quant_table(table, quality.get());
        let luma = scaled(&tables::STD_LUMINANCE_QUANT_TABLE);
        let chroma = scaled(&tables::STD_CHROMINANCE_QUANT_TABLE);
        let mut header = Vec::new();
        marker_writer::write_soi(&mut header);
        marker_writer::write_app0_jfif(&mut header);
        marker_writer::write_dqt(&mut header, 0, &luma);
        marker_writer::write_dqt(&mut header, 1, &chroma);
        // Behind the marker, the segment's length and the precision.
        let height_at = header.len() + 5;
        let components = [(1, 2, 2, 0), (2, 1, 1, 1), (3, 1, 1, 1)];
        marker_writer::write_sof0(&mut header, 16, 16, &components);
        header.extend_from_slice(&standard_tables());
        marker_writer::write_dri(&mut header, restart);
        marker_writer::write_sos(&mut header, &[(1, 0, 0), (2, 1, 1), (3, 1, 1)]);
        let [dc_luma, ac_luma, dc_chroma, ac_chroma] = &STANDARD;
        let tables = |quantisation, dc: &(_, _, Spec<'_>), ac: &(_, _, Spec<'_>)| Tables {
            divisors: divisors(quantisation),
            codes: BlockCodes::new(&dc.2, &ac.2),
        };
        Self {
            header,
            height_at,
            luma: tables(&luma, dc_luma, ac_luma),
            chroma: tables(&chroma, dc_chroma, ac_chroma),
            restart: usize::from(restart),
            simd: detect_encoder(),
        }
    }

    /// As [`super::StripEncoder::encode`]; `width` and `height` are those of all strips together.
    pub(super) fn encode(
        &self,
        source: PackedSource<'_>,
        (width, height): (u16, u16),
        out: &mut Vec<u8>,
    ) {
        let at = out.len() + self.height_at;
        out.extend_from_slice(&self.header);
        out[at..at + 2].copy_from_slice(&height.to_be_bytes());
        out[at + 2..at + 4].copy_from_slice(&width.to_be_bytes());
        let picture = source.picture;
        let (size, chroma_width) = (picture.size(), picture.size().chroma_width());
        let y = Plane {
            samples: picture.y(),
            width: size.width(),
        };
        let [cb, cr] = [picture.cb(), picture.cr()].map(|samples| Plane {
            samples,
            width: chroma_width,
        });
        let mut bits = EntropyWriter::new(out);
        let mut last = [0; 3];
        let mut count = 0;
        for &(left, top) in source.strips {
            for x in (left..left + source.width).step_by(16) {
                if count > 0 && count % self.restart == 0 {
                    bits.restart(count / self.restart - 1);
                    last = [0; 3];
                }
                count += 1;
                for (x, y_at) in [(x, top), (x + 8, top), (x, top + 8), (x + 8, top + 8)] {
                    self.block(y, (x, y_at), &self.luma, &mut last[0], &mut bits);
                }
                let half = (x / 2, top / 2);
                self.block(cb, half, &self.chroma, &mut last[1], &mut bits);
                self.block(cr, half, &self.chroma, &mut last[2], &mut bits);
            }
        }
        bits.end();
    }

    #[inline]
    fn block(
        &self,
        plane: Plane<'_>,
        at: (usize, usize),
        tables: &Tables,
        last: &mut i16,
        bits: &mut EntropyWriter<'_>,
    ) {
        let mut samples = [0; 64];
        let mut coefficients = [0; 64];
        plane.block(at, &mut samples);
        (self.simd.fdct_quantize)(&mut samples, &tables.divisors, &mut coefficients);
        bits.block(&coefficients, last, &tables.codes);
    }
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coder")
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Plane<'a> {
    samples: &'a [u8],
    width: usize,
}

impl Plane<'_> {
    /// The 8 x 8 samples at `x`, `y`, less 128; outside, the edge is repeated.
    #[inline]
    fn block(self, (x, y): (usize, usize), out: &mut [i16; 64]) {
        let height = self.samples.len() / self.width;
        if x + 8 > self.width || y + 8 > height {
            return self.block_at_edge((x, y), height, out);
        }
        // First as bytes: the subtraction is then done in vectors.
        let mut samples = [0; 64];
        let (rows, _) = samples.as_chunks_mut::<8>();
        let lines = self.samples[y * self.width + x..].chunks(self.width);
        for (row, line) in rows.iter_mut().zip(lines) {
            row.copy_from_slice(&line[..8]);
        }
        for (to, sample) in out.iter_mut().zip(samples) {
            *to = i16::from(sample) - 128;
        }
    }

    #[cold]
    fn block_at_edge(self, (x, y): (usize, usize), height: usize, out: &mut [i16; 64]) {
        for (index, to) in out.iter_mut().enumerate() {
            let line = (y + index / 8).min(height - 1);
            let column = (x + index % 8).min(self.width - 1);
            *to = i16::from(self.samples[line * self.width + column]) - 128;
        }
    }
}

/// What divides the transform's coefficients, which are 8 times too large. The library makes these itself only inside
/// its complete encoders.
fn divisors(table: &[u16; 64]) -> QuantDivisors {
    let scaled = table.map(|step| step * 8);
    let parts = scaled.map(pipeline::compute_reciprocal);
    let zigzag = tables::ZIGZAG_ORDER;
    let order = |index: usize| zigzag[index];
    QuantDivisors {
        divisors: scaled,
        reciprocals: parts.map(|p| p.0),
        corrections: parts.map(|p| p.1),
        scales: parts.map(|p| p.2),
        shifts: parts.map(|p| p.3),
        divisors_zigzag: std::array::from_fn(|i| scaled[order(i)]),
        reciprocals_zigzag: std::array::from_fn(|i| parts[order(i)].0),
        corrections_zigzag: std::array::from_fn(|i| parts[order(i)].1),
        scales_zigzag: std::array::from_fn(|i| parts[order(i)].2),
        shifts_zigzag: std::array::from_fn(|i| parts[order(i)].3),
        // Of another transform, which is not used.
        float_divisors: [0.0; 64],
        float_divisors_zigzag: [0.0; 64],
    }
}
