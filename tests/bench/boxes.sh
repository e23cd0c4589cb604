#!/bin/sh
# A minute of the test card behind every box of tests/firewall (firewalls, proxies, inspection, reverse proxies): which way
# got through, how long until the first picture, and what came. Needs root and what `scripts/setup.sh test` installs.
# usage: boxes.sh [SECONDS [NAME]]      NAME: only behind those boxes whose names hold it
set -eu
cd "$(dirname "$0")/../.."
export FIREWALL_SECONDS="${1:-60}" FIREWALL_BOX="${2:-}"
cargo test --quiet --release --test firewall -- --ignored --nocapture --exact table::table
