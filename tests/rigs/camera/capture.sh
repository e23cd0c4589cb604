# Runs in the guest as root: what a camera can do to the capture module. The test program itself is the probe.
PROBE=$(ls /usr/bin/camera_guest-*)
echo "nobody:x:65534:65534:nobody:/:/bin/sh" > /etc/passwd
echo "nobody:x:65534:" > /etc/group
probe() { CAMERA=$1 SECONDS_TO_RUN=$2 $PROBE --exact inside_probe --ignored --nocapture; }
vivid=/sys/bus/platform/drivers/vivid

echo "CASE missing"
probe 7 1

echo "CASE forbidden"
chmod 600 /dev/video0
su -s /bin/sh nobody -c "CAMERA=0 SECONDS_TO_RUN=1 $PROBE --exact inside_probe --ignored --nocapture"

# nokhwa refuses such a camera by itself
echo "CASE fractional"
v4l2-ctl -d /dev/video0 -v width=1280,height=720,pixelformat=UYVY
v4l2-ctl -d /dev/video0 -p 12.5
probe 0 4

echo "CASE busy"
probe 0 6 > /tmp/first &
sleep 3
probe 0 1
wait

echo "CASE unplugged"
(sleep 5; echo vivid.0 > $vivid/unbind; sleep 4; echo vivid.0 > $vivid/bind) &
probe 0 18
wait

echo "CASE jpeg"
camfeed /dev/video9 200 & feed=$!
sleep 2
probe 1 5

echo "CASE stalled"
(sleep 5; kill $feed; sleep 7; camfeed /dev/video9 100 > /dev/null & sleep 14; kill $!) &
probe 1 24
echo "CASE end"
