#!/bin/sh
# The kernels of arm64 (NEON) against the portable ones, in a Debian root of arm64: compiles the tests of the library for arm64 and runs those of
# kernels, networks and stages there, on another processor by an emulator.
#
#   packaging/test-kernels-arm64.sh [FILTER...]
#
# As root, with what build-deb.sh needs for arm64 and debian-root.sh for a root; ROOT=DIR takes one that is there already. An emulated processor
# is a hundred times slower: tests of random cases take 12 cases there, unless PROPTEST_CASES says another number.
set -eu
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
architecture=arm64
# shellcheck source=packaging/cross.sh
. packaging/cross.sh
# shellcheck source=packaging/debian-root.sh
. packaging/debian-root.sh
[ $# -gt 0 ] || set -- kernels:: nn:: encode:: context:: predict::
cargo test --release --locked --lib --no-default-features --features mqtt,http --target $target --no-run --message-format json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' > "$root/tmp/names"
cp "$(tail -n 1 "$root/tmp/names")" "$root/tmp/kernels"
[ "$architecture" = "$own" ] || : "${PROPTEST_CASES:=12}"
# one of them looks at its threads in /proc, which goes with the mounts of its own
# shellcheck disable=SC2016
unshare --mount sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" /usr/bin/env "$@"' "$root" PATH=/usr/bin:/bin \
    ${PROPTEST_CASES:+"PROPTEST_CASES=$PROPTEST_CASES"} /tmp/kernels "$@"
rm -f "$root/tmp/kernels" "$root/tmp/names"
say "passed"
