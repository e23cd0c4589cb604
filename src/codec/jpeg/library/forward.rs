//! From samples to coefficients, two blocks at a time, for AVX2.
//!
//! The transform is that of Loeffler, Ligtenberg and Moschytz (1989) in 13 bits of fraction, rounded where the JPEG
//! group's accurate one (`jfdctint`) rounds, and what divides is a multiplication, as in libjpeg-turbo: the results are
//! theirs to the bit. A vector holds a row of one block in its lower half and the same row of another in its upper
//! half, so nothing ever crosses between the halves, and a row of two neighbours is one load. From the samples to the
//! coefficients nothing goes through memory; crate `libjpeg-turbo-rs` takes more than twice as long, half of it to
//! bring them into zigzag order, in which here they are only looked up.

use std::arch::x86_64::{
    __m256i, _mm_set_epi64x, _mm256_abs_epi16, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_cmpeq_epi8, _mm256_cvtepu8_epi16, _mm256_madd_epi16, _mm256_movemask_epi8,
    _mm256_mulhi_epi16, _mm256_mulhi_epu16, _mm256_or_si256, _mm256_packs_epi16,
    _mm256_packs_epi32, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_sign_epi16, _mm256_slli_epi16, _mm256_srai_epi16,
    _mm256_srai_epi32, _mm256_sub_epi16, _mm256_unpackhi_epi16, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi16, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use fearless_simd::prelude::*;
use fearless_simd::{Avx2, i8x32, i16x16, kernel};
use libjpeg_turbo_rs::simd::QuantDivisors;

use super::turbo_encode::Rows;
use crate::codec::jpeg::scan::ZIGZAG;

/// What divides, row by row, each row twice.
pub(super) struct Divisors {
    corrections: [[i16; 16]; 8],
    reciprocals: [[i16; 16]; 8],
    scales: [[i16; 16]; 8],
}

impl Divisors {
    pub(super) fn new(divisors: &QuantDivisors) -> Self {
        let rows = |values: &[u16; 64]| {
            std::array::from_fn(|row| {
                std::array::from_fn(|column| values[row * 8 + column % 8].cast_signed())
            })
        };
        Self {
            corrections: rows(&divisors.corrections),
            reciprocals: rows(&divisors.reciprocals),
            scales: rows(&divisors.scales),
        }
    }
}

/// Where each coefficient, in zigzag order, stands among those of the first block; of the second one 8 further on.
pub(super) const PLACES: [u8; 64] = {
    let mut places = [0; 64];
    let mut index = 0;
    while index < 64 {
        places[index] = ZIGZAG[index] / 8 * 16 + ZIGZAG[index] % 8;
        index += 1;
    }
    places
};

kernel! {
    /// Transforms and divides two blocks into `out`, at [`PLACES`]; tells which coefficients of each are not zero, in
    /// zigzag order, the first one lowest.
    #[inline]
    pub(super) fn forward(avx2: Avx2, rows: Rows, divisors: &Divisors, out: &mut [i16; 128]) -> [u64; 2] {
        let mut samples = [_mm256_setzero_si256(); 8];
        for (wide, [first, second]) in samples.iter_mut().zip(rows) {
            *wide = _mm256_cvtepu8_epi16(_mm_set_epi64x(second.cast_signed(), first.cast_signed()));
        }
        let mut rows = pass::<11>(transpose(samples));
        // Samples are taken less 128 each, which the other coefficients do not notice.
        rows[0] = _mm256_sub_epi16(_mm256_slli_epi16::<2>(rows[0]), _mm256_set1_epi16(128 * 8 * 4));
        rows[4] = _mm256_slli_epi16::<2>(rows[4]);
        let mut rows = pass::<15>(transpose(rows));
        for row in [0, 4] {
            rows[row] = _mm256_srai_epi16::<2>(_mm256_add_epi16(rows[row], _mm256_set1_epi16(2)));
        }
        let (places, _) = out.as_chunks_mut::<16>();
        for (index, (row, place)) in rows.iter_mut().zip(places).enumerate() {
            let table = |of: &[[i16; 16]; 8]| -> __m256i { i16x16::from_slice(avx2, &of[index]).into() };
            let rounded = _mm256_add_epi16(_mm256_abs_epi16(*row), table(&divisors.corrections));
            let divided = _mm256_mulhi_epu16(rounded, table(&divisors.reciprocals));
            // Neither of these is as large as its sign bit.
            let divided = _mm256_mulhi_epi16(divided, table(&divisors.scales));
            *row = _mm256_sign_epi16(divided, *row);
            let row: i16x16<Avx2> = (*row).simd_into(avx2);
            row.store_slice(place);
        }
        // Two rows of bytes, which are zero where the coefficients are, and then sixteen of them in their order.
        let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
        let pairs = [
            _mm256_packs_epi16(r0, r1),
            _mm256_packs_epi16(r2, r3),
            _mm256_packs_epi16(r4, r5),
            _mm256_packs_epi16(r6, r7),
        ];
        let zero = _mm256_setzero_si256();
        let mut present = [0; 2];
        for (index, orders) in ORDER.iter().enumerate() {
            let mut sixteen = zero;
            for (pair, order) in pairs.iter().zip(orders) {
                let order: __m256i = i8x32::from_slice(avx2, order).into();
                sixteen = _mm256_or_si256(sixteen, _mm256_shuffle_epi8(*pair, order));
            }
            let flags = !_mm256_movemask_epi8(_mm256_cmpeq_epi8(sixteen, zero)).cast_unsigned();
            present[0] |= u64::from(flags & 0xFFFF) << (index * 16);
            present[1] |= u64::from(flags >> 16) << (index * 16);
        }
        present
    }
}

/// For each sixteen coefficients in zigzag order, where they stand in each pair of rows; negative where not there.
const ORDER: [[[i8; 32]; 4]; 4] = {
    let mut order = [[[-1; 32]; 4]; 4];
    let mut index = 0;
    while index < 64 {
        let place = ZIGZAG[index];
        let of_pair = &mut order[index / 16][place as usize / 16];
        of_pair[index % 16] = (place % 16).cast_signed();
        of_pair[index % 16 + 16] = (place % 16).cast_signed();
        index += 1;
    }
    order
};

/// Rows to columns, in each half.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let [[a0, a1], [a2, a3]] = [pairs(r0, r1), pairs(r2, r3)];
    let [[a4, a5], [a6, a7]] = [pairs(r4, r5), pairs(r6, r7)];
    let fours = |a, b| [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)];
    let [[b0, b1], [b2, b3]] = [fours(a0, a2), fours(a1, a3)];
    let [[b4, b5], [b6, b7]] = [fours(a4, a6), fours(a5, a7)];
    let eights = |a, b| [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)];
    let [[c0, c1], [c2, c3]] = [eights(b0, b4), eights(b1, b5)];
    let [[c4, c5], [c6, c7]] = [eights(b2, b6), eights(b3, b7)];
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Transforms columns and shifts right by `SHIFT`, rounded, all but the first and the fifth result, which have no
/// fraction.
#[inline]
#[target_feature(enable = "avx2")]
fn pass<const SHIFT: i32>(rows: [__m256i; 8]) -> [__m256i; 8] {
    let add = |a, b| _mm256_add_epi16(a, b);
    let sub = |a, b| _mm256_sub_epi16(a, b);
    let round = _mm256_set1_epi32(1 << (SHIFT - 1));
    let shifted = |[low, high]: [__m256i; 2]| {
        _mm256_packs_epi32(
            _mm256_srai_epi32::<SHIFT>(low),
            _mm256_srai_epi32::<SHIFT>(high),
        )
    };
    let sum = |a: [__m256i; 2], b: [__m256i; 2]| {
        [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
    };

    let [x0, x1, x2, x3, x4, x5, x6, x7] = rows;
    let (a0, a1, a2, a3) = (add(x0, x7), add(x1, x6), add(x2, x5), add(x3, x4));
    let (b0, b1, b2, b3) = (sub(x0, x7), sub(x1, x6), sub(x2, x5), sub(x3, x4));

    let (even0, even1) = (add(a0, a3), add(a1, a2));
    let turned = pairs(sub(a0, a3), sub(a1, a2));
    let y2 = sum(products(turned, C6 + R2, C6), [round; 2]);
    let y6 = sum(products(turned, C6, C6 - R6), [round; 2]);

    // Both of these are in two results each, with the rounding.
    let crossed = pairs(add(b3, b1), add(b2, b0));
    let z0 = sum(products(crossed, C3 - R3, C3), [round; 2]);
    let z1 = sum(products(crossed, C3, C3 - R5), [round; 2]);
    let outer = pairs(b3, b0);
    let inner = pairs(b2, b1);
    let y1 = sum(products(outer, -R7, O1 - R7), z1);
    let y3 = sum(products(inner, -R1, O3 - R1), z0);
    let y5 = sum(products(inner, O5 - R1, -R1), z1);
    let y7 = sum(products(outer, O7 - R7, -R7), z0);
    [
        add(even0, even1),
        shifted(y1),
        shifted(y2),
        shifted(y3),
        sub(even0, even1),
        shifted(y5),
        shifted(y6),
        shifted(y7),
    ]
}

/// Values of two vectors side by side, in two vectors.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn pairs(a: __m256i, b: __m256i) -> [__m256i; 2] {
    [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)]
}

/// Of each pair the sum of its first value times `first` and its second times `second`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn products(pairs: [__m256i; 2], first: i32, second: i32) -> [__m256i; 2] {
    let factors = _mm256_set1_epi32(second << 16 | first & 0xFFFF);
    let [low, high] = pairs;
    [
        _mm256_madd_epi16(low, factors),
        _mm256_madd_epi16(high, factors),
    ]
}

/// The rotations' factors, times 8192. `R` are what the rotations take away or add, `O` what stays for each result.
pub(super) const C3: i32 = 9633; // 1.175875602
pub(super) const C6: i32 = 4433; // 0.541196100
pub(super) const R1: i32 = 20995; // 2.562915447
pub(super) const R2: i32 = 6270; // 0.765366865
pub(super) const R3: i32 = 16069; // 1.961570560
pub(super) const R5: i32 = 3196; // 0.390180644
pub(super) const R6: i32 = 15137; // 1.847759065
pub(super) const R7: i32 = 7373; // 0.899976223
pub(super) const O1: i32 = 12299; // 1.501321110
pub(super) const O3: i32 = 25172; // 3.072711026
pub(super) const O5: i32 = 16819; // 2.053119869
pub(super) const O7: i32 = 2446; // 0.298631336
