#!/usr/bin/env bash
# Glass to glass: how long from a picture leaving its source until it stands on the screen, over TLS on loopback, beside
# GStreamer's JPEG through stunnel, in turn; with quic over QUIC, beside GStreamer's RTP/JPEG over plain UDP. Prints a
# JSON line for every run, and last the medians and their ratio.
# usage: glass.sh [ROUNDS [WIDTH HEIGHT FPS [tls|quic]]]      (3 1280 720 30 tls)
# needs: xvfb, python3 with numpy and pillow, gstreamer1.0-tools with plugins base, good and bad, stunnel4, openssl
set -eu
cd "$(dirname "$0")/../.."
rounds=${1:-3} width=${2:-1280} height=${3:-720} fps=${4:-30} way=${5:-tls}
for python in python3 /usr/bin/python3; do "$python" -c 'import numpy, PIL' 2>/dev/null && break; done
export PYTHON=$python
for need in Xvfb gst-launch-1.0 stunnel openssl; do
  command -v "$need" >/dev/null || { echo "glass.sh: $need is missing" >&2; exit 2; }
done
ours=${TUNNELCAST:-target/release/tunnelcast}
[ -x "$ours" ] || cargo build --quiet --release --bin tunnelcast

dir=$(mktemp -d)
Xvfb -displayfd 3 -screen 0 1920x1080x24 -nolisten tcp 3>"$dir/display" >/dev/null 2>&1 &
screen=$!
trap 'kill "$screen" 2>/dev/null; rm -rf "$dir"' EXIT
until [ -s "$dir/display" ]; do sleep 0.1; done
DISPLAY=:$(cat "$dir/display")
export DISPLAY
unset WAYLAND_DISPLAY

# The window has 5 s to come up and settle, then 6 s are read.
measure() { sleep 5; "$python" tests/bench/glass/read.py 6; }

tunnelcast() {
  : >"$dir/serve.json"
  "$python" tests/bench/glass/gen.py "$width" "$height" "$fps" 30 2>/dev/null |
    "$ours" serve --listen 127.0.0.1:0 --certs "$dir/certs" --video pipe:- --audio none --json >"$dir/serve.json" 2>"$dir/serve.log" &
  local server=$! link=""
  for _ in $(seq 100); do
    link=$(sed -n 's/.*"event":"listening".*"link":"\([^"]*\)".*/\1/p' "$dir/serve.json" | head -n 1)
    [ -n "$link" ] && break
    sleep 0.1
  done
  [ -n "$link" ] || { cat "$dir/serve.log" >&2; exit 1; }
  "$ours" watch "$link" --latency instant --no-audio --transport "$way" >/dev/null 2>"$dir/watch.log" &
  local viewer=$!
  measure
  kill "$viewer" "$server" 2>/dev/null || true
  wait "$viewer" "$server" 2>/dev/null || true
}

peer() {
  tests/bench/glass/peer.sh "$width" "$height" "$fps" 13 "$([ "$way" = quic ] && echo udp || echo tls)" &
  local all=$!
  sleep 1
  measure
  wait "$all" || true
}

for round in $(seq "$rounds"); do
  # Whoever goes first changes, so that a machine that warms up or slows down is fair to both.
  if [ $((round % 2)) = 1 ]; then order="tunnelcast peer"; else order="peer tunnelcast"; fi
  for who in $order; do
    line=$("$who")
    echo "{\"who\": \"$who\", \"round\": $round, ${line#\{}" | tee -a "$dir/all"
  done
done
"$python" - "$dir/all" <<'PY'
import json, statistics, sys
runs = [json.loads(line) for line in open(sys.argv[1])]
result = {}
for key in ("p50", "p99"):
    for who in ("tunnelcast", "peer"):
        seen = [run[key] for run in runs if run["who"] == who and run[key] is not None]
        result[f"{who}_{key}_ms"] = statistics.median(seen) if seen else None
    ours, peer = result[f"tunnelcast_{key}_ms"], result[f"peer_{key}_ms"]
    result[f"ratio_{key}"] = round(ours / peer, 2) if ours and peer else None
print(json.dumps(result))
PY
