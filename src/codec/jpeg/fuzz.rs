//! A cell as our decoder reads it, beside one that is plain to see, for the fuzzer and for tests.

use bytes::Bytes;

use super::cells::CellHeader;
use super::huffman::{Class, STANDARD, Spec};
use super::layout::Layout;
use super::library::Inverse;
use super::scan::{Pair, ZIGZAG};
use crate::media::{Grid, Size};

/// Any tables, and any bytes read with them. They are refused or taken as by the letter of ITU-T T.81, annex F.2, by
/// the check and by the reading alike, as compiled for any machine and for this one; what is taken has the coefficients
/// that the letter gives, and where these are of a picture, samples as the library makes them. Says whether they were
/// taken.
///
/// A byte says how many macroblocks a cell has, one how large steps are and, in its lowest two bits, whether tables
/// follow and whether 0xFF is not stuffed. A table is how long the code of symbol 0 is, how many others there are, and two
/// bytes for each: what it stands for, and how long it is.
///
/// # Panics
/// Where that is not so.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "the fuzzer calls it"))]
pub fn fuzz_cell(data: &[u8]) -> bool {
    let Some((&[macroblocks, kind], mut rest)) = data.split_first_chunk() else {
        return false;
    };
    let macroblocks = u16::from(macroblocks % 4) + 1;
    let most = kind >> 2;
    let tables = STANDARD.map(|(class, _, spec)| match kind & 1 {
        0 => (*spec.counts, spec.values.to_vec()),
        _ => table(class, &mut rest),
    });
    let cell = match kind & 2 {
        0 => stuffed(rest),
        _ => rest.to_vec(),
    };
    let header = Bytes::from(header(macroblocks, most, &tables));
    let size = Size::new(u32::from(macroblocks) * 16, 16).expect("small");
    let grid = Grid::new(size, macroblocks).expect("one cell");
    let parsed = CellHeader::parse(&header, grid).expect("a header by the letter");
    let layout = Layout::read(&header).expect("as before");
    let ours = parsed.inverse().expect("as before");
    let any = parsed.inverse().expect("as before").portable();

    let expected = Letter::read(&layout, &cell, usize::from(macroblocks));
    let mut scratch = Vec::new();
    let checked = parsed.check(&cell, &mut scratch);
    assert_eq!(checked.is_ok(), expected.is_some(), "{checked:?}");
    for inverse in [&any, &ours] {
        let mut found = Vec::new();
        let read = inverse.machine().run(
            #[inline(always)]
            || parsed.read(&cell, &mut scratch, |_, pairs| found.push(*pairs)),
        );
        assert_eq!(read, checked);
        if read.is_ok() {
            assert_eq!(Some(&found), expected.as_ref());
        }
    }
    for pairs in expected.iter().flatten() {
        let (ours, any) = (samples(&ours, pairs), samples(&any, pairs));
        if pairs.iter().all(|pair| is_picture(pair, most)) {
            assert_eq!(ours, any);
        }
    }
    expected.is_some()
}

/// Codes of each length, and what they stand for.
type Codes = ([u8; 16], Vec<u8>);

/// As much of a table as may be one, with symbol 0 in it.
fn table(class: Class, rest: &mut &[u8]) -> Codes {
    let mut take = || match rest.split_first() {
        Some((&first, behind)) => {
            *rest = behind;
            first
        }
        None => 0,
    };
    let mut said = vec![(take() % 8 + 1, 0)];
    for _ in 0..=take() % 64 {
        let (symbol, length) = (take(), take() % 16 + 1);
        let symbol = match (class, symbol >> 4, symbol & 15) {
            (Class::Dc, _, size) => size.min(11),
            (Class::Ac, run, size @ 1..) => run << 4 | size.min(10),
            (Class::Ac, 0..15, 0) => 0,
            (Class::Ac, _, 0) => 0xF0,
        };
        said.push((length, symbol));
    }
    let mut counts = [0; 16];
    said.retain(|(length, _)| {
        let at = usize::from(length - 1);
        counts[at] += 1;
        let values = [0; 256];
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        let spec = Spec {
            counts: &counts,
            values: &values[..total],
        };
        let fits = spec.check(Class::Dc).is_ok();
        counts[at] -= u8::from(!fits);
        fits
    });
    said.sort_by_key(|(length, _)| *length);
    (counts, said.into_iter().map(|(_, symbol)| symbol).collect())
}

fn stuffed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in bytes {
        out.push(byte);
        if byte == 0xFF {
            out.push(0);
        }
    }
    out
}

/// SOI to SOS. Steps are from 1 to `most`.
fn header(macroblocks: u16, most: u8, tables: &[Codes; 4]) -> Vec<u8> {
    let mut out = vec![0xFF, 0xD8];
    let mut segment = |marker: u8, body: &[u8]| {
        let length = u16::try_from(body.len() + 2).expect("short").to_be_bytes();
        out.extend([&[0xFF, marker], &length[..], body].concat());
    };
    for number in 0..2 {
        let steps = (0..64).map(|place| step(place, number, most));
        segment(
            0xDB,
            &std::iter::once(number).chain(steps).collect::<Vec<_>>(),
        );
    }
    for ((class, number, _), (counts, values)) in STANDARD.iter().zip(tables) {
        let head = (*class as u8) << 4 | number;
        segment(0xC4, &[&[head], &counts[..], values].concat());
    }
    let [w1, w0] = (macroblocks * 16).to_be_bytes();
    let components = [1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
    segment(0xC0, &[&[8, 0, 16, w1, w0, 3], &components[..]].concat());
    segment(0xDD, &macroblocks.to_be_bytes());
    segment(0xDA, &[3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
    out
}

fn step(place: u8, number: u8, most: u8) -> u8 {
    1 + place.wrapping_mul(37).wrapping_add(number) % most.max(1)
}

/// The letter of the standard, a bit at a time.
struct Letter {
    bytes: Vec<u8>,
    at: usize,
}

impl Letter {
    /// Every macroblock's coefficients; `None` where the bytes are not exactly so many macroblocks.
    fn read(layout: &Layout<'_>, cell: &[u8], macroblocks: usize) -> Option<Vec<[Pair; 3]>> {
        let mut bytes = Vec::new();
        let mut rest = cell.iter();
        while let Some(&byte) = rest.next() {
            bytes.push(byte);
            if byte == 0xFF && rest.next() != Some(&0) {
                return None;
            }
        }
        let mut letter = Self { bytes, at: 0 };
        let mut last = [0; 3];
        let mut found = Vec::new();
        for _ in 0..macroblocks {
            let mut pairs = [[0; 128]; 3];
            // Component, pair, and which of its two blocks.
            for (component, pair, second) in [
                (0, 0, 0),
                (0, 0, 8),
                (0, 1, 0),
                (0, 1, 8),
                (1, 2, 0),
                (2, 2, 8),
            ] {
                let which = layout.components[component];
                let [dc, ac] = [(0, which.dc), (1, which.ac)]
                    .map(|(class, number)| layout.huffman[class][usize::from(number)]);
                let block = letter.block(dc?, ac?, &mut last[component])?;
                for (place, value) in block.into_iter().enumerate() {
                    pairs[pair][place / 8 * 16 + place % 8 + second] = value;
                }
            }
            found.push(pairs);
        }
        let bits = letter.bytes.len() * 8;
        (letter.at <= bits && bits - letter.at < 8).then_some(found)
    }

    fn block(&mut self, dc: Spec<'_>, ac: Spec<'_>, last: &mut i16) -> Option<[i16; 64]> {
        let mut block = [0; 64];
        let size = self.symbol(dc)?;
        *last = last.wrapping_add(self.value(size));
        block[0] = *last;
        let mut place = 1;
        while place < 64 {
            let symbol = self.symbol(ac)?;
            let (run, size) = (usize::from(symbol >> 4), symbol & 15);
            match (run, size) {
                (0, 0) => break,
                (15, 0) => place += 16,
                _ => {
                    let at = *ZIGZAG.get(place + run)?;
                    block[usize::from(at)] = self.value(size);
                    place += run + 1;
                }
            }
        }
        (place <= 64).then_some(block)
    }

    fn symbol(&mut self, spec: Spec<'_>) -> Option<u8> {
        let (mut code, mut first, mut behind) = (0, 0, 0);
        for &count in spec.counts {
            let count = usize::from(count);
            code = code << 1 | self.bit();
            if code - first < count {
                return spec.values.get(behind + code - first).copied();
            }
            behind += count;
            first = (first + count) << 1;
        }
        None
    }

    fn value(&mut self, size: u8) -> i16 {
        let bits = (0..size).fold(0, |bits, _| bits << 1 | i16::from(self.bit() == 1));
        match size {
            0 => 0,
            // The lower half stands for the negative values.
            _ if bits < 1 << (size - 1) => bits - (1 << size) + 1,
            _ => bits,
        }
    }

    fn bit(&mut self) -> usize {
        let byte = self.bytes.get(self.at / 8).copied().unwrap_or_default();
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        bit.into()
    }
}

/// Whether no sum on the way to samples leaves sixteen bits.
fn is_picture(pair: &Pair, most: u8) -> bool {
    let sum: u64 = pair
        .iter()
        .map(|&value| u64::from(value.unsigned_abs()))
        .sum();
    sum * u64::from(most.max(1)) <= 5000
}

fn samples(inverse: &Inverse, [upper, lower, coloured]: &[Pair; 3]) -> [Vec<u8>; 4] {
    let mut planes = [vec![0; 128], vec![0; 128], vec![0; 64], vec![0; 64]];
    let [above, below, blue, red] = &mut planes;
    inverse.luma(upper, above, 16);
    inverse.luma(lower, below, 16);
    inverse.chroma(coloured, [blue, red], 8);
    planes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::testing::{photo, size};
    use crate::codec::{Encoder, Quality};
    use crate::media::MediaTime;

    #[test]
    fn cells_of_our_own_are_taken_and_read_by_the_letter() {
        let picture = photo(size(64, 64), 5);
        for quality in [1, 50, 75, 100] {
            let quality = Quality::new(quality).unwrap();
            let mut encoder = Encoder::new(1, picture.size(), quality).unwrap();
            let frame = encoder.encode(&picture, 1, MediaTime::ZERO).unwrap();
            for cell in frame.cells {
                // Four macroblocks, small steps, the usual tables, as it is.
                let data = [&[3, 1 << 2 | 2], &cell.bytes[..]].concat();
                assert!(fuzz_cell(&data));
                assert!(!fuzz_cell(&data[..data.len() - 1]));
            }
        }
    }

    #[test]
    fn a_code_that_is_none_is_refused_whatever_follows_it() {
        // As the fuzzer found it: a value taken from what follows, before the code was refused, left sixteen bits.
        let data = [
            0x01, 0x05, 0x7A, 0x00, 0x7A, 0x7A, 0x7A, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x80, 0x01, 0xFF, 0x55, 0xFF, 0xFF, 0xFF, 0x55, 0x7A, 0xFF, 0xFF,
        ];
        assert!(!fuzz_cell(&data));
    }

    proptest! {
        #[test]
        fn any_tables_and_bytes_are_read_by_the_letter(data in prop::collection::vec(any::<u8>(), 0..400)) {
            fuzz_cell(&data);
        }

        #[test]
        fn short_codes_fill_cells_that_are_read_by_the_letter(
            macroblocks in any::<u8>(),
            steps in any::<u8>(),
            ones in prop::collection::vec(0u8..4, 0..200),
        ) {
            // Sizes 0 and 1, all of one bit or two: most bytes are macroblocks.
            let table = [0, 2, 0, 1, 1, 1, 0x11, 2];
            let mut data = vec![macroblocks, steps | 1];
            data.extend(table.repeat(4));
            data.extend(ones.iter().map(|one| one * 0x55));
            data.extend([0; 32]);
            // Codes may be such that a block goes too far; but for that, one length is the right one.
            let taken = (34..=data.len()).filter(|&length| fuzz_cell(&data[..length]));
            prop_assert!(taken.count() <= 1);
        }
    }
}
