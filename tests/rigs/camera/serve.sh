# Runs in the guest as root: the real program serves a camera, and watches it.

# serve CAMERA: the link is in $link
serve() {
  rm -f /tmp/serve.json
  tunnelcast serve --video "$1" --audio none --listen 127.0.0.1:8443 --certs /tmp/certs --json \
    > /tmp/serve.json 2> /tmp/serve.err < /dev/null &
  server=$!
  link= tries=0
  while [ -z "$link" ] && [ $tries -lt 60 ]; do
    sleep 0.5
    tries=$((tries + 1))
    link=$(sed -n 's/.*"link":"\([^"]*\)".*/\1/p' /tmp/serve.json | head -n 1)
  done
  [ -n "$link" ] || { echo "GUEST no link"; cat /tmp/serve.json /tmp/serve.err; }
}

watch() {
  tunnelcast watch "$link" --headless --duration "$1" --json 2> /tmp/watch.err < /dev/null | grep -v '"event":"stats"' | sed 's/^/WATCH /'
  head -n 5 /tmp/watch.err
}

# quit: the server ends as by Ctrl-C, and what it said is shown
quit() {
  kill -INT $server
  wait $server
  echo "GUEST serve ended with $?"
  sed 's/^/SERVE /' /tmp/serve.json
  head -n 20 /tmp/serve.err
}

vivid=/sys/bus/platform/drivers/vivid

echo "CASE vivid"
serve camera
watch 10s
quit

echo "CASE unplugged"
serve camera:0
(sleep 8; echo vivid.0 > $vivid/unbind; sleep 4; echo vivid.0 > $vivid/bind) &
watch 25s
quit

echo "CASE jpeg"
camfeed /dev/video9 300 &
feed=$!
sleep 2
serve camera:1
watch 10s
quit
kill $feed
echo "CASE end"
