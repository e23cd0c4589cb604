//! Anything that a publisher may send: what a server makes of it are whole frames, each newer than the one before.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| tunnelcast::server::fuzz_relay(data));
