#!/bin/sh
# Server and viewer on this machine: the test card with its tone, in a window, or for 10 s without one where there is no
# display. Sets up what is missing, builds, runs. usage: demo.sh [options of `tunnelcast demo`]
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh run
cargo build --release --bin tunnelcast
exec "${CARGO_TARGET_DIR:-target}/release/tunnelcast" demo "$@"
