//! Cells straight from the planes, with the transform and quantisation of crate `libjpeg-turbo-rs`.
//!
//! Its call that takes planes (`compress_raw`) has no restart interval, wants planes without a stride, allocates twice
//! the picture and builds all tables each time; its calls that have an interval want RGB. So this puts its parts
//! together one level lower: `simd::detect_encoder` for the transform with quantisation (NEON, where there is),
//! `marker_writer` and `tables` for the header. Its entropy coder is not public: [`entropy`](super::super::entropy) is
//! ours, and so is the transform where the machine has AVX2 (`forward`). The crate calls these modules unsupported:
//! hence its exact version in `Cargo.toml`.

use libjpeg_turbo_rs::encode::{marker_writer, pipeline, tables};
use libjpeg_turbo_rs::simd::{EncoderSimdRoutines, QuantDivisors, detect_encoder};

use super::PackedSource;
#[cfg(target_arch = "x86_64")]
use super::forward::{Divisors, PLACES, forward};
use super::machine::Machine;
use crate::codec::jpeg::Quality;
use crate::codec::jpeg::entropy::{Block, BlockCodes, EntropyWriter};
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
    machine: Machine,
}

struct Tables {
    divisors: QuantDivisors,
    #[cfg(target_arch = "x86_64")]
    rows: Divisors,
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
        let tables = |quantisation, dc: &(_, _, Spec<'_>), ac: &(_, _, Spec<'_>)| {
            let divisors = divisors(quantisation);
            Tables {
                #[cfg(target_arch = "x86_64")]
                rows: Divisors::new(&divisors),
                divisors,
                codes: BlockCodes::new(&dc.2, &ac.2),
            }
        };
        Self {
            header,
            height_at,
            luma: tables(&luma, dc_luma, ac_luma),
            chroma: tables(&chroma, dc_chroma, ac_chroma),
            restart: usize::from(restart),
            simd: detect_encoder(),
            machine: Machine::new(),
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
        let y = Plane::new(picture.y(), size.width());
        let [cb, cr] = [picture.cb(), picture.cr()].map(|s| Plane::new(s, chroma_width));
        let planes = [y, cb, cr];
        self.machine.run(
            #[inline(always)]
            || self.strips(planes, source, out),
        );
    }

    #[inline(always)]
    fn strips(&self, [y, cb, cr]: [Plane<'_>; 3], source: PackedSource<'_>, out: &mut Vec<u8>) {
        let mut bits = EntropyWriter::new(out);
        let mut values = [[0; 128]; 3];
        let mut last = [0; 3];
        let mut until_restart = self.restart;
        let mut intervals = 0;
        for &(left, top) in source.strips {
            for x in (left..left + source.width).step_by(16) {
                if until_restart == 0 {
                    bits.restart(intervals);
                    intervals += 1;
                    until_restart = self.restart;
                    last = [0; 3];
                }
                until_restart -= 1;
                let [luma, blue, red] = &mut last;
                let [upper, lower, coloured] = &mut values;
                // All of a macroblock first: the processor does parts of one while it waits for another.
                let half = (x / 2, top / 2);
                let rows = side_by_side(cb.eight(half), cr.eight(half));
                let upper = self.transform(y.sixteen((x, top)), &self.luma, upper);
                let lower = self.transform(y.sixteen((x, top + 8)), &self.luma, lower);
                let coloured = self.transform(rows, &self.chroma, coloured);
                for block in [upper.get(0), upper.get(1), lower.get(0), lower.get(1)] {
                    bits.block(block, luma, &self.luma.codes);
                }
                bits.block(coloured.get(0), blue, &self.chroma.codes);
                bits.block(coloured.get(1), red, &self.chroma.codes);
            }
        }
        bits.end();
    }

    #[inline(always)]
    fn transform<'a>(&self, rows: Rows, tables: &Tables, values: &'a mut [i16; 128]) -> Blocks<'a> {
        match self.machine {
            Machine::Any => Blocks {
                present: portable(&self.simd, rows, &tables.divisors, values),
                values,
                places: &IN_ORDER,
                distance: 64,
            },
            #[cfg(target_arch = "x86_64")]
            Machine::Avx2(avx2) => Blocks {
                present: forward(avx2, rows, &tables.rows, values),
                values,
                places: &PLACES,
                distance: 8,
            },
        }
    }
}

/// Eight rows of two blocks: eight samples of the one and eight of the other, the first one lowest.
pub(super) type Rows = [[u64; 2]; 8];

/// Two blocks of which one stands in each.
#[inline(always)]
const fn side_by_side(a: [u64; 8], b: [u64; 8]) -> Rows {
    [
        [a[0], b[0]],
        [a[1], b[1]],
        [a[2], b[2]],
        [a[3], b[3]],
        [a[4], b[4]],
        [a[5], b[5]],
        [a[6], b[6]],
        [a[7], b[7]],
    ]
}

/// The coefficients of two blocks.
struct Blocks<'a> {
    values: &'a [i16; 128],
    present: [u64; 2],
    places: &'static [u8; 64],
    /// How far the second block's are behind the first one's.
    distance: usize,
}

impl<'a> Blocks<'a> {
    #[inline(always)]
    const fn get(&self, which: usize) -> Block<'a> {
        Block {
            values: self.values,
            places: self.places,
            offset: which * self.distance,
            present: self.present[which],
        }
    }
}

/// As `forward::forward`, by the library, with each block's coefficients in zigzag order.
fn portable(
    simd: &EncoderSimdRoutines,
    rows: Rows,
    divisors: &QuantDivisors,
    out: &mut [i16; 128],
) -> [u64; 2] {
    let (blocks, _) = out.as_chunks_mut::<64>();
    let mut present = [0; 2];
    for (which, (block, present)) in blocks.iter_mut().zip(&mut present).enumerate() {
        let mut samples = [0; 64];
        let (lines, _) = samples.as_chunks_mut::<8>();
        for (line, row) in lines.iter_mut().zip(rows) {
            *line = row[which]
                .to_le_bytes()
                .map(|sample| i16::from(sample) - 128);
        }
        (simd.fdct_quantize)(&mut samples, divisors, block);
        *present = non_zero(block);
    }
    present
}

/// A bit for each coefficient that is not zero, the first one lowest.
fn non_zero(coefficients: &[i16; 64]) -> u64 {
    let mut flags = [0u8; 64];
    for (flag, value) in flags.iter_mut().zip(coefficients) {
        *flag = u8::from(*value != 0);
    }
    // Eight bytes of 0 or 1 to eight bits: each product brings one of them to its place in the top byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (eights, _) = flags.as_chunks::<8>();
    eights.iter().rev().fold(0, |bits, eight| {
        bits << 8 | u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56
    })
}

/// Where coefficients in zigzag order stand.
const IN_ORDER: [u8; 64] = {
    let mut places = [0; 64];
    let (mut index, mut place) = (0, 0);
    while index < 64 {
        places[index] = place;
        (index, place) = (index + 1, place + 1);
    }
    places
};

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
    height: usize,
}

impl<'a> Plane<'a> {
    fn new(samples: &'a [u8], width: usize) -> Self {
        Self {
            samples,
            width,
            height: samples.len() / width,
        }
    }

    /// Eight rows of sixteen samples at `x`, `y`; outside, the edge is repeated.
    #[inline(always)]
    fn sixteen(self, (x, y): (usize, usize)) -> Rows {
        if x + 16 > self.width || y + 8 > self.height {
            return side_by_side(self.eight_at_edge((x, y)), self.eight_at_edge((x + 8, y)));
        }
        let row = |row| {
            let at = (y + row) * self.width + x;
            let row = &self.samples[at..at + 16];
            [eight(&row[..8]), eight(&row[8..])]
        };
        // One after the other, so that they stay in registers: a loop would put them together in memory.
        [
            row(0),
            row(1),
            row(2),
            row(3),
            row(4),
            row(5),
            row(6),
            row(7),
        ]
    }

    /// Eight rows of eight.
    #[inline(always)]
    fn eight(self, (x, y): (usize, usize)) -> [u64; 8] {
        if x + 8 > self.width || y + 8 > self.height {
            return self.eight_at_edge((x, y));
        }
        let row = |row| {
            let at = (y + row) * self.width + x;
            eight(&self.samples[at..at + 8])
        };
        [
            row(0),
            row(1),
            row(2),
            row(3),
            row(4),
            row(5),
            row(6),
            row(7),
        ]
    }

    #[cold]
    #[inline(never)]
    fn eight_at_edge(self, (x, y): (usize, usize)) -> [u64; 8] {
        std::array::from_fn(|row| {
            let line = (y + row).min(self.height - 1) * self.width;
            let sample = |column: usize| self.samples[line + (x + column).min(self.width - 1)];
            u64::from_le_bytes(std::array::from_fn(sample))
        })
    }
}

/// Samples as [`Rows`] hold them.
#[inline(always)]
fn eight(samples: &[u8]) -> u64 {
    samples
        .first_chunk()
        .map_or(0, |eight| u64::from_le_bytes(*eight))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::testing::{photo, size};

    fn portable_coder(quality: u8, restart: u16) -> Coder {
        Coder {
            machine: Machine::Any,
            ..Coder::new(Quality::new(quality).unwrap(), restart)
        }
    }

    proptest! {
        #[test]
        fn the_transform_of_this_machine_is_that_of_the_library(
            quality in 1u8..=100,
            extreme in any::<bool>(),
            samples in prop::collection::vec(any::<u8>(), 128),
        ) {
            let coder = Coder::new(Quality::new(quality).unwrap(), 1);
            let sample = |at: usize| match extreme {
                true => (samples[at] >> 7) * 255,
                false => samples[at],
            };
            let block = |at| std::array::from_fn(|row| {
                u64::from_le_bytes(std::array::from_fn(|column| sample(at + row * 8 + column)))
            });
            let rows = side_by_side(block(0), block(64));
            for tables in [&coder.luma, &coder.chroma] {
                let (mut ours, mut theirs) = ([0; 128], [0; 128]);
                let ours = coder.transform(rows, tables, &mut ours);
                let portable = portable_coder(quality, 1);
                let theirs = portable.transform(rows, tables, &mut theirs);
                prop_assert_eq!(ours.present, theirs.present);
                for which in 0..2 {
                    for index in 0..64 {
                        prop_assert_eq!(ours.get(which).value(index), theirs.get(which).value(index));
                    }
                }
            }
        }

        #[test]
        fn every_machine_codes_a_picture_alike(
            quality in 1u8..=100,
            width in 16u32..100,
            height in 16u32..40,
            restart in 1u16..5,
        ) {
            let picture = photo(size(width & !1, height & !1), 3);
            let source = PackedSource { picture: &picture, strips: &[(0, 0), (16, 16)], width: 96 };
            let [mut ours, mut theirs] = [const { Vec::new() }; 2];
            let coder = Coder::new(Quality::new(quality).unwrap(), restart);
            coder.encode(source, (96, 32), &mut ours);
            portable_coder(quality, restart).encode(source, (96, 32), &mut theirs);
            prop_assert_eq!(ours, theirs);
        }
    }
}
