# Read by the scripts that build: what cargo must know to build for $target on another processor, and with $variant, if any.
# shellcheck shell=sh
if [ "$target" = aarch64-unknown-linux-gnu ] && [ "$(uname -m)" != aarch64 ]; then
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar
    export PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig
fi
if [ "${variant:-}" = cuda ] && [ "$target" = x86_64-unknown-linux-gnu ]; then
    # linked as usual it would not start where the driver or a library of CUDA is missing
    cargo fetch --locked --target "$target"
    packaging/cuda-stubs.py target/cuda
    # kernels for GPUs from Ampere on, compiled by the driver: no GPU has to be here
    export CUDA_HOME="$PWD/target/cuda" CUDA_PATH="$PWD/target/cuda" CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-80}"
    export LIBRARY_PATH="$PWD/target/cuda/lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
fi
