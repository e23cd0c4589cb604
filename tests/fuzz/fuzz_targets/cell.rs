//! Any Huffman tables and any cell: what our decoder takes, and the coefficients and samples that it finds, are those of
//! the standard's letter and of the library.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    tunnelcast::codec::fuzz_cell(data);
});
