#!/bin/sh
# The kernels of arm64 (NEON, dot products) against the portable ones, by an emulator on another processor: compiles the tests of the library
# for arm64 and runs those of kernels, networks and the model. Needs qemu-user-static, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross.
# Usage: packaging/test-kernels-arm64.sh [FILTER...]
set -eu
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
# shellcheck source=packaging/cross.sh
. packaging/cross.sh
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=
if [ "$(uname -m)" != aarch64 ]; then
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
fi
[ $# -gt 0 ] || set -- kernels:: nn:: encode:: context:: predict::
cargo test --release --locked --lib --no-default-features --features mqtt,http --target $target -- "$@"
