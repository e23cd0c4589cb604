#!/bin/bash
# Fetches what the camera guest is made of into DIR: Debian's kernel, unpacked, and v4l2loopback built for it. Installs nothing.
# usage: prepare.sh DIR      prints the kernel's version; a second run finds everything there
# needs: apt-get (Debian), dpkg-deb, depmod (kmod); for the loopback camera also make and the kernel's gcc
set -euo pipefail
dir=${1:?usage: prepare.sh DIR}
mkdir -p "$dir/deb" "$dir/image" "$dir/headers"
dir=$(cd "$dir" && pwd)

version=$(cat "$dir/version" 2>/dev/null || true)
if [ -z "$version" ] || [ ! -e "$dir/image/boot/vmlinuz-$version" ]; then
  version=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -1)
  [ -n "$version" ] || { echo "apt knows no linux-image-amd64; try apt-get update" >&2; exit 1; }
  (cd "$dir/deb" && apt-get download "linux-image-$version") >&2
  dpkg-deb -x "$dir"/deb/linux-image-"$version"_*.deb "$dir/image"
  PATH=$PATH:/sbin:/usr/sbin depmod -b "$dir/image" "$version"
  echo "$version" > "$dir/version"
fi

if [ ! -e "$dir/v4l2loopback.ko" ]; then
  common=${version%-amd64}-common
  kbuild=linux-kbuild-$(echo "$version" | cut -d. -f1,2)
  apt-cache show "$kbuild" >/dev/null 2>&1 || kbuild=linux-kbuild-$version
  (cd "$dir/deb" && apt-get download v4l2loopback-dkms "linux-headers-$version" "linux-headers-$common" "$kbuild") >&2
  for package in "$dir"/deb/v4l2loopback-dkms*.deb "$dir"/deb/linux-headers*.deb "$dir"/deb/linux-kbuild*.deb; do
    dpkg-deb -x "$package" "$dir/headers"
  done
  headers=$dir/headers/usr/src/linux-headers-$version
  # Debian's wrapper names /usr/src, where nothing was installed
  sed -i "s#^include /usr/src/#include $dir/headers/usr/src/#" "$headers/Makefile"
  tools=$(ls -d "$dir"/headers/usr/lib/linux-kbuild-* | head -1)
  for tree in "$headers" "$dir/headers/usr/src/linux-headers-$common"; do
    ln -sfn "$tools/scripts" "$tree/scripts"
    ln -sfn "$tools/tools" "$tree/tools"
  done
  source=$(ls -d "$dir"/headers/usr/src/v4l2loopback-* | head -1)
  make -C "$headers" M="$source" modules >&2
  cp "$source/v4l2loopback.ko" "$dir/v4l2loopback.ko"
fi
echo "$version"
