#!/usr/bin/env bash
# The peer: GStreamer's JPEG through stunnel, what somebody would build from parts, or as RTP over plain UDP. Shows the
# pictures of gen.py on DISPLAY until SECONDS are over. usage: peer.sh WIDTH HEIGHT FPS SECONDS [tls|udp]
set -eu
cd "$(dirname "$0")"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
free() { "${PYTHON:-python3}" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
limit=$(($4 + 3))
if [ "${5:-tls}" = udp ]; then
  port=$(free)
  timeout "$limit" gst-launch-1.0 -q udpsrc port="$port" buffer-size=4000000 \
    caps="application/x-rtp,media=video,encoding-name=JPEG,payload=26,clock-rate=90000" \
    ! rtpjpegdepay ! jpegdec ! videoconvert ! ximagesink sync=false >/dev/null 2>&1 &
  sleep 1
  "${PYTHON:-python3}" gen.py "$1" "$2" "$3" "$4" 2>/dev/null |
    timeout "$limit" gst-launch-1.0 -q fdsrc ! y4mdec ! jpegenc quality=75 ! rtpjpegpay mtu=1400 \
      ! udpsink host=127.0.0.1 port="$port" sync=false >/dev/null 2>&1 || true
  # shellcheck disable=SC2046  # numbers
  kill $(jobs -p) 2>/dev/null || true
  wait
  exit
fi
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/key.pem" -out "$dir/cert.pem" \
  -days 2 -subj /CN=localhost 2>/dev/null
outer=$(free) inner=$(free) entry=$(free)
common='foreground=yes\npid=\ndebug=0\nsocket=l:TCP_NODELAY=1\nsocket=r:TCP_NODELAY=1\n'
printf "$common"'[in]\naccept=127.0.0.1:%s\nconnect=127.0.0.1:%s\ncert=%s/cert.pem\nkey=%s/key.pem\n' \
  "$outer" "$inner" "$dir" "$dir" >"$dir/server.conf"
printf "$common"'client=yes\n[out]\naccept=127.0.0.1:%s\nconnect=127.0.0.1:%s\n' "$entry" "$outer" >"$dir/client.conf"
timeout "$limit" stunnel "$dir/server.conf" >/dev/null 2>&1 &
timeout "$limit" stunnel "$dir/client.conf" >/dev/null 2>&1 &
timeout "$limit" gst-launch-1.0 -q tcpserversrc host=127.0.0.1 port="$inner" ! gdpdepay ! jpegdec ! videoconvert \
  ! ximagesink sync=false >/dev/null 2>&1 &
sleep 1
"${PYTHON:-python3}" gen.py "$1" "$2" "$3" "$4" 2>/dev/null |
  timeout "$limit" gst-launch-1.0 -q fdsrc ! y4mdec ! jpegenc quality=75 ! gdppay \
    ! tcpclientsink host=127.0.0.1 port="$entry" sync=false >/dev/null 2>&1 || true
# shellcheck disable=SC2046  # numbers
kill $(jobs -p) 2>/dev/null || true
wait
