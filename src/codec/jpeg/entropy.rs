//! Writing coefficients as Huffman codes.

use super::huffman::Spec;
use super::segments::{EOI, RST0};

/// The codes of one kind of block.
pub(super) struct BlockCodes {
    dc: Codes,
    ac: Codes,
}

impl BlockCodes {
    /// From two tables that have been checked.
    pub(super) fn new(dc: &Spec<'_>, ac: &Spec<'_>) -> Self {
        Self {
            dc: codes(dc),
            ac: codes(ac),
        }
    }
}

/// Writes bits, most significant first, with a zero byte behind each 0xFF.
pub(super) struct EntropyWriter<'a> {
    out: &'a mut Vec<u8>,
    waiting: Waiting,
}

/// Bits not yet written.
#[derive(Clone, Copy)]
struct Waiting {
    /// They are the lowest; what stands above them is of earlier ones.
    held: u64,
    /// 64 less their number.
    free: u32,
}

impl Waiting {
    const NONE: Self = Self { held: 0, free: 64 };

    /// A code and the value behind it, of `size` bits.
    #[inline(always)]
    fn symbol(&mut self, code: Code, value: i32, size: u32, out: &mut Vec<u8>) {
        // A negative value is written as the value below it, without its sign.
        #[expect(clippy::cast_sign_loss, reason = "its low bits are what is written")]
        let bits = (value + (value >> 31)) as u32 & ((1 << size) - 1);
        self.put(
            code >> LENGTH_BITS | bits,
            code & ((1 << LENGTH_BITS) - 1),
            out,
        );
    }

    /// At most 32 bits.
    #[inline(always)]
    fn put(&mut self, bits: u32, count: u32, out: &mut Vec<u8>) {
        if let Some(free) = self.free.checked_sub(count) {
            self.held = self.held << count | u64::from(bits);
            self.free = free;
        } else {
            let over = count - self.free;
            write_word(self.held << self.free | u64::from(bits >> over), out);
            self.held = u64::from(bits);
            self.free = 64 - over;
        }
    }
}

impl<'a> EntropyWriter<'a> {
    /// Appends to `out`.
    pub(super) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            waiting: Waiting::NONE,
        }
    }

    /// A block of coefficients in zigzag order, less than 2048 each; `last` is the first one of the block before.
    #[inline]
    pub(super) fn block(&mut self, coefficients: &[i16; 64], last: &mut i16, tables: &BlockCodes) {
        // In registers while the block is written.
        let mut waiting = self.waiting;
        let difference = i32::from(coefficients[0]) - i32::from(*last);
        *last = coefficients[0];
        let size = bit_size(difference);
        let code = tables.dc[size as usize & 0xFF];
        waiting.symbol(code, difference, size, self.out);
        let mut left = non_zero(coefficients) & !1;
        let mut position = 1;
        while left != 0 {
            let next = left.trailing_zeros();
            left &= left - 1;
            let value = i32::from(coefficients[next as usize & 63]);
            let mut run = next - position;
            while run > 15 {
                waiting.symbol(tables.ac[SIXTEEN_ZEROS], 0, 0, self.out);
                run -= 16;
            }
            let size = bit_size(value);
            let code = tables.ac[(run << 4 | size) as usize & 0xFF];
            waiting.symbol(code, value, size, self.out);
            position = next + 1;
        }
        if position < 64 {
            waiting.symbol(tables.ac[END_OF_BLOCK], 0, 0, self.out);
        }
        self.waiting = waiting;
    }

    /// Writes all that waits, with ones behind it.
    fn fill_byte(&mut self) {
        let Waiting { held, free } = std::mem::replace(&mut self.waiting, Waiting::NONE);
        let count = 64 - free;
        if count > 0 {
            let ones = u64::MAX.checked_shr(count).unwrap_or(0);
            let bytes = (held << free | ones).to_be_bytes();
            write_bytes(&bytes[..count.div_ceil(8) as usize], self.out);
        }
    }

    /// The marker behind interval `index`.
    pub(super) fn restart(&mut self, index: usize) {
        self.fill_byte();
        let number = u8::try_from(index % 8).unwrap_or_default();
        self.out.extend_from_slice(&[0xFF, RST0 + number]);
    }

    /// The end marker.
    pub(super) fn end(mut self) {
        self.fill_byte();
        self.out.extend_from_slice(&[0xFF, EOI]);
    }
}

#[inline(never)]
fn write_word(word: u64, out: &mut Vec<u8>) {
    // A byte of 0xFF has its highest bit set and loses it when one is added.
    const ONES: u64 = u64::MAX / 255;
    let bytes = word.to_be_bytes();
    if word & !word.wrapping_add(ONES) & (ONES << 7) == 0 {
        out.extend_from_slice(&bytes);
    } else {
        write_bytes(&bytes, out);
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        out.push(byte);
        if byte == 0xFF {
            out.push(0);
        }
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

/// By symbol.
type Codes = [Code; 256];

/// A code with room behind it for the value's bits, and the number of all these bits in the lowest [`LENGTH_BITS`].
type Code = u32;

fn codes(spec: &Spec<'_>) -> Codes {
    let mut codes = [0; 256];
    let mut code = 0;
    let mut symbols = spec.values.iter();
    for (length, &count) in (1..).zip(spec.counts) {
        for &symbol in symbols.by_ref().take(usize::from(count)) {
            // The low half of a symbol is its value's size, in tables of both classes.
            let size = u32::from(symbol & 15);
            codes[usize::from(symbol)] = code << size << LENGTH_BITS | (length + size);
            code += 1;
        }
        code <<= 1;
    }
    codes
}

/// At most 16 bits of code and 11 of value: 27, which leaves these.
const LENGTH_BITS: u32 = 5;

const SIXTEEN_ZEROS: usize = 0xF0;
const END_OF_BLOCK: usize = 0;
