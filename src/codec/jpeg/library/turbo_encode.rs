//! Cells straight from the planes, with the transform and quantisation of crate `libjpeg-turbo-rs`.
//!
//! Its call that takes planes (`compress_raw`) has no restart interval, wants planes without a stride, allocates twice
//! the picture and builds all tables each time; its calls that have an interval want RGB. So this puts its parts
//! together one level lower: `simd::detect_encoder` for the transform with quantisation (AVX2 or NEON, found at run
//! time), `marker_writer` and `tables` for the header, and 80 lines of entropy coding here, since its own is not
//! public. The crate calls these modules unsupported: hence its exact version in `Cargo.toml`.

use libjpeg_turbo_rs::encode::{huffman_encode, marker_writer, pipeline, tables};
use libjpeg_turbo_rs::simd::{EncoderSimdRoutines, QuantDivisors, detect_encoder};

use super::PackedSource;
use crate::codec::jpeg::Quality;
use crate::codec::jpeg::segments::{EOI, RST0};

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
    dc: Codes,
    ac: Codes,
}

/// By symbol: the code, and its length in the low byte.
type Codes = [u32; 256];

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
        for (class, number, bits, values) in STANDARD {
            marker_writer::write_dht(&mut header, class, number, bits, values);
        }
        marker_writer::write_dri(&mut header, restart);
        marker_writer::write_sos(&mut header, &[(1, 0, 0), (2, 1, 1), (3, 1, 1)]);
        let [dc_luma, ac_luma, dc_chroma, ac_chroma] =
            STANDARD.map(|(_, _, bits, values)| codes(bits, values));
        let tables = |quantisation, dc, ac| Tables {
            divisors: divisors(quantisation),
            dc,
            ac,
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
        let mut bits = Bits {
            out,
            held: 0,
            free: 64,
        };
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
        bits.fill_byte();
        bits.out.extend_from_slice(&[0xFF, EOI]);
    }

    #[inline]
    fn block(
        &self,
        plane: Plane<'_>,
        at: (usize, usize),
        tables: &Tables,
        last: &mut i16,
        bits: &mut Bits<'_>,
    ) {
        let mut samples = [0; 64];
        let mut coefficients = [0; 64];
        plane.block(at, &mut samples);
        (self.simd.fdct_quantize)(&mut samples, &tables.divisors, &mut coefficients);
        bits.block(&coefficients, last, tables);
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
        let (rows, _) = out.as_chunks_mut::<8>();
        let mut from = y * self.width + x;
        for row in rows {
            for (to, sample) in row.iter_mut().zip(&self.samples[from..from + 8]) {
                *to = i16::from(*sample) - 128;
            }
            from += self.width;
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

/// Writes bits, most significant first, with a zero byte behind each 0xFF.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    /// The bits that wait are the lowest; what stands above them is of earlier ones.
    held: u64,
    /// 64 less the bits that wait.
    free: u32,
}

impl Bits<'_> {
    /// A block of coefficients in zigzag order.
    #[inline]
    fn block(&mut self, coefficients: &[i16; 64], last: &mut i16, tables: &Tables) {
        let difference = i32::from(coefficients[0]) - i32::from(*last);
        *last = coefficients[0];
        let size = bit_size(difference);
        self.symbol(tables.dc[size as usize & 0xFF], difference, size);
        let mut left = non_zero(coefficients) & !1;
        let mut position = 1;
        while left != 0 {
            let next = left.trailing_zeros();
            left &= left - 1;
            let value = i32::from(coefficients[next as usize & 63]);
            let mut run = next - position;
            while run > 15 {
                self.symbol(tables.ac[SIXTEEN_ZEROS], 0, 0);
                run -= 16;
            }
            let size = bit_size(value);
            self.symbol(tables.ac[(run << 4 | size) as usize & 0xFF], value, size);
            position = next + 1;
        }
        if position < 64 {
            self.symbol(tables.ac[END_OF_BLOCK], 0, 0);
        }
    }

    /// A code and the `size` bits of `value` behind it.
    #[inline]
    fn symbol(&mut self, code: u32, value: i32, size: u32) {
        // A negative value is written as the value below it, without its sign.
        #[expect(clippy::cast_sign_loss, reason = "its low bits are what is written")]
        let bits = (value + (value >> 31)) as u32 & ((1 << size) - 1);
        self.put(code >> 8 << size | bits, (code & 0xFF) + size);
    }

    /// At most 32 bits.
    #[inline]
    fn put(&mut self, bits: u32, count: u32) {
        if let Some(free) = self.free.checked_sub(count) {
            self.held = self.held << count | u64::from(bits);
            self.free = free;
        } else {
            let over = count - self.free;
            self.held = self.held << self.free | u64::from(bits >> over);
            self.word();
            self.held = u64::from(bits);
            self.free = 64 - over;
        }
    }

    #[inline]
    fn word(&mut self) {
        let bytes = self.held.to_be_bytes();
        // A byte of 0xFF has its highest bit set and loses it when one is added.
        const ONES: u64 = u64::MAX / 255;
        if self.held & !self.held.wrapping_add(ONES) & (ONES << 7) == 0 {
            self.out.extend_from_slice(&bytes);
        } else {
            bytes.into_iter().for_each(|byte| self.byte(byte));
        }
    }

    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
        if byte == 0xFF {
            self.out.push(0);
        }
    }

    /// Writes all that waits, with ones behind it.
    fn fill_byte(&mut self) {
        let waiting = 64 - self.free;
        if waiting > 0 {
            let ones = u64::MAX.checked_shr(waiting).unwrap_or(0);
            let aligned = self.held << self.free | ones;
            for byte in &aligned.to_be_bytes()[..waiting.div_ceil(8) as usize] {
                self.byte(*byte);
            }
        }
        self.held = 0;
        self.free = 64;
    }

    /// The marker behind interval `index`.
    fn restart(&mut self, index: usize) {
        self.fill_byte();
        let number = u8::try_from(index % 8).unwrap_or_default();
        self.out.extend_from_slice(&[0xFF, RST0 + number]);
    }
}

/// Bits that the value's magnitude takes.
#[inline]
const fn bit_size(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

/// A bit for each coefficient that is not zero, the first one lowest.
#[inline]
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

fn codes(bits: &[u8; 17], values: &[u8]) -> Codes {
    let table = huffman_encode::build_huff_table(bits, values);
    std::array::from_fn(|symbol| {
        u32::from(table.ehufco[symbol]) << 8 | u32::from(table.ehufsi[symbol])
    })
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

/// Class, number, lengths and symbols of the tables of annex K.3.
static STANDARD: [(u8, u8, &[u8; 17], &[u8]); 4] = [
    (
        0,
        0,
        &tables::DC_LUMINANCE_BITS,
        &tables::DC_LUMINANCE_VALUES,
    ),
    (
        1,
        0,
        &tables::AC_LUMINANCE_BITS,
        &tables::AC_LUMINANCE_VALUES,
    ),
    (
        0,
        1,
        &tables::DC_CHROMINANCE_BITS,
        &tables::DC_CHROMINANCE_VALUES,
    ),
    (
        1,
        1,
        &tables::AC_CHROMINANCE_BITS,
        &tables::AC_CHROMINANCE_VALUES,
    ),
];

const SIXTEEN_ZEROS: usize = 0xF0;
const END_OF_BLOCK: usize = 0;
