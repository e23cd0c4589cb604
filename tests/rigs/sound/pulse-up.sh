#!/bin/sh
# A sound card without hardware, systemd or D-Bus: speaker `vspk` (record its monitor), microphone `vmic` (play into
# `vmicsink`), in a PulseAudio of its own.
# usage: eval "$(pulse-up.sh)"       needs: pulseaudio, pactl (pulseaudio-utils)      ends with: pactl exit
#        XDG_RUNTIME_DIR and PULSE_SERVER are taken from the environment if both are set, else made
set -eu
[ -n "${PULSE_SERVER:-}" ] || XDG_RUNTIME_DIR=$(mktemp -d)
PULSE_SERVER="unix:$XDG_RUNTIME_DIR/pulse/native"
# a home of its own, so that nobody's settings or cookies are read or written
HOME=$XDG_RUNTIME_DIR
export XDG_RUNTIME_DIR PULSE_SERVER HOME
mkdir -p -m 700 "$XDG_RUNTIME_DIR/pulse"
# norewinds=1 is essential: without it a null sink consumes in bursts, with gaps of over a second
pulseaudio -n --daemonize=yes --exit-idle-time=-1 --use-pid-file=yes --log-target="file:$XDG_RUNTIME_DIR/pulse.log" \
  -L "module-native-protocol-unix auth-anonymous=1 socket=$XDG_RUNTIME_DIR/pulse/native" \
  -L "module-null-sink sink_name=vspk rate=48000 channels=2 norewinds=1 sink_properties=device.description=vspk" \
  -L "module-null-sink sink_name=vmicsink rate=48000 channels=1 norewinds=1 sink_properties=device.description=vmicsink" \
  -L "module-remap-source source_name=vmic master=vmicsink.monitor source_properties=device.description=vmic" >&2
tries=0
until pactl info >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ $tries -le 50 ] || { cat "$XDG_RUNTIME_DIR/pulse.log" >&2; exit 1; }
  sleep 0.1
done
pactl set-default-sink vspk >&2
pactl set-default-source vmic >&2
echo "export XDG_RUNTIME_DIR='$XDG_RUNTIME_DIR' PULSE_SERVER='$PULSE_SERVER'"
