#!/bin/sh
# Builds the Debian package of cpc-lab, which trains, imports and measures models: target/debian/cpc-lab_VERSION_ARCH.deb.
#
#   packaging/build-lab-deb.sh [amd64|arm64]
#
# Needs what build-deb.sh needs. With BINARY=FILE a program that is there already is packed; SOURCE_DATE_EPOCH dates the files.
set -eu
cd "$(dirname "$0")/.."
umask 022

arch=${1:-$(dpkg --print-architecture)}
case "$arch" in
    amd64) target=x86_64-unknown-linux-gnu multiarch=x86_64-linux-gnu ;;
    arm64) target=aarch64-unknown-linux-gnu multiarch=aarch64-linux-gnu ;;
    *) echo "there is no package for $arch: amd64 or arm64" >&2; exit 2 ;;
esac
if [ -n "${BINARY:-}" ]; then
    program=$BINARY
else
    . packaging/cross.sh
    cargo build --release --locked --target "$target" --features lab --bin cpc-lab
    program=target/$target/release/cpc-lab
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)-1
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
maintainer=$(sed -n 's/^Maintainer: //p' packaging/debian/control.in)
work=target/debian/cpc-lab-$arch
root=$work/root
doc=$root/usr/share/doc/cpc-lab
rm -rf "$work"
mkdir -p "$root/DEBIAN" "$doc/examples" "$work/debian"

install -D -m 755 "$program" "$root/usr/bin/cpc-lab"
strip=$multiarch-strip
command -v "$strip" > /dev/null || strip=strip
"$strip" --strip-unneeded "$root/usr/bin/cpc-lab"
packaging/papers.sh "$program" "$work/papers"
install -d "$root/usr/share/man/man1"
install -m 644 "$work"/papers/man/*.1 "$root/usr/share/man/man1/"
install -D -m 644 "$work/papers/completions/bash" "$root/usr/share/bash-completion/completions/cpc-lab"
install -D -m 644 "$work/papers/completions/zsh" "$root/usr/share/zsh/vendor-completions/_cpc-lab"
install -D -m 644 "$work/papers/completions/fish" "$root/usr/share/fish/vendor_completions.d/cpc-lab.fish"
install -m 644 config/train.toml "$doc/examples/"
install -m 644 models/ATTRIBUTION.md "$doc/MODEL-ATTRIBUTION.md"

packaging/third-party.sh "$doc" "$target" lab
sed 's/^$/./; s/^/ /' LICENSE-MIT > "$work/mit"
sed -e "/@MIT@/{r $work/mit
d}" packaging/debian/copyright > "$doc/copyright"
cp CHANGELOG.md "$doc/changelog"
{
    echo "cpc-lab ($version) unstable; urgency=medium"
    echo
    echo "  * What changes for users stands in changelog.gz beside this file."
    echo
    echo " -- $maintainer  $(date -R -u -d "@$epoch")"
} > "$doc/changelog.Debian"
gzip -n -9 "$doc/changelog" "$doc/changelog.Debian" "$root"/usr/share/man/man1/*.1
find "$doc" -type f -size +4k ! -name copyright ! -name '*.gz' ! -path '*/examples/*' -exec gzip -n -9 {} +

printf 'Source: cpc-stream\n\nPackage: cpc-lab\nArchitecture: %s\n' "$arch" > "$work/debian/control"
depends=$(cd "$work" && DEB_HOST_ARCH=$arch dpkg-shlibdeps -O --warnings=0 root/usr/bin/cpc-lab | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "dpkg-shlibdeps does not know what the program needs" >&2; exit 1; }
cat > "$root/DEBIAN/control" <<CONTROL
Package: cpc-lab
Source: cpc-stream
Version: $version
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -k -s --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
Depends: $depends
Suggests: cpc-stream
Section: sound
Priority: optional
Description: trains and measures the models of cpc-stream
 Trains models of sound by contrastive predictive coding, imports those of
 others, measures them beside baselines, and writes their features of
 recordings for other programs. The daemon cpc-stream does not need it.
CONTROL
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum > DEBIAN/md5sums)
find "$root" -newermt "@$epoch" -exec touch -h -d "@$epoch" {} +

out=target/debian/cpc-lab_${version}_$arch.deb
SOURCE_DATE_EPOCH=$epoch dpkg-deb --root-owner-group -Zxz --build "$root" "$out" > /dev/null
echo "$out: $(du -k "$out" | cut -f 1) KiB; depends: $depends"
