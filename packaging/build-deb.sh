#!/bin/sh
# Builds the Debian package: target/debian/cpc-stream_VERSION_ARCH.deb.
#
#   packaging/build-deb.sh                 for this machine
#   packaging/build-deb.sh arm64           for arm64: rustup target add aarch64-unknown-linux-gnu, dpkg --add-architecture arm64,
#                                          apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross libasound2-dev:arm64 qemu-user-static
#   packaging/build-deb.sh ARCH cuda       cpc-stream-cuda, with the GPU code: with nvcc of a CUDA toolkit on PATH. Made on amd64 it needs no library
#                                          of CUDA to start (cuda-stubs.py): where one is missing it says so, and the CPU does the work
#
# Needs dpkg-dev. With BINARY=FILE a program that is there already is packed; SOURCE_DATE_EPOCH dates the files.
set -eu
cd "$(dirname "$0")/.."
umask 022

arch=${1:-$(dpkg --print-architecture)}
variant=${2:-}
case "$arch" in
    amd64) target=x86_64-unknown-linux-gnu multiarch=x86_64-linux-gnu ;;
    arm64) target=aarch64-unknown-linux-gnu multiarch=aarch64-linux-gnu ;;
    *) echo "there is no package for $arch: amd64 or arm64" >&2; exit 2 ;;
esac
case "$variant" in
    "") package=cpc-stream features= relations= ;;
    cuda)
        package=cpc-stream-cuda features="--features cuda"
        relations="Provides: cpc-stream\nConflicts: cpc-stream\nReplaces: cpc-stream\n"
        ;;
    *) echo "usage: packaging/build-deb.sh [amd64|arm64] [cuda]" >&2; exit 2 ;;
esac

if [ -n "${BINARY:-}" ]; then
    program=$BINARY
else
    . packaging/cross.sh
    # shellcheck disable=SC2086
    cargo build --release --locked --target "$target" $features
    program=target/$target/release/cpc-stream
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)-1
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
work=target/debian/$package-$arch
root=$work/root
doc=$root/usr/share/doc/cpc-stream
rm -rf "$work"
mkdir -p "$root/DEBIAN" "$doc"

install -D -m 755 "$program" "$root/usr/bin/cpc-stream"
strip=$multiarch-strip
command -v "$strip" > /dev/null || strip=strip
"$strip" --strip-unneeded "$root/usr/bin/cpc-stream"
packaging/papers.sh "$program" "$work/papers"
install -d "$root/usr/share/man/man1"
install -m 644 "$work"/papers/man/*.1 "$root/usr/share/man/man1/"
install -D -m 644 "$work/papers/completions/bash" "$root/usr/share/bash-completion/completions/cpc-stream"
install -D -m 644 "$work/papers/completions/zsh" "$root/usr/share/zsh/vendor-completions/_cpc-stream"
install -D -m 644 "$work/papers/completions/fish" "$root/usr/share/fish/vendor_completions.d/cpc-stream.fish"
{
    cat packaging/debian/install
    [ -z "$variant" ] || echo "systemd/cpc-stream.service.d/gpu.conf usr/lib/systemd/system/cpc-stream.service.d/"
} | while read -r source destination mode; do
    case "$source" in "" | "#"*) continue ;; esac
    case "$destination" in */) destination=$destination$(basename "$source") ;; esac
    install -D -m "${mode:-644}" "$source" "$root/$destination"
done

packaging/third-party.sh "$doc" "$target" "$variant"
sed 's/^$/./; s/^/ /' LICENSE-MIT > "$work/mit"
sed -e "/@MIT@/{r $work/mit
d}" packaging/debian/copyright > "$doc/copyright"
cp CHANGELOG.md "$doc/changelog"
{
    echo "cpc-stream ($version) unstable; urgency=medium"
    echo
    echo "  * What changes for users stands in changelog.gz beside this file."
    echo
    echo " -- $(sed -n 's/^Maintainer: //p' packaging/debian/control.in)  $(date -R -u -d "@$epoch")"
} > "$doc/changelog.Debian"
# policy: these are compressed, and what is larger than a few blocks as well; pages stay as they are, since they link each other
gzip -n -9 "$doc/changelog" "$doc/changelog.Debian" "$root"/usr/share/man/man1/*.1
find "$doc" -type f -size +4k ! -name copyright ! -name '*.gz' ! -name README.md ! -path '*/examples/*' ! -path '*/docs/*' -exec gzip -n -9 {} +
if [ "$package" != cpc-stream ]; then
    # papers have the path that messages name; policy wants these two under the package's name too
    install -D -m 644 -t "$root/usr/share/doc/$package" "$doc/copyright" "$doc/changelog.Debian.gz"
fi

# what the program is linked with, as packages
mkdir -p "$work/debian"
printf 'Source: cpc-stream\n\nPackage: %s\nArchitecture: %s\n' "$package" "$arch" > "$work/debian/control"
depends=$(cd "$work" && DEB_HOST_ARCH=$arch dpkg-shlibdeps -O --warnings=0 root/usr/bin/cpc-stream | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "dpkg-shlibdeps does not know what the program needs" >&2; exit 1; }

for script in postinst prerm postrm; do
    install -m 755 "packaging/debian/$script" "$root/DEBIAN/$script"
done
echo /etc/cpc-stream/config.toml > "$root/DEBIAN/conffiles"
size=$(du -k -s --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
sed -e "s/@PACKAGE@/$package/; s/@VERSION@/$version/; s/@ARCHITECTURE@/$arch/; s/@SIZE@/$size/; s/@DEPENDS@/$depends/" \
    -e "s/@RELATIONS@/$relations/" packaging/debian/control.in > "$root/DEBIAN/control"
[ -z "$variant" ] || cat >> "$root/DEBIAN/control" << 'END'
 .
 This one has code for NVIDIA GPUs ([model] device = "cuda"). Where the driver
 or a library of CUDA is missing it says so, and the processor does the work.
END
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum > DEBIAN/md5sums)
find "$root" -newermt "@$epoch" -exec touch -h -d "@$epoch" {} +

out=target/debian/${package}_${version}_$arch.deb
SOURCE_DATE_EPOCH=$epoch dpkg-deb --root-owner-group -Zxz --build "$root" "$out" > /dev/null
echo "$out: $(du -k "$out" | cut -f 1) KiB; depends: $depends"
