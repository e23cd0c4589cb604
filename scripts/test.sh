#!/bin/sh
# Everything that a change must pass, quick checks first; stops at the first failure. Sets up what is missing.
# usage: test.sh      FUZZ_SECONDS=10 each fuzz target; TEST_MINUTES=30 at most for one run of the tests
set -eu
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
START=$(date +%s)
LOG=$(mktemp)
trap 'rm -f "$LOG" "$LOG.ldd"' EXIT

# step NAME COMMAND...: a line with the time it took; all that it said, if it fails.
step() {
  name=$1 began=$(date +%s)
  shift
  if "$@" >"$LOG" 2>&1 </dev/null; then
    printf '%-50s ok %4d s\n' "$name" $(($(date +%s) - began))
  else
    status=$?
    cat "$LOG"
    printf '%-50s FAILED after %d s (status %d): %s\n' "$name" $(($(date +%s) - began)) $status "$*"
    exit 1
  fi
}

# The same for a run of tests, whose own closing lines are shown; a run that hangs is ended.
tests() {
  if command -v timeout >/dev/null 2>&1; then
    name=$1
    shift
    step "$name" timeout -k 10 "${TEST_MINUTES:-30}m" "$@"
  else step "$@"; fi
  grep -E '^( *(Running|Doc-tests) |test result:)' "$LOG" || true
}

no_private_key() {
  git rev-parse --git-dir >/dev/null || return 0
  ! git grep -I -l -E '^-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----' -- .
}

no_sound_library() {
  cargo build --quiet --no-default-features --bin tunnelcast &&
    ldd "${CARGO_TARGET_DIR:-target}/debug/tunnelcast" >"$LOG.ldd" &&
    ! grep -E 'libasound|libpulse|libX11|libwayland' "$LOG.ldd"
}

# The Python that has numpy and Pillow, for the tests that read pictures and sound as somebody else would.
for python in python3 /usr/bin/python3; do
  if $python -c 'import numpy, PIL' 2>/dev/null; then break; fi
done

sh scripts/setup.sh test
step "format" cargo fmt --check
step "no private key in git" no_private_key
step "dependencies: bans, licences, sources" cargo deny --log-level error check bans licenses sources
step "lints" cargo clippy --quiet --all-targets -- -D warnings
step "lints without hardware" cargo clippy --quiet --no-default-features --lib --bins -- -D warnings
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --lib
tests "tests without hardware" cargo test --no-default-features --lib
if [ "$(uname -s)" = Linux ]; then step "the server links no sound or window library" no_sound_library; fi
step "tests: build" cargo test --no-run --all-targets
tests "tests" env TUNNELCAST_PYTHON="$python" cargo test --lib --bins --tests --examples -- --show-output
# The parts that need a display, a sound server or a guest leave themselves out where these cannot be had.
if grep -i '^skipped:' "$LOG" && [ "${CI:-}" = true ] &&
  grep -i '^skipped:' "$LOG" | grep -v 'needs a kernel' | grep -q 'installed\|here\|needs'; then
  echo "nothing may be left out in CI for want of a program"
  exit 1
fi
tests "benchmarks, briefly" cargo test --bench '*'
tests "examples in the documentation" cargo test --doc
step "fuzz: ${FUZZ_SECONDS:=10} s each" env FUZZ_SECONDS="$FUZZ_SECONDS" sh scripts/fuzz.sh
grep '^fuzz ' "$LOG" || true
echo "all passed in $(($(date +%s) - START)) s"
