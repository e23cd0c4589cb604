//! What others say in HTTP before anything is known of them: a request's query and what it brings in a header, an answer's
//! head, who has forwarded it.
//! The same in pieces as at once, never longer than it is, and what is ours is written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tunnelcast::transport::fuzz_http;

fuzz_target!(|input: &[u8]| fuzz_http(input));
