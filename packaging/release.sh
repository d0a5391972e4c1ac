#!/bin/sh
# Builds what a release holds, in target/release-files, and tests it: Debian packages, tarballs and images for amd64 and arm64, the add-on,
# and SHA256SUMS. Packages, tarballs and images of arm64 run under qemu-user-static; the machine that is booted is an amd64.
#
#   packaging/release.sh
#
# As root, on Debian 12 on amd64, with what build-deb.sh arm64, build-image.sh and the tests need, and lintian: the workflow of releases
# lists the packages. Nothing is skipped.
set -eu
cd "$(dirname "$0")/.."
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
out=target/release-files
# programs of arm64 run here; systemd registers that, and a container has none
binfmt=/proc/sys/fs/binfmt_misc
[ -e "$binfmt/register" ] || mount -t binfmt_misc none "$binfmt"
[ -e "$binfmt/qemu-aarch64" ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf > "$binfmt/register"
rm -rf "$out" target/debian/*.deb target/image/*.tar target/tarball/*.tar.gz
mkdir -p "$out"
for arch in amd64 arm64; do
    packaging/build-deb.sh "$arch"
    packaging/build-lab-deb.sh "$arch"
    case "$arch" in amd64) target=x86_64-unknown-linux-gnu ;; arm64) target=aarch64-unknown-linux-gnu ;; esac
    BINARY=target/$target/release/cpc-stream packaging/build-tarball.sh "$target"
done
lintian --fail-on error --tag-display-limit 0 target/debian/*.deb
for deb in target/debian/cpc-stream*.deb; do
    packaging/test-deb.sh "$deb"
    packaging/build-image.sh "$deb"
done
packaging/test-deb-booted.sh target/debian/cpc-stream_*_amd64.deb
for tarball in target/tarball/*.tar.gz; do packaging/test-tarball.sh "$tarball"; done
for image in target/image/*.tar; do packaging/test-image.sh "$image"; done
programs=target/x86_64-unknown-linux-gnu/release
packaging/test-kernels-arm64.sh
packaging/test-addon.sh "$programs/cpc-stream"
packaging/test-ansible.sh "$programs/cpc-stream"
CPC_STREAM="$PWD/$programs/cpc-stream" CPC_LAB="$PWD/$programs/cpc-lab" python/test.sh
addon=target/home-assistant/cpc-stream
rm -rf target/home-assistant
mkdir -p target/home-assistant
cp -r packaging/home-assistant/. target/home-assistant/
mkdir "$addon/deb"
cp target/debian/cpc-stream*.deb "$addon/deb/"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C target/home-assistant -czf "$out/home-assistant-add-on.tar.gz" .
cp target/debian/*.deb target/image/*.tar target/tarball/*.tar.gz "$out/"
(cd "$out" && sha256sum -- * > SHA256SUMS && cat SHA256SUMS)
