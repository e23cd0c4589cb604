#!/bin/bash
# Boots a small guest with cameras and runs SCRIPT in it as root; the serial console goes to standard output.
# Plain emulation: no KVM, no host modules, nothing installed.
# usage: boot.sh DIR SCRIPT PROGRAM...     DIR as made by prepare.sh; programs may be dynamic, their libraries are copied
# needs: qemu-system-x86_64, busybox (static), cpio, depmod (kmod); v4l2-ctl is taken along where it is there
set -euo pipefail
dir=$(cd "${1:?usage: boot.sh DIR SCRIPT PROGRAM...}" && pwd); script=$2; shift 2
version=$(cat "$dir/version")
modules=$dir/image/lib/modules/$version
PATH=$PATH:/sbin:/usr/sbin
root=$(mktemp -d "$dir/guest.XXXXXX")
trap 'rm -rf "$root" "$root.cpio.gz"' EXIT
chmod 755 "$root"

mkdir -p "$root"/{bin,sbin,dev,proc,sys,tmp,etc,root,run,usr/bin,lib64} "$root/lib/modules/$version"
cp "$(command -v busybox)" "$root/bin/busybox"

# vivid and what it stands on
for module in vivid videodev; do
  line=$(grep -E "/$module\.ko[^:]*:" "$modules/modules.dep")
  for file in ${line%%:*} ${line#*:}; do
    mkdir -p "$root/lib/modules/$version/$(dirname "$file")"
    cp -n "$modules/$file" "$root/lib/modules/$version/$file"
  done
done
cp "$modules"/modules.{order,builtin} "$root/lib/modules/$version/"
depmod -b "$root" "$version"
cp "$dir/v4l2loopback.ko" "$root/"

add() {
  local name; name=$(basename "$1")
  install -D "$1" "$root/usr/bin/$name"
  strip "$root/usr/bin/$name" 2>/dev/null || true
  { ldd "$1" 2>/dev/null || true; } | { grep -oE '/[^ ]+\.so[^ ]*' || true; } | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -nL "$library" "$root$library"
  done
}
for program in "$@" $(command -v v4l2-ctl || true); do add "$program"; done
cp "$script" "$root/script.sh"

cat > "$root/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin:/sbin:/usr/bin HOME=/root TERM=dumb
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
ifconfig lo 127.0.0.1 up
modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0 || echo "GUEST no vivid"
insmod /v4l2loopback.ko video_nr=9 exclusive_caps=1 card_label=loopcam || echo "GUEST no v4l2loopback"
echo "GUEST up $(cut -d' ' -f1 /proc/uptime)"
sh /script.sh
echo "GUEST done $(cut -d' ' -f1 /proc/uptime)"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$root.cpio.gz"

timeout "${TIMEOUT:-300}" qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
  -nodefaults -display none -no-reboot -serial stdio \
  -kernel "$dir/image/boot/vmlinuz-$version" -initrd "$root.cpio.gz" \
  -append "console=ttyS0 quiet panic=-1 loglevel=3"
