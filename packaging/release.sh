#!/bin/sh
# Builds what a release holds, in target/release-files: Debian packages, tarballs and images for amd64 and arm64, the add-on, and SHA256SUMS.
#
#   packaging/release.sh
#
# As root (for images), on Debian 12 on amd64, with what build-deb.sh arm64 and build-image.sh need, and lintian.
set -eu
cd "$(dirname "$0")/.."
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
out=target/release-files
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
    packaging/build-image.sh "$deb"
done
for image in target/image/*.tar; do packaging/test-image.sh "$image"; done
packaging/test-addon.sh target/x86_64-unknown-linux-gnu/release/cpc-stream
addon=target/home-assistant/cpc-stream
rm -rf target/home-assistant
mkdir -p target/home-assistant
cp -r packaging/home-assistant/. target/home-assistant/
mkdir "$addon/deb"
cp target/debian/cpc-stream*.deb "$addon/deb/"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C target/home-assistant -czf "$out/home-assistant-add-on.tar.gz" .
cp target/debian/*.deb target/image/*.tar target/tarball/*.tar.gz "$out/"
(cd "$out" && sha256sum -- * > SHA256SUMS && cat SHA256SUMS)
