//! Coefficients seen at a glance: a look-up of the next bits that finds one or two of them with their values.
//!
//! What walking costs is mostly waiting: no code is found before the length of the one before it is. Most of a
//! photograph's coefficients are so short that one look-up sees the next one too, or the end of the block, and then
//! there is less to wait for. Values that are too long to be seen are read symbol by symbol; to work out the first
//! one's from its bits always, so that fewer of them are, took longer at all but the highest qualities.

use super::huffman::{END_OF_BLOCK, FAST, Symbol};

/// One or two coefficients.
///
/// Packed, lowest first: how many bits they have, in 8; how far the second one is behind the first one, in 8; the zeros
/// before the first one, in 4; the second value, in 5; the first value, in 7.
#[derive(Clone, Copy)]
pub(super) struct Glance(u32);

impl Glance {
    /// The code or its value is too long to be seen, or there is no such code.
    pub(super) const NOTHING: Self = Self(0);

    /// By the next [`FAST`] bits, from a table of single symbols.
    pub(super) fn table(symbols: &[Symbol; 1 << FAST]) -> Box<[Self; 1 << FAST]> {
        let mut table = Box::new([Self::NOTHING; 1 << FAST]);
        for (index, glance) in table.iter_mut().enumerate() {
            *glance = Self::at(symbols, index).unwrap_or(Self::NOTHING);
        }
        table
    }

    fn at(symbols: &[Symbol; 1 << FAST], index: usize) -> Option<Self> {
        let window = |index: usize| (index as u64) << (64 - FAST);
        let first = symbols[index];
        if first.bits == 0 || first.bits > FAST {
            return None;
        }
        if first.advance == END_OF_BLOCK {
            return Self::new(first.bits, 0, 0, END_OF_BLOCK - 1, 0);
        }
        let (run, value) = (first.advance - 1, first.value(window(index)));
        let behind = index << first.bits & ((1 << FAST) - 1);
        let second = symbols[behind];
        let bits = first.bits + second.bits;
        let both = (second.bits != 0 && bits <= FAST).then(|| {
            Self::new(
                bits,
                run,
                value,
                second.advance,
                second.value(window(behind)),
            )
        });
        both.flatten()
            .or_else(|| Self::new(first.bits, run, value, 0, 0))
    }

    /// `None` where a value has no room.
    fn new(bits: u8, run: u8, first: i16, behind: u8, second: i16) -> Option<Self> {
        let field = |value: i16, size: u32| {
            let fits = (-(1 << (size - 1))..1 << (size - 1)).contains(&value);
            fits.then(|| u32::from(value.cast_unsigned()) & ((1 << size) - 1))
        };
        let (first, second) = (field(first, 7)?, field(second, 5)?);
        let (bits, behind, run) = (u32::from(bits), u32::from(behind), u32::from(run));
        Some(Self(
            bits | behind << 8 | run << 16 | second << 20 | first << 25,
        ))
    }

    /// Whether anything was seen.
    #[inline(always)]
    pub(super) const fn is_something(self) -> bool {
        self.0 != 0
    }

    /// Bits of all that was seen.
    #[inline(always)]
    pub(super) const fn bits(self) -> u32 {
        self.0 & 63
    }

    /// How far behind the first one the second one stands; 0 where there is none.
    #[inline(always)]
    pub(super) const fn behind(self) -> usize {
        (self.0 >> 8 & 0xFF) as usize
    }

    /// Zeros before the first one.
    #[inline(always)]
    pub(super) const fn run(self) -> usize {
        (self.0 >> 16 & 15) as usize
    }

    /// The value of the second one.
    #[inline(always)]
    pub(super) const fn second(self) -> i16 {
        ((self.0 << 7).cast_signed() >> 27) as i16
    }

    /// The value of the first one.
    #[inline(always)]
    pub(super) const fn first(self) -> i16 {
        (self.0.cast_signed() >> 25) as i16
    }
}
