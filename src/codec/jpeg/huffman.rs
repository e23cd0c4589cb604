//! Huffman tables: those that everybody uses (ITU-T T.81, annex K.3), and walking a scan with any others.

use super::JpegError;
use super::glance::Glance;

/// A table as it stands in a DHT segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec<'a> {
    /// Codes of each length, 1 to 16 bits.
    pub(super) counts: &'a [u8; 16],
    /// What they stand for, in order of length.
    pub(super) values: &'a [u8],
}

impl Spec<'_> {
    /// A code of ones alone, too many codes of a length, or symbols that baseline JPEG does not have are errors.
    pub(super) fn check(&self, class: Class) -> Result<(), JpegError> {
        let total: usize = self.counts.iter().map(|&n| usize::from(n)).sum();
        let mut free = 1_u32;
        let fits = self.counts.iter().all(|&count| {
            // One more than the code must still fit: no code consists of ones alone.
            free = (free * 2).saturating_sub(u32::from(count));
            count == 0 || free > 0
        });
        if !fits || total != self.values.len() || total > 256 {
            return Err(JpegError::Broken("huffman table"));
        }
        self.values
            .iter()
            .try_for_each(|&value| symbol(class, 0, value).map(drop))
    }
}

/// What a table codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The first coefficient of a block, as a difference.
    Dc = 0,
    /// The other 63.
    Ac = 1,
}

/// A table for walking: how many bits a symbol takes with the value behind it, and how far it goes in the block.
#[derive(Clone)]
pub(super) struct Table {
    /// By the next [`FAST`] bits; no bits where the code is longer.
    fast: Box<[Steps; 1 << FAST]>,
    /// The same for reading values: one symbol at a time.
    symbols: Box<[Symbol; 1 << FAST]>,
    /// Of an AC table, what the same bits show of coefficients.
    glances: Box<[Glance; 1 << FAST]>,
    /// By the next 16 bits, from `long_from` on: codes longer than [`FAST`].
    long: Vec<Symbol>,
    long_from: u32,
    /// Code and length of symbol 0: no difference, or end of block.
    zero: Option<(u16, u8)>,
}

/// What the next symbol does, and what it does together with the one behind it, where that can be seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    pub(super) one: Step,
    /// As `one` where the second symbol cannot be seen.
    pub(super) both: Step,
}

/// What one symbol does: `bits` to skip (0: no such code), `advance` in the block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    pub(super) bits: u8,
    pub(super) advance: u8,
}

/// A symbol: `bits` to skip (0: no such code), of which those behind `code` are a value; `advance` in the block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Symbol {
    pub(super) bits: u8,
    code: u8,
    /// 63 less the value's bits.
    over: u8,
    pub(super) advance: u8,
}

impl Symbol {
    const fn step(self) -> Step {
        Step {
            bits: self.bits,
            advance: self.advance,
        }
    }

    /// The value that stands behind the code with which `window` begins; 0 where there is none, and anything where there
    /// is no such code.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a value has at most 11 bits"
    )]
    pub(super) const fn value(self, window: u64) -> i16 {
        let window = window << (self.code & 63);
        // The lower half of the values of a size stands for the negative ones, whose bits are those of the positive
        // ones turned around.
        let negative = !(window.cast_signed() >> 63);
        let size = (window ^ negative.cast_unsigned()) >> 1 >> (self.over & 63);
        (size as i16 ^ negative as i16).wrapping_sub(negative as i16)
    }
}

impl Table {
    /// Checks a table, as [`Spec::check`], and prepares it.
    pub(super) fn new(class: Class, spec: Spec<'_>) -> Result<Self, JpegError> {
        spec.check(class)?;
        let mut table = Self {
            fast: Box::new([Steps::default(); 1 << FAST]),
            symbols: Box::new([Symbol::default(); 1 << FAST]),
            glances: Box::new([Glance::NOTHING; 1 << FAST]),
            long: Vec::new(),
            long_from: u32::MAX,
            zero: None,
        };
        // The length of the code alone that stands at each place of `fast`.
        let mut codes = [0; 1 << FAST];
        let mut values = spec.values.iter();
        let mut code: u32 = 0;
        for (length, &count) in (1u8..=16).zip(spec.counts) {
            for _ in 0..count {
                let &value = values.next().ok_or(JpegError::Broken("huffman table"))?;
                table.insert(
                    length,
                    code,
                    value,
                    symbol(class, length, value)?,
                    &mut codes,
                );
                code += 1;
            }
            code <<= 1;
        }
        if class == Class::Ac {
            table.pair(&codes);
            table.glances = Glance::table(&table.symbols);
        }
        Ok(table)
    }

    /// Looks behind each symbol that does not end the block: walking two at a time nearly halves the time it takes.
    fn pair(&mut self, codes: &[u8; 1 << FAST]) {
        for index in 0..self.fast.len() {
            let one = self.fast[index].one;
            if one.bits == 0 || one.bits >= FAST || one.advance == END_OF_BLOCK {
                continue;
            }
            let behind = index << one.bits & ((1 << FAST) - 1);
            let next = self.fast[behind].one;
            let seen = FAST - one.bits;
            if next.bits != 0 && codes[behind] <= seen {
                self.fast[index].both = Step {
                    bits: one.bits + next.bits,
                    advance: one.advance + next.advance,
                };
            }
        }
    }

    fn insert(
        &mut self,
        length: u8,
        code: u32,
        value: u8,
        symbol: Symbol,
        codes: &mut [u8; 1 << FAST],
    ) {
        if value == 0 {
            self.zero = u16::try_from(code).ok().map(|code| (code, length));
        }
        if length <= FAST {
            let spread = FAST - length;
            let from = (code << spread) as usize;
            let step = symbol.step();
            let steps = Steps {
                one: step,
                both: step,
            };
            self.fast[from..from + (1 << spread)].fill(steps);
            self.symbols[from..from + (1 << spread)].fill(symbol);
            codes[from..from + (1 << spread)].fill(length);
        } else {
            let spread = 16 - length;
            let from = code << spread;
            // Codes come in rising order, so the long ones fill the end of the table from the first of them on.
            if self.long.is_empty() {
                self.long_from = from;
            }
            self.long.extend(std::iter::repeat_n(symbol, 1 << spread));
        }
    }

    /// The steps for the symbols that the top bits of `window` start with.
    #[inline(always)]
    pub(super) fn steps(&self, window: u64) -> Steps {
        let steps = self.fast[(window >> BEHIND_FAST) as usize];
        if steps.one.bits != 0 {
            return steps;
        }
        let one = self.long_symbol(window).step();
        Steps { one, both: one }
    }

    /// What the top bits of `window` show of coefficients.
    #[inline(always)]
    pub(super) fn glance(&self, window: u64) -> Glance {
        self.glances[(window >> BEHIND_FAST) as usize]
    }

    /// The symbol that the top bits of `window` start with.
    #[inline(always)]
    pub(super) fn symbol(&self, window: u64) -> Symbol {
        let symbol = self.symbols[(window >> BEHIND_FAST) as usize];
        if symbol.bits != 0 {
            return symbol;
        }
        self.long_symbol(window)
    }

    #[cold]
    fn long_symbol(&self, window: u64) -> Symbol {
        u32::try_from(window >> 48)
            .ok()
            .and_then(|top| top.checked_sub(self.long_from))
            .and_then(|at| self.long.get(at as usize))
            .copied()
            .unwrap_or_default()
    }

    /// Code and length of symbol 0, where the table has it.
    pub(super) const fn zero(&self) -> Option<(u16, u8)> {
        self.zero
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("zero", &self.zero)
            .finish_non_exhaustive()
    }
}

fn symbol(class: Class, length: u8, value: u8) -> Result<Symbol, JpegError> {
    let (run, size) = (value >> 4, value & 15);
    let advance = match (class, run, size) {
        (Class::Dc, 0, 0..=11) => 1,
        (Class::Ac, 0, 0) => END_OF_BLOCK,
        (Class::Ac, 15, 0) => 16,
        (Class::Ac, _, 1..=10) => run + 1,
        _ => return Err(JpegError::Broken("huffman table")),
    };
    Ok(Symbol {
        bits: length + size,
        code: length,
        over: 63 - size,
        advance,
    })
}

/// How far the end-of-block symbol goes: further than any run, so that it can be told from one that is too long.
pub(super) const END_OF_BLOCK: u8 = 128;

/// Bits looked up at once: two tables of 8 KiB for AC, and the small part that a photograph uses of those for DC, stay in
/// the first-level cache.
pub(super) const FAST: u8 = 11;

/// What remains of a window of 64 bits.
const BEHIND_FAST: u32 = 53;

/// The tables of annex K.3, in the order luma DC, luma AC, chroma DC, chroma AC.
pub(super) const STANDARD: [(Class, u8, Spec<'static>); 4] = [
    (
        Class::Dc,
        0,
        Spec {
            counts: &[0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
            values: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        },
    ),
    (
        Class::Ac,
        0,
        Spec {
            counts: &[0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D],
            values: &LUMA_AC,
        },
    ),
    (
        Class::Dc,
        1,
        Spec {
            counts: &[0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
            values: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        },
    ),
    (
        Class::Ac,
        1,
        Spec {
            counts: &[0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
            values: &CHROMA_AC,
        },
    ),
];

const LUMA_AC: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2A, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,
    0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5,
    0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2,
    0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    0xF9, 0xFA,
];

const CHROMA_AC: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1, 0x09, 0x23, 0x33, 0x52, 0xF0,
    0x15, 0x62, 0x72, 0xD1, 0x0A, 0x16, 0x24, 0x34, 0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26,
    0x27, 0x28, 0x29, 0x2A, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5,
    0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3,
    0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA,
    0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    0xF9, 0xFA,
];
