//! Crate `libjpeg-turbo-rs` without our check in front of it: what it does with bytes that are no JPEG of ours.
//!
//! We give it nothing but the coefficients of cells that have passed; this shows what it would do with more. An input
//! is a whole JPEG, read by its complete decoder, and its first bytes are also the steps and coefficients of a block
//! for the transform that we use, which must give samples for anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use libjpeg_turbo_rs::{DecodeLimits, Decoder};

/// As many pixels as a picture of ours may have here, so that an input takes no longer than the others.
const LIMITS: DecodeLimits = DecodeLimits {
    max_width: 2048,
    max_height: 2048,
    max_pixels: 1 << 20,
    max_scans: 32,
    max_memory: Some(64 << 20),
};

fuzz_target!(|input: &[u8]| {
    for lenient in [false, true] {
        if let Ok(mut decoder) = Decoder::new_with_limits(input, LIMITS) {
            decoder.set_lenient(lenient);
            if let Ok(raw) = decoder.decode_raw() {
                let sides = raw.plane_widths.iter().zip(&raw.plane_heights);
                for (plane, (width, height)) in raw.planes.iter().zip(sides) {
                    assert_eq!(plane.len(), width * height);
                }
            }
        }
    }
    let mut words = input
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut next = || words.next().unwrap_or_default();
    let coefficients = std::array::from_fn(|_| next().cast_signed());
    let steps = std::array::from_fn(|_| next());
    let mut samples = [0; 64];
    (libjpeg_turbo_rs::simd::detect().idct_islow)(&coefficients, &steps, &mut samples);
});
