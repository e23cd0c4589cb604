//! The program behind real firewalls, proxies and other boxes: viewer, box and server in three network namespaces.
//!
//! Needs Linux, root, `ip` and `nft`, and for each box the program that it is; a test says `skipped: NAME` and why
//! where one is missing. What a box does to others is shown with `curl` or `openssl` first, so that a rig that does not
//! work is told from a viewer that does not get through. With `FIREWALL_SECONDS=60` the test `table` plays that long
//! behind every box and prints what came (`tests/bench/boxes.sh`).
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests run in real time, on threads of their own"
)]

mod boxes;
mod dpi;
mod inspection;
mod keeping;
mod nat;
mod packets;
mod passwords;
mod portal;
mod probes;
mod proxies;
mod publishing;
mod reverse;
mod rig;
mod table;
