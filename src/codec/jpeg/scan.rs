//! Walks coded bytes without decoding them: do they hold exactly the macroblocks they should?
//!
//! Nothing that comes from elsewhere reaches a decoder before it has passed here, so a decoder never sees a marker
//! where none may be, a code that does not exist, a block of more than 64 coefficients, or too few bytes, and one
//! cell's damage cannot reach its neighbours.

use super::JpegError;
use super::huffman::{Class, END_OF_BLOCK, Step, Steps, Table};
use super::layout::Layout;
use super::library::Machine;
use super::segments::find_ff;

/// What a macroblock of a JPEG is made of.
#[derive(Debug)]
pub(super) struct Walker {
    /// DC and AC tables that belong together; those that components share are here once, to be in the cache once.
    both: Vec<[Table; 2]>,
    /// Which of them each component has.
    tables: Vec<u8>,
    /// Which of them each block of a macroblock has, in order.
    blocks: Vec<u8>,
    machine: Machine,
}

impl Walker {
    /// From the tables that the components name; each must be there.
    pub(super) fn new(layout: &Layout<'_>) -> Result<Self, JpegError> {
        let mut both = Vec::new();
        let mut made: Vec<(u8, u8)> = Vec::new();
        let mut tables = Vec::with_capacity(layout.components.len());
        let mut blocks = Vec::new();
        let single = layout.components.len() == 1;
        for component in &layout.components {
            let table = |class: Class, number: u8| {
                let spec = layout.huffman[class as usize][usize::from(number)];
                Table::new(
                    class,
                    spec.ok_or(JpegError::Broken("huffman table missing"))?,
                )
            };
            if !layout
                .quantisation
                .get(usize::from(component.quantisation))
                .is_some_and(Option::is_some)
            {
                return Err(JpegError::Broken("quantisation table missing"));
            }
            let numbers = (component.dc, component.ac);
            let index = (0u8..).zip(&made).find(|(_, other)| **other == numbers);
            let index = match index {
                Some((index, _)) => index,
                None => {
                    both.push([
                        table(Class::Dc, component.dc)?,
                        table(Class::Ac, component.ac)?,
                    ]);
                    made.push(numbers);
                    u8::try_from(made.len() - 1).unwrap_or_default()
                }
            };
            tables.push(index);
            let count = if single {
                1
            } else {
                component.across * component.down
            };
            blocks.extend(std::iter::repeat_n(index, usize::from(count)));
        }
        Ok(Self {
            both,
            tables,
            blocks,
            machine: Machine::new(),
        })
    }

    /// Checks one restart interval of `macroblocks`. `scratch` is overwritten.
    pub(super) fn check(
        &self,
        bytes: &[u8],
        macroblocks: usize,
        tail: Tail,
        scratch: &mut Vec<u8>,
    ) -> Result<(), JpegError> {
        unstuff(bytes, scratch)?;
        self.machine.run(
            #[inline(always)]
            || self.walk(scratch, macroblocks, tail),
        )
    }

    #[inline(always)]
    fn walk(&self, bytes: &[u8], macroblocks: usize, tail: Tail) -> Result<(), JpegError> {
        let bits = bytes.len() * 8;
        let mut reader = Reader::new(bytes);
        for _ in 0..macroblocks {
            for &table in &self.blocks {
                reader.block(&self.both[usize::from(table)])?;
            }
            if reader.consumed() > bits {
                return Err(JpegError::Truncated);
            }
        }
        match tail {
            Tail::Exact if bits - reader.consumed() >= 8 => {
                Err(JpegError::Broken("bytes behind the last macroblock"))
            }
            Tail::Exact | Tail::Any => Ok(()),
        }
    }

    /// As [`Self::check`] with [`Tail::Exact`], of 4:2:0, and gives every macroblock's coefficients to `take` on the
    /// way. Where it fails, what `take` was given means nothing.
    #[inline(always)]
    pub(super) fn read(
        &self,
        bytes: &[u8],
        macroblocks: usize,
        scratch: &mut Vec<u8>,
        mut take: impl FnMut(usize, &[Pair; 3]),
    ) -> Result<(), JpegError> {
        unstuff(bytes, scratch)?;
        let [y, cb, cr] = self.tables.as_slice() else {
            return Err(JpegError::Broken("components"));
        };
        let [y, cb, cr] = [y, cb, cr].map(|index| &self.both[usize::from(*index)]);
        let bits = scratch.len() * 8;
        let mut reader = Reader::new(scratch);
        let mut last = [0; 3];
        let mut pairs = [[0; PAIR]; 3];
        for macroblock in 0..macroblocks {
            let [upper, lower, coloured] = &mut pairs;
            let [luma, blue, red] = &mut last;
            for pair in [upper, lower] {
                *pair = [0; PAIR];
                reader.read(y, luma, 0, pair)?;
                reader.read(y, luma, SECOND, pair)?;
            }
            *coloured = [0; PAIR];
            reader.read(cb, blue, 0, coloured)?;
            reader.read(cr, red, SECOND, coloured)?;
            if reader.consumed() > bits {
                return Err(JpegError::Truncated);
            }
            take(macroblock, &pairs);
        }
        if bits - reader.consumed() >= 8 {
            return Err(JpegError::Broken("bytes behind the last macroblock"));
        }
        Ok(())
    }

    /// One restart interval in which every block is empty: a cell of mid grey. `None` where the tables cannot say so.
    pub(super) fn blank(&self, macroblocks: usize) -> Option<Vec<u8>> {
        let mut bits = BitWriter::default();
        for _ in 0..macroblocks {
            for &tables in &self.blocks {
                for table in &self.both[usize::from(tables)] {
                    let (code, length) = table.zero()?;
                    bits.push(code, length);
                }
            }
        }
        Some(bits.finish())
    }
}

/// What may stand behind the last macroblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// At most the bits that fill its last byte.
    Exact,
    /// Anything but a marker: cameras pad.
    Any,
}

/// Takes out the zero bytes behind 0xFF; anything else behind it is a marker and an error.
fn unstuff(mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), JpegError> {
    out.clear();
    while let Some(at) = find_ff(bytes) {
        out.extend_from_slice(&bytes[..=at]);
        bytes = match bytes[at + 1..].split_first() {
            Some((0, rest)) => rest,
            _ => return Err(JpegError::Broken("marker among coded bytes")),
        };
    }
    out.extend_from_slice(bytes);
    Ok(())
}

/// Bits, most significant first, with zeros behind the end.
struct Reader<'a> {
    bytes: &'a [u8],
    /// The next byte to be taken into the window.
    next: usize,
    window: u64,
    /// Valid bits of the window.
    count: u32,
}

impl<'a> Reader<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            next: 0,
            window: 0,
            count: 0,
        }
    }

    const fn consumed(&self) -> usize {
        self.next * 8 - self.count as usize
    }

    #[inline(always)]
    fn refill(&mut self) {
        let word = match self.bytes.get(self.next..).and_then(<[u8]>::first_chunk) {
            Some(word) => u64::from_be_bytes(*word),
            None => self.last_word(),
        };
        self.window |= word >> self.count;
        self.next += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    #[cold]
    fn last_word(&self) -> u64 {
        let mut word = [0; 8];
        let rest = self.bytes.get(self.next..).unwrap_or_default();
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from;
        }
        u64::from_be_bytes(word)
    }

    #[inline(always)]
    fn block(&mut self, [dc, ac]: &[Table; 2]) -> Result<(), JpegError> {
        self.refill();
        self.take(dc.steps(self.window).one)?;
        let mut position = 1;
        while position < 64 {
            self.refill();
            let Steps { one, both } = ac.steps(self.window);
            // The first of the two may fill the block, and then the other is none of its symbols.
            let fills = position + u32::from(one.advance) >= 64;
            let step = if fills { only(one) } else { both };
            position += u32::from(step.advance);
            self.take(step)?;
        }
        if position > 64 && position < u32::from(END_OF_BLOCK) {
            return Err(JpegError::Broken("block of more than 64 coefficients"));
        }
        Ok(())
    }

    /// The coefficients of a block, where all of `out` is zero; `last` is the first one of the block before.
    #[inline(always)]
    fn read(
        &mut self,
        [dc, ac]: &[Table; 2],
        last: &mut i16,
        offset: usize,
        out: &mut Pair,
    ) -> Result<(), JpegError> {
        self.refill();
        let symbol = dc.symbol(self.window);
        *last = last.wrapping_add(symbol.value(self.window));
        self.skip(symbol.bits)?;
        let mut position = 1;
        // With values two symbols take at most 53 of the 56 bits that are there after a refill.
        self.coefficients(ac, &mut position, offset, out)?;
        while position < 64 {
            self.refill();
            self.coefficients(ac, &mut position, offset, out)?;
            if position >= 64 {
                break;
            }
            self.coefficients(ac, &mut position, offset, out)?;
        }
        if position > 64 && position < usize::from(END_OF_BLOCK) {
            return Err(JpegError::Broken("block of more than 64 coefficients"));
        }
        // Last, because what had no place was put here.
        out[offset] = *last;
        Ok(())
    }

    /// The next coefficient, or two, or the end of the block.
    #[inline(always)]
    fn coefficients(
        &mut self,
        ac: &Table,
        position: &mut usize,
        offset: usize,
        out: &mut Pair,
    ) -> Result<(), JpegError> {
        let glance = ac.glance(self.window);
        let first = *position + glance.run();
        // What fills the block has nothing behind it, whatever was seen there.
        if !glance.is_something() || first >= 63 {
            return self.coefficient(ac, position, offset, out);
        }
        let second = first + glance.behind();
        self.window <<= glance.bits();
        self.count -= glance.bits();
        *position = second + 1;
        // Where there is only one, it is the one that stays.
        put(second, offset, glance.second(), out);
        put(first, offset, glance.first(), out);
        Ok(())
    }

    /// One symbol.
    #[inline(always)]
    fn coefficient(
        &mut self,
        ac: &Table,
        position: &mut usize,
        offset: usize,
        out: &mut Pair,
    ) -> Result<(), JpegError> {
        let symbol = ac.symbol(self.window);
        let value = symbol.value(self.window);
        self.skip(symbol.bits)?;
        *position += usize::from(symbol.advance);
        // Sixteen zeros write one more of them.
        put(*position - 1, offset, value, out);
        Ok(())
    }

    #[inline(always)]
    fn take(&mut self, step: Step) -> Result<(), JpegError> {
        self.skip(step.bits)
    }

    #[inline(always)]
    fn skip(&mut self, bits: u8) -> Result<(), JpegError> {
        if bits == 0 {
            return Err(JpegError::Broken("unknown code"));
        }
        self.window <<= bits;
        self.count -= u32::from(bits);
        Ok(())
    }
}

/// The same step, in a place of its own: a branch that is nearly always foreseen, where a choice would be waited for.
#[cold]
#[inline(never)]
const fn only(step: Step) -> Step {
    step
}

/// Puts the coefficient at `position` of a block that stands at `offset` of a pair.
#[inline(always)]
fn put(position: usize, offset: usize, value: i16, out: &mut Pair) {
    let place = usize::from(PLACES[position % PLACES.len()]);
    out[(place + offset) % PAIR] = value;
}

/// Writes bits, stuffed.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    held: u64,
    count: u8,
}

impl BitWriter {
    fn push(&mut self, code: u16, length: u8) {
        self.held = self.held << length | u64::from(code);
        self.count += length;
        while self.count >= 8 {
            self.count -= 8;
            self.byte((self.held >> self.count & 0xFF) as u8);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
        if byte == 0xFF {
            self.bytes.push(0);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            // The rest of the last byte is ones.
            let missing = 8 - self.count;
            self.push((1 << missing) - 1, missing);
        }
        self.bytes
    }
}

/// Where each coefficient, in the order in which they are coded, stands in its block.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The coefficients of two blocks: a row of the one, the same row of the other, and so on.
pub(super) type Pair = [i16; PAIR];

const PAIR: usize = 128;

/// How far the second block's coefficients stand behind the first one's.
const SECOND: usize = 8;

/// Where each coefficient, in the order in which they are coded, stands among those of the first block of a pair; what
/// comes behind the 64th, as the end of the block does, has no place and gets the first one's.
pub(super) const PLACES: [u8; 256] = {
    let mut places = [0; 256];
    let mut index = 0;
    while index < 64 {
        places[index] = ZIGZAG[index] / 8 * 16 + ZIGZAG[index] % 8;
        index += 1;
    }
    places
};
