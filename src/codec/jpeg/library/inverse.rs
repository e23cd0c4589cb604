//! From coefficients to samples, two blocks at a time, for AVX2: the way back of [`forward`](super::forward).
//!
//! The same algorithm turned around, rounded where the JPEG group's `jidctint` rounds. Of coefficients that are too
//! large for any picture the samples are others than those of crate `libjpeg-turbo-rs`, as its own are from one
//! processor to the next.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_mullo_epi16,
    _mm256_packs_epi16, _mm256_packs_epi32, _mm256_permute4x64_epi64, _mm256_set1_epi8,
    _mm256_set1_epi32, _mm256_srai_epi32, _mm256_sub_epi32, _mm256_unpackhi_epi8,
    _mm256_unpackhi_epi32, _mm256_unpacklo_epi8, _mm256_unpacklo_epi32,
};

use fearless_simd::prelude::*;
use fearless_simd::{Avx2, i16x16, kernel, u8x32};

use super::forward::{C3, C6, O1, O3, O5, O7, R1, R2, R3, R5, R6, R7, pairs, products, transpose};
use crate::codec::jpeg::scan::Pair;

/// What multiplies the coefficients of two blocks, as they stand in a [`Pair`].
pub(super) type Steps = [i16; 128];

pub(super) fn steps(first: &[u16; 64], second: &[u16; 64]) -> Steps {
    std::array::from_fn(|place| {
        let of = if place % 16 < 8 { first } else { second };
        of[place / 16 * 8 + place % 8].cast_signed()
    })
}

kernel! {
    /// Writes two blocks side by side.
    #[inline]
    pub(super) fn inverse_beside(avx2: Avx2, pair: &Pair, steps: &Steps, out: &mut [u8], width: usize) {
        for (index, two) in inverse(avx2, pair, steps).into_iter().enumerate() {
            let two: u8x32<Avx2> = _mm256_permute4x64_epi64::<0b11_01_10_00>(two).simd_into(avx2);
            let (upper, lower) = two.split();
            let at = index * 2 * width;
            upper.store_slice(&mut out[at..at + 16]);
            lower.store_slice(&mut out[at + width..at + width + 16]);
        }
    }
}

kernel! {
    /// Writes two blocks each to its own place.
    #[inline]
    pub(super) fn inverse_apart(
        avx2: Avx2,
        pair: &Pair,
        steps: &Steps,
        first: &mut [u8],
        second: &mut [u8],
        width: usize
    ) {
        for (index, two) in inverse(avx2, pair, steps).into_iter().enumerate() {
            let two: [u8; 32] = {
                let two: u8x32<Avx2> = two.simd_into(avx2);
                two.into()
            };
            let at = index * 2 * width;
            for (out, half) in [(&mut *first, 0), (&mut *second, 16)] {
                out[at..at + 8].copy_from_slice(&two[half..half + 8]);
                out[at + width..at + width + 8].copy_from_slice(&two[half + 8..half + 16]);
            }
        }
    }
}

/// Two rows in each vector: the first block's in its lower half, one behind the other, the second one's in its upper.
#[inline]
#[target_feature(enable = "avx2")]
fn inverse(avx2: Avx2, pair: &Pair, steps: &Steps) -> [__m256i; 4] {
    let row = |index: usize| {
        let row = |of: &[i16]| -> __m256i {
            i16x16::from_slice(avx2, &of[index * 16..index * 16 + 16]).into()
        };
        _mm256_mullo_epi16(row(pair), row(steps))
    };
    let rows = [
        row(0),
        row(1),
        row(2),
        row(3),
        row(4),
        row(5),
        row(6),
        row(7),
    ];
    let columns = pass::<18>(transpose(pass::<11>(rows)));
    let [c0, c1, c2, c3, c4, c5, c6, c7] = columns;
    // As bytes, less 128, and from columns to rows.
    let [a, b] = [_mm256_packs_epi16(c0, c4), _mm256_packs_epi16(c1, c5)];
    let [c, d] = [_mm256_packs_epi16(c2, c6), _mm256_packs_epi16(c3, c7)];
    let [left0, right0] = [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)];
    let [left1, right1] = [_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d)];
    let [left_upper, left_lower] = pairs(left0, left1);
    let [right_upper, right_lower] = pairs(right0, right1);
    let middle = _mm256_set1_epi8(-128);
    [
        _mm256_add_epi8(_mm256_unpacklo_epi32(left_upper, right_upper), middle),
        _mm256_add_epi8(_mm256_unpackhi_epi32(left_upper, right_upper), middle),
        _mm256_add_epi8(_mm256_unpacklo_epi32(left_lower, right_lower), middle),
        _mm256_add_epi8(_mm256_unpackhi_epi32(left_lower, right_lower), middle),
    ]
}

/// Transforms columns and shifts right by `SHIFT`, rounded.
#[inline]
#[target_feature(enable = "avx2")]
fn pass<const SHIFT: i32>(rows: [__m256i; 8]) -> [__m256i; 8] {
    let sum = |a: [__m256i; 2], b: [__m256i; 2]| {
        [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
    };
    let difference = |a: [__m256i; 2], b: [__m256i; 2]| {
        [_mm256_sub_epi32(a[0], b[0]), _mm256_sub_epi32(a[1], b[1])]
    };
    let shifted = |[low, high]: [__m256i; 2]| {
        _mm256_packs_epi32(
            _mm256_srai_epi32::<SHIFT>(low),
            _mm256_srai_epi32::<SHIFT>(high),
        )
    };
    let round = [_mm256_set1_epi32(1 << (SHIFT - 1)); 2];
    let [x0, x1, x2, x3, x4, x5, x6, x7] = rows;

    let straight = pairs(x0, x4);
    let added = sum(products(straight, ONE, ONE), round);
    let taken = sum(products(straight, ONE, -ONE), round);
    let turned = pairs(x2, x6);
    let outer = products(turned, C6 + R2, C6);
    let inner = products(turned, C6, C6 - R6);
    let even = [
        sum(added, outer),
        sum(taken, inner),
        difference(taken, inner),
        difference(added, outer),
    ];

    let crossed = pairs(_mm256_add_epi16(x7, x3), _mm256_add_epi16(x5, x1));
    let z0 = products(crossed, C3 - R3, C3);
    let z1 = products(crossed, C3, C3 - R5);
    let outer = pairs(x7, x1);
    let inner = pairs(x5, x3);
    let odd = [
        sum(products(outer, -R7, O1 - R7), z1),
        sum(products(inner, -R1, O3 - R1), z0),
        sum(products(inner, O5 - R1, -R1), z1),
        sum(products(outer, O7 - R7, -R7), z0),
    ];
    [
        shifted(sum(even[0], odd[0])),
        shifted(sum(even[1], odd[1])),
        shifted(sum(even[2], odd[2])),
        shifted(sum(even[3], odd[3])),
        shifted(difference(even[3], odd[3])),
        shifted(difference(even[2], odd[2])),
        shifted(difference(even[1], odd[1])),
        shifted(difference(even[0], odd[0])),
    ]
}

/// In 13 bits of fraction.
const ONE: i32 = 8192;
