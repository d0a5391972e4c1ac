# Read by the tests of packages: a fresh Debian root in $root, or the one that ROOT names, and words to tell with. As root, with mmdebstrap
# or debootstrap (MIRROR=URL for another mirror than theirs, SUITE=bookworm). $include names packages to put in, with commas between them;
# $architecture names another one than this machine's, whose programs run under qemu-user-static.
# shellcheck shell=sh
suite=${SUITE:-bookworm}
not_done=

say() { echo "== $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
skip() { not_done="$not_done
 - $*"; }

own=$(dpkg --print-architecture)
architecture=${architecture:-$own}

[ "$(id -u)" = 0 ] || fail "not root: a Debian root cannot be made or entered"

if [ "$architecture" != "$own" ]; then
    emulator=qemu-$(echo "$architecture" | sed 's/^arm64$/aarch64/; s/^amd64$/x86_64/')
    binfmt=/proc/sys/fs/binfmt_misc
    grep -qs '^enabled' "$binfmt/$emulator" || fail "programs of $architecture do not run here: apt-get install qemu-user-static arch-test, and where no systemd \
registers it, mount -t binfmt_misc none $binfmt && cat /usr/lib/binfmt.d/$emulator.conf > $binfmt/register"
fi

if [ -n "${ROOT:-}" ]; then
    root=$ROOT
else
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    trap 'exit 130' INT TERM
    if command -v mmdebstrap > /dev/null; then
        mmdebstrap --quiet --mode=root --variant=apt --architectures="$architecture" ${include:+"--include=$include"} "$suite" "$root" ${MIRROR:+"$MIRROR"}
    elif command -v debootstrap > /dev/null; then
        debootstrap --arch="$architecture" --variant=minbase ${include:+"--include=$include"} "$suite" "$root" ${MIRROR:+"$MIRROR"} > /dev/null
    else
        fail "neither mmdebstrap nor debootstrap is here, and ROOT is not set: apt-get install mmdebstrap"
    fi
fi

in_root() { chroot "$root" /usr/bin/env DEBIAN_FRONTEND=noninteractive PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
