//! Any sequence of what may happen to a viewer's links: it comes to rest, dials nothing twice, and sees what comes over a
//! link that stands.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| tunnelcast::client::fuzz_moves(data));
