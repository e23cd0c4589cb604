//! Code compiled twice: for any machine, and for those with AVX2.
//!
//! The program is compiled for every processor of its kind, so on x86-64 its loops know neither AVX2 nor the
//! instructions of BMI and LZCNT, which came with it and which shift by a variable and count zeros in one step: walking
//! and writing Huffman codes is made of that. Crate `fearless_simd` finds out once what the machine has, and its token
//! is the proof of it: with one in hand, code is compiled for AVX2, and its intrinsics called, without `unsafe` here.
//! AVX-512 is not asked for: it would be a third copy of everything.

#[cfg(target_arch = "x86_64")]
use fearless_simd::{Avx2, Level, Simd};

/// What the machine has beyond what the program is compiled for.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec::jpeg) enum Machine {
    /// Nothing, or nothing that is used here.
    Any,
    /// All that x86-64 had in 2013.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

impl Machine {
    /// This one.
    pub(in crate::codec::jpeg) fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Level::new().as_avx2() {
            return Self::Avx2(avx2);
        }
        Self::Any
    }

    /// Does `work` as compiled for this machine: all in it that is `inline(always)`, as the closure itself has to be.
    #[inline(always)]
    pub(in crate::codec::jpeg) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Any => work(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.vectorize(work),
        }
    }
}
