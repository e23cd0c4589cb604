#!/bin/sh
# Installs what is missing to build, run or test tunnelcast. Looks first; says what it installs; asks for root only then.
# usage: setup.sh [build|run|test]      each level holds the ones before it; says one line when all is there
set -eu
cd "$(dirname "$0")/.."
LEVEL=${1:-run}
case $LEVEL in build) LEVELS=build ;; run) LEVELS="build run" ;; test) LEVELS="build run test" ;;
*) echo "usage: setup.sh [build|run|test]" >&2; exit 2 ;; esac

# One need a line: level, how to see that it is there, and its package for apt, dnf, pacman, brew (- where there is none
# to install). cmd:NAME a program, pc:NAME a library to build with, so:NAME a library to run with, py:NAME a Python
# module, any:NAME a library that is loaded while building, pkg only the package manager knows.
NEEDS='
build cmd:pkg-config          pkg-config          pkgconf-pkg-config  pkgconf          pkgconf
build cmd:cc                  gcc                 gcc                 gcc              -
build cmd:c++                 g++                 gcc-c++             gcc              -
build cmd:make                make                make                make             -
build cmd:cmake               cmake               cmake               cmake            cmake
build pc:alsa                 libasound2-dev      alsa-lib-devel      alsa-lib         -
build any:libclang            libclang-dev        clang-devel         clang            -
run   cmd:ffmpeg              ffmpeg              ffmpeg-free         ffmpeg           ffmpeg
run   so:libasound.so.2       libasound2          alsa-lib            alsa-lib         -
run   so:libX11.so.6          libx11-6            libX11              libx11           -
run   so:libX11-xcb.so.1      libx11-xcb1         libX11-xcb          libx11           -
run   so:libxcb.so.1          libxcb1             libxcb              libxcb           -
run   so:libxcb-xkb.so.1      libxcb-xkb1         libxcb              libxcb           -
run   so:libXcursor.so.1      libxcursor1         libXcursor          libxcursor       -
run   so:libXi.so.6           libxi6              libXi               libxi            -
run   so:libXfixes.so.3       libxfixes3          libXfixes           libxfixes        -
run   so:libXrender.so.1      libxrender1         libXrender          libxrender       -
run   so:libXext.so.6         libxext6            libXext             libxext          -
run   so:libxkbcommon.so.0    libxkbcommon0       libxkbcommon        libxkbcommon     -
run   so:libxkbcommon-x11.so.0 libxkbcommon-x11-0 libxkbcommon-x11    libxkbcommon-x11 -
run   so:libwayland-client.so.0 libwayland-client0 libwayland-client  wayland          -
test  cmd:Xvfb                xvfb                xorg-x11-server-Xvfb xorg-server-xvfb -
test  cmd:xwd                 x11-apps            xwd                 xorg-xwd         -
test  cmd:xdotool             xdotool             xdotool             xdotool          -
test  cmd:identify            imagemagick         ImageMagick         imagemagick      imagemagick
test  cmd:pulseaudio          pulseaudio          pulseaudio          pulseaudio       -
test  cmd:pactl               pulseaudio-utils    pulseaudio-utils    libpulse         -
test  pkg                     libasound2-plugins  alsa-plugins-pulseaudio alsa-plugins -
test  cmd:espeak-ng           espeak-ng           espeak-ng           espeak-ng        espeak-ng
test  cmd:sox                 sox                 sox                 sox              sox
test  cmd:qemu-system-x86_64  qemu-system-x86     qemu-system-x86     qemu-system-x86  -
test  pkg                     busybox-static      busybox             busybox          -
test  cmd:cpio                cpio                cpio                cpio             -
test  cmd:depmod              kmod                kmod                kmod             -
test  cmd:v4l2-ctl            v4l-utils           v4l-utils           v4l-utils        -
test  cmd:curl                curl                curl                curl             -
test  cmd:openssl             openssl             openssl             openssl          openssl
test  cmd:ip                  iproute2            iproute             iproute2         -
test  cmd:nft                 nftables            nftables            nftables         -
test  cmd:conntrack           conntrack           conntrack-tools     conntrack-tools  -
test  cmd:tcpdump             tcpdump             tcpdump             tcpdump          -
test  cmd:ndpiReader          libndpi-bin         -                   -                -
test  pkg                     squid-openssl       squid               squid            -
test  cmd:tinyproxy           tinyproxy           tinyproxy           tinyproxy        -
test  cmd:microsocks          microsocks          -                   -                -
test  cmd:danted              dante-server        -                   -                -
test  cmd:nginx               nginx-light         nginx               nginx            -
test  pkg                     libnginx-mod-stream nginx-mod-stream    -                -
test  cmd:haproxy             haproxy             haproxy             haproxy          -
test  cmd:stunnel             stunnel4            stunnel             stunnel          -
test  py:numpy                python3-numpy       python3-numpy       python-numpy     numpy
test  py:PIL                  python3-pil         python3-pillow      python-pillow    pillow
'

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

rust() {
  WANT=$(sed -n 's/^rust-version *= *"1\.\([0-9]*\).*/\1/p' Cargo.toml)
  if ! command -v cargo >/dev/null 2>&1; then
    fail "Rust is missing. Get it with rustup, from https://rustup.rs :
         curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh
       then open a new shell and run this again. (A distribution's own Rust will do if it is 1.$WANT or newer.)"
  fi
  HAVE=$(rustc --version | sed -n 's/^rustc 1\.\([0-9]*\).*/\1/p')
  [ "${HAVE:-0}" -ge "$WANT" ] ||
    fail "Rust 1.$WANT or newer is needed, and $(rustc --version) is here. With rustup: rustup update stable"
}

manager() {
  for m in apt-get dnf pacman brew; do command -v $m >/dev/null 2>&1 && { echo $m; return; }; done
  echo none
}

installed() { # PACKAGE
  case $MANAGER in
  apt-get) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
  dnf) rpm -q "$1" >/dev/null 2>&1 ;;
  pacman) pacman -Q "$1" >/dev/null 2>&1 ;;
  brew) brew list --versions "$1" >/dev/null 2>&1 ;;
  *) return 1 ;;
  esac
}

there() { # HOW PACKAGE
  case $1 in
  cmd:*) PATH=$PATH:/usr/sbin:/sbin command -v "${1#cmd:}" >/dev/null 2>&1 ;;
  pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
  so:*) case $LIBRARIES in *" ${1#so:} "*) true ;; *) installed "$2" ;; esac ;;
  py:*) { python3 -c "import ${1#py:}" || /usr/bin/python3 -c "import ${1#py:}"; } >/dev/null 2>&1 ;;
  any:*)
    # the names that bindgen looks for; libclang-cpp.so is another library, which comes with other things
    for folder in /usr/lib/llvm-*/lib /usr/lib64 /usr/lib /usr/lib/*-linux-gnu*; do
      for found in "$folder/${1#any:}".so* "$folder/${1#any:}"-[0-9]*.so*; do [ -e "$found" ] && return 0; done
    done
    return 1 ;;
  *) installed "$2" ;;
  esac
}

# The packages of this level that are not there, one a line.
missing() {
  case $MANAGER in apt-get) COLUMN=3 ;; dnf) COLUMN=4 ;; pacman) COLUMN=5 ;; *) COLUMN=6 ;; esac
  echo "$NEEDS" | while read -r level how apt dnf pacman brew; do
    case " $LEVELS " in *" ${level:-none} "*) ;; *) continue ;; esac
    package=$(set -- "$level" "$how" "$apt" "$dnf" "$pacman" "$brew"; shift $((COLUMN - 1)); echo "$1")
    if [ "$package" != - ] && ! there "$how" "$package"; then echo "$package"; fi
  done | sort -u
}

# What makes a command root's; nothing for root itself and for brew, which wants none.
root() {
  if [ "$MANAGER" = brew ] || [ "$(id -u)" = 0 ]; then return; fi
  command -v sudo >/dev/null 2>&1 || fail "root is needed to install, and there is no sudo: run this as root"
  echo sudo
}

# Runs a command, its output kept for the case that it fails.
quietly() {
  LOG=$(mktemp)
  if "$@" >"$LOG" 2>&1 </dev/null; then rm -f "$LOG"; else
    tail -n 20 "$LOG" >&2; rm -f "$LOG"; return 1
  fi
}

packages() {
  MANAGER=$(manager)
  LIBRARIES=" $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | awk '{ printf "%s ", $1 }') "
  MISSING=$(missing | tr '\n' ' ')
  [ -n "${MISSING% }" ] || return 0
  [ "$MANAGER" != none ] || fail "no package manager that this script knows (apt, dnf, pacman, brew). Needed, by Debian's
       names: $(MANAGER=apt-get missing | tr '\n' ' ')"
  SUDO=$(root)
  say "${SUDO:+sudo }$MANAGER installs: $MISSING"
  # shellcheck disable=SC2086  # lists of words
  case $MANAGER in
  apt-get)
    hold_services
    APT="$SUDO env DEBIAN_FRONTEND=noninteractive apt-get -q -y"
    # The lists that are here may do; where they do not, new ones are fetched.
    quietly $APT install --no-install-recommends $MISSING 2>/dev/null ||
      { quietly $APT update && quietly $APT install --no-install-recommends $MISSING; } ;;
  dnf) quietly $SUDO dnf install -y -q $MISSING ;;
  pacman) quietly $SUDO pacman -S --needed --noconfirm $MISSING ;;
  brew) quietly brew install -q $MISSING ;;
  esac || fail "$MANAGER could not install them; its last words are above"
  idle_services
}

# Proxies and web servers are installed for the tests, which start their own: as Debian installs them they would start
# at once, and at each boot.
POLICY=/usr/sbin/policy-rc.d
hold_services() {
  if [ -e $POLICY ]; then return; fi
  trap '$SUDO rm -f $POLICY' EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\nexit 101\n' | $SUDO tee $POLICY >/dev/null
  $SUDO chmod 755 $POLICY
}
idle_services() {
  if [ "$MANAGER" != apt-get ] || ! command -v systemctl >/dev/null 2>&1; then return; fi
  for package in $MISSING; do
    case $package in
    squid-openssl) service=squid ;; dante-server) service=danted ;; nginx-light) service=nginx ;;
    tinyproxy | microsocks | haproxy | stunnel4) service=$package ;; *) continue ;;
    esac
    $SUDO systemctl disable --quiet --now "$service" 2>/dev/null || true
  done
}

# The camera's guest asks apt for a kernel, which needs the lists of packages.
lists() {
  [ "$MANAGER" = apt-get ] || return 0
  ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 && return 0
  say "apt-get fetches its lists"
  SUDO=$(root)
  quietly ${SUDO:+"$SUDO"} apt-get update -q
}

tools() {
  cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing: rustup component add rustfmt"
  cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing: rustup component add clippy"
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  if ! cargo deny --version >/dev/null 2>&1; then
    say "cargo installs: cargo-deny (two minutes)"
    quietly cargo install --locked --no-default-features --quiet cargo-deny || fail "cargo-deny could not be built"
  fi
}

rust
packages
if [ "$LEVEL" = test ]; then lists; tools; fi
say "$LEVEL: all there"
