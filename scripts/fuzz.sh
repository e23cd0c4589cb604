#!/bin/sh
# Builds the fuzz targets on the stable toolchain and runs each for FUZZ_SECONDS (10), two at a time; a line each.
# usage: fuzz.sh [TARGET...]      what it learns stays in tests/fuzz/corpus, what it finds in tests/fuzz/artifacts
set -eu
cd "$(dirname "$0")/../tests/fuzz"
SECONDS_EACH=${FUZZ_SECONDS:-10}
HOST=$(rustc -vV | sed -n 's/^host: //p')

if [ "${1:-}" = --one ]; then
  NAME=$2
  mkdir -p "corpus/$NAME" "artifacts/$NAME" logs
  SEEDS=$(ls -d "seeds/$NAME" 2>/dev/null || true)
  DICTIONARY=seeds/$NAME.dict
  [ -e "$DICTIONARY" ] || case $NAME in control | deframe | *_session) DICTIONARY=seeds/wire.dict ;; *) DICTIONARY='' ;; esac
  LOG=logs/$NAME.log
  # 5 s for one input is a hang; 1 GiB for one input is a length that was believed.
  # shellcheck disable=SC2086  # may be nothing
  if "${CARGO_TARGET_DIR:-target}/$HOST/release/$NAME" -max_total_time="$SECONDS_EACH" -timeout=5 -rss_limit_mb=1024 \
    -max_len=65536 -print_final_stats=1 -artifact_prefix="artifacts/$NAME/" ${DICTIONARY:+-dict=$DICTIONARY} \
    "corpus/$NAME" $SEEDS >"$LOG" 2>&1; then
    RUNS=$(sed -n 's/^stat::number_of_executed_units: *//p' "$LOG")
    COVER=$(sed -n 's/.*cov: \([0-9]*\).*/\1/p' "$LOG" | tail -n 1)
    echo "fuzz $NAME: nothing found, $RUNS inputs, $COVER places reached"
  else
    tail -n 40 "$LOG"
    echo "fuzz $NAME: FAILED, input in tests/fuzz/artifacts/$NAME"
    exit 255 # xargs stops
  fi
  exit
fi

# Coverage as cargo-fuzz asks for it, without a sanitizer: our code has no unsafe, and panics, hangs and memory show
# without one. `--target` keeps build scripts out of it.
COVERAGE="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS="--cfg fuzzing $COVERAGE -Clink-dead-code" cargo build --quiet --release --bins --target "$HOST"
if [ $# = 0 ]; then
  for file in fuzz_targets/*.rs; do
    name=$(basename "$file" .rs)
    grep -q "^name = \"$name\"$" Cargo.toml || { echo "fuzz $name: no [[bin]] in tests/fuzz/Cargo.toml"; exit 1; }
    set -- "$@" "$name"
  done
fi
printf '%s\n' "$@" | xargs -n 1 -P 2 sh ../../scripts/fuzz.sh --one
