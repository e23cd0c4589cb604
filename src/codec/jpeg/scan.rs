//! Walks coded bytes without decoding them: do they hold exactly the macroblocks they should?
//!
//! Nothing that comes from elsewhere reaches a decoder before it has passed here, so a decoder never sees a marker
//! where none may be, a code that does not exist, a block of more than 64 coefficients, or too few bytes, and one
//! cell's damage cannot reach its neighbours.

use super::JpegError;
use super::huffman::{Class, END_OF_BLOCK, Step, Steps, Table};
use super::layout::Layout;
use super::segments::find_ff;

/// What a macroblock of a JPEG is made of.
#[derive(Debug)]
pub(super) struct Walker {
    /// DC and AC table of each component.
    tables: Vec<[Table; 2]>,
    /// The component of each block of a macroblock, in order.
    blocks: Vec<u8>,
}

impl Walker {
    /// From the tables that the components name; each must be there.
    pub(super) fn new(layout: &Layout<'_>) -> Result<Self, JpegError> {
        let mut tables = Vec::with_capacity(layout.components.len());
        let mut blocks = Vec::new();
        let single = layout.components.len() == 1;
        for (index, component) in (0u8..).zip(&layout.components) {
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
            tables.push([
                table(Class::Dc, component.dc)?,
                table(Class::Ac, component.ac)?,
            ]);
            let count = if single {
                1
            } else {
                component.across * component.down
            };
            blocks.extend(std::iter::repeat_n(index, usize::from(count)));
        }
        Ok(Self { tables, blocks })
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
        let bits = scratch.len() * 8;
        let mut reader = Reader::new(scratch);
        for _ in 0..macroblocks {
            for &component in &self.blocks {
                let [dc, ac] = &self.tables[usize::from(component)];
                reader.block(dc, ac)?;
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

    /// As [`Self::check`] with [`Tail::Exact`], and gives every block to `take` on the way: its component and its
    /// coefficients, row by row, not yet multiplied. Where it fails, what `take` was given means nothing.
    #[inline]
    pub(super) fn read(
        &self,
        bytes: &[u8],
        macroblocks: usize,
        scratch: &mut Vec<u8>,
        mut take: impl FnMut(usize, &[i16; 64]),
    ) -> Result<(), JpegError> {
        unstuff(bytes, scratch)?;
        let bits = scratch.len() * 8;
        let mut reader = Reader::new(scratch);
        let mut last = [0; 3];
        for _ in 0..macroblocks {
            for &component in &self.blocks {
                let component = usize::from(component);
                let [dc, ac] = &self.tables[component];
                let mut coefficients = [0; 64];
                reader.read(dc, ac, &mut last[component], &mut coefficients)?;
                take(component, &coefficients);
            }
            if reader.consumed() > bits {
                return Err(JpegError::Truncated);
            }
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
            for &component in &self.blocks {
                for table in &self.tables[usize::from(component)] {
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

    #[inline]
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

    #[inline]
    fn block(&mut self, dc: &Table, ac: &Table) -> Result<(), JpegError> {
        self.refill();
        self.take(dc.steps(self.window).one)?;
        let mut position = 1;
        while position < 64 {
            self.refill();
            let Steps { one, both } = ac.steps(self.window);
            // The first of the two may fill the block, and then the other is none of its symbols.
            let step = if position + u32::from(one.advance) < 64 {
                both
            } else {
                one
            };
            position += u32::from(step.advance);
            self.take(step)?;
        }
        if position > 64 && position < u32::from(END_OF_BLOCK) {
            return Err(JpegError::Broken("block of more than 64 coefficients"));
        }
        Ok(())
    }

    /// The coefficients of a block, where all of `out` is zero; `last` is the first one of the block before.
    #[inline]
    fn read(
        &mut self,
        dc: &Table,
        ac: &Table,
        last: &mut i16,
        out: &mut [i16; 64],
    ) -> Result<(), JpegError> {
        self.refill();
        let symbol = dc.symbol(self.window);
        *last = last.wrapping_add(symbol.value(self.window));
        out[0] = *last;
        self.skip(symbol.bits)?;
        let mut position = 1;
        // With values two symbols take at most 53 of the 56 bits that are there after a refill.
        self.coefficient(ac, &mut position, out)?;
        while position < 64 {
            self.refill();
            self.coefficient(ac, &mut position, out)?;
            if position < 64 {
                self.coefficient(ac, &mut position, out)?;
            }
        }
        if position > 64 && position < usize::from(END_OF_BLOCK) {
            return Err(JpegError::Broken("block of more than 64 coefficients"));
        }
        Ok(())
    }

    #[inline(always)]
    fn coefficient(
        &mut self,
        ac: &Table,
        position: &mut usize,
        out: &mut [i16; 64],
    ) -> Result<(), JpegError> {
        let symbol = ac.symbol(self.window);
        let value = symbol.value(self.window);
        self.skip(symbol.bits)?;
        *position += usize::from(symbol.advance);
        // Sixteen zeros write one more of them; the end of the block has no place.
        if let Some(&place) = ZIGZAG.get(*position - 1) {
            out[usize::from(place)] = value;
        }
        Ok(())
    }

    #[inline]
    fn take(&mut self, step: Step) -> Result<(), JpegError> {
        self.skip(step.bits)
    }

    #[inline]
    fn skip(&mut self, bits: u8) -> Result<(), JpegError> {
        if bits == 0 {
            return Err(JpegError::Broken("unknown code"));
        }
        self.window <<= bits;
        self.count -= u32::from(bits);
        Ok(())
    }
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
