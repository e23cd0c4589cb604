//! Writing coefficients as Huffman codes.

use super::huffman::Spec;
use super::segments::{EOI, RST0, find_ff};

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
///
/// Bits go to a buffer first, eight bytes at a time of which those that are not full are written over by the next ones:
/// that way it does not depend on the bits when a byte is written, which no processor could guess.
pub(super) struct EntropyWriter<'a> {
    out: &'a mut Vec<u8>,
    bits: Bits,
}

struct Bits {
    bytes: Bytes,
    /// Where the next bit goes.
    at: Place,
}

/// Room for [`HELD`] bytes and what is written behind them.
type Bytes = [u8; HELD + 8];

#[derive(Clone, Copy)]
struct Place {
    byte: usize,
    /// Bits of it that are taken, the highest of `held`; what stands below them is zero.
    taken: u32,
    held: u64,
}

impl Place {
    const START: Self = Self {
        byte: 0,
        taken: 0,
        held: 0,
    };

    /// A code and the value behind it. They are written by [`Self::write`], for which at most 64 bits may wait.
    #[inline(always)]
    const fn add(&mut self, code: Code, value: i32) {
        self.taken += code.count;
        let bits = code.bits.wrapping_add_signed(value) as u64;
        self.held |= bits << ((64 - self.taken) & 63);
    }

    #[inline(always)]
    fn write(&mut self, bytes: &mut Bytes) {
        let byte = self.byte % HELD;
        bytes[byte..byte + 8].copy_from_slice(&self.held.to_be_bytes());
        self.byte = byte + (self.taken / 8) as usize;
        self.held <<= self.taken & 56;
        self.taken %= 8;
    }
}

/// The coefficients of a block and where they are.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// Those of two blocks, less than 2048 each.
    pub(super) values: &'a [i16; 128],
    /// By place in zigzag order.
    pub(super) places: &'a [u8; 64],
    /// Added to the place.
    pub(super) offset: usize,
    /// A bit for each that is not zero, in zigzag order, the first one lowest.
    pub(super) present: u64,
}

impl Block<'_> {
    /// The coefficient at `index` in zigzag order.
    #[inline(always)]
    pub(super) fn value(self, index: u32) -> i16 {
        let place = usize::from(self.places[index as usize % 64]);
        self.values[(place + self.offset) % 128]
    }
}

/// The coefficients of a block behind the first one while they are written: all of it in registers.
struct Rest<'a> {
    block: Block<'a>,
    codes: &'a Codes,
    left: u64,
    position: u32,
    at: Place,
    bytes: &'a mut Bytes,
}

impl Rest<'_> {
    /// Adds the next coefficient that is not zero; before it at most 38 bits may wait.
    #[inline(always)]
    fn add_next(&mut self) {
        let next = self.left.trailing_zeros();
        self.left &= self.left - 1;
        let mut run = next - self.position;
        while run > 15 {
            self.at.add(self.codes[SIXTEEN_ZEROS], 0);
            self.at.write(self.bytes);
            run -= 16;
        }
        let value = i32::from(self.block.value(next));
        let code = self.codes[((run as usize) << 5 | kind(value)) % 512];
        self.at.add(code, value);
        self.position = next + 1;
    }
}

impl<'a> EntropyWriter<'a> {
    /// Appends to `out`.
    pub(super) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            bits: Bits {
                bytes: [0; HELD + 8],
                at: Place::START,
            },
        }
    }

    /// A block; `last` is the first coefficient of the block before.
    #[inline(always)]
    pub(super) fn block(&mut self, block: Block<'_>, last: &mut i16, tables: &BlockCodes) {
        if self.bits.at.byte > HELD - LONGEST_BLOCK {
            self.drain();
        }
        let first = block.value(0);
        let difference = i32::from(first) - i32::from(*last);
        *last = first;
        let mut rest = Rest {
            block,
            codes: &tables.ac,
            left: block.present & !1,
            position: 1,
            at: self.bits.at,
            bytes: &mut self.bits.bytes,
        };
        rest.at.add(tables.dc[kind(difference)], difference);
        // Two at a time are written: with what waits they never are more than 64 bits.
        while rest.left != 0 {
            rest.add_next();
            rest.at.write(rest.bytes);
            if rest.left == 0 {
                break;
            }
            rest.add_next();
        }
        if rest.position < 64 {
            rest.at.add(tables.ac[END_OF_BLOCK], 0);
        }
        rest.at.write(rest.bytes);
        self.bits.at = rest.at;
    }

    /// Appends the bytes that are full.
    #[inline(never)]
    fn drain(&mut self) {
        let at = &mut self.bits.at;
        let mut bytes = &self.bits.bytes[..at.byte];
        while let Some(ff) = find_ff(bytes) {
            let (stuffed, rest) = bytes.split_at(ff + 1);
            self.out.extend_from_slice(stuffed);
            self.out.push(0);
            bytes = rest;
        }
        self.out.extend_from_slice(bytes);
        at.byte = 0;
    }

    /// Appends all bits, with ones behind them.
    fn finish(&mut self) {
        let missing = self.bits.at.taken.wrapping_neg() % 8;
        let ones = Code {
            bits: (1 << missing) - 1,
            count: missing,
        };
        self.bits.at.add(ones, 0);
        self.bits.at.write(&mut self.bits.bytes);
        self.drain();
        self.bits.at = Place::START;
    }

    /// The marker behind interval `index`.
    pub(super) fn restart(&mut self, index: usize) {
        self.finish();
        let number = u8::try_from(index % 8).unwrap_or_default();
        self.out.extend_from_slice(&[0xFF, RST0 + number]);
    }

    /// The end marker.
    pub(super) fn end(mut self) {
        self.finish();
        self.out.extend_from_slice(&[0xFF, EOI]);
    }
}

/// Twice the number of bits that the value's magnitude takes, and one more where it is negative.
#[inline(always)]
fn kind(value: i32) -> usize {
    usize::from(KINDS[(value + 2048).cast_unsigned() as usize % 4096])
}

/// By value, which is at least -2048. A look-up costs half of what counting its bits does.
static KINDS: [u8; 4096] = {
    let mut kinds = [0; 4096];
    let mut index = 1;
    let mut bits = 0;
    while index < 2048 {
        if index == 1 << bits {
            bits += 1;
        }
        kinds[2048 + index] = bits * 2;
        kinds[2048 - index] = bits * 2 + 1;
        index += 1;
    }
    kinds[0] = 12 * 2 + 1;
    kinds
};

/// By run and kind.
type Codes = [Code; 512];

/// What a value is added to, and how many bits that makes.
#[derive(Clone, Copy, Default)]
struct Code {
    bits: u32,
    count: u32,
}

fn codes(spec: &Spec<'_>) -> Codes {
    let mut codes = [Code::default(); 512];
    let mut code = 0;
    let mut symbols = spec.values.iter();
    for (length, &count) in (1..).zip(spec.counts) {
        for &symbol in symbols.by_ref().take(usize::from(count)) {
            // The low half of a symbol is its value's size, in tables of both classes.
            let size = u32::from(symbol & 15);
            let count = length + size;
            let at = usize::from(symbol) * 2;
            codes[at] = Code {
                bits: code << size,
                count,
            };
            // A negative value is written as the value below it, without its sign.
            codes[at + 1] = Code {
                bits: ((code + 1) << size) - 1,
                count,
            };
            code += 1;
        }
        code <<= 1;
    }
    codes
}

const SIXTEEN_ZEROS: usize = 0xF0 << 1;
const END_OF_BLOCK: usize = 0;

/// Bytes that wait for their zeros: a cell of a photograph, or two.
const HELD: usize = 1024;

/// A block takes at most 64 times 27 bits.
const LONGEST_BLOCK: usize = 64 * 27 / 8;
