#!/bin/sh
# Builds an OCI image from a package of ours and Debian's libraries, without a container engine: target/image/cpc-stream-VERSION-ARCH.tar.
#
#   packaging/build-image.sh target/debian/cpc-stream_VERSION_ARCH.deb
#
# As root, with mmdebstrap (MIRROR=URL for another mirror than its own, SUITE=bookworm). Nothing of another processor is run, so that an image for
# arm64 is made on amd64 too. It holds the program, what that is linked with, and certificates; no shell. podman load -i FILE, skopeo copy
# oci-archive:FILE …, and Docker from 25 on take it.
set -eu
deb=$(realpath "${1:?usage: packaging/build-image.sh FILE.deb}")
cd "$(dirname "$0")/.."
arch=$(dpkg-deb -f "$deb" Architecture)
version=$(dpkg-deb -f "$deb" Version)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
name=cpc-stream-$version-$arch
work=target/image/$name
root=$work/root
rm -rf "$work"
mkdir -p "$work/layout/blobs/sha256"

# the names of the libraries that the package depends on, without versions
depends=$(dpkg-deb -f "$deb" Depends | sed 's/([^)]*)//g; s/|[^,]*//g; s/ //g')
mmdebstrap --quiet --mode=root --variant=extract --architectures="$arch" --include="base-files,tzdata,ca-certificates,$depends" \
    "${SUITE:-bookworm}" "$root" ${MIRROR:+"$MIRROR"}
dpkg-deb -x "$deb" "$root"
# what the scripts of ca-certificates and base-passwd would do
cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/root:/usr/sbin/nologin\ncpc-stream:x:990:29:cpc-stream:/var/lib/cpc-stream:/usr/sbin/nologin\n' > "$root/etc/passwd"
printf 'root:x:0:\naudio:x:29:cpc-stream\n' > "$root/etc/group"
# of what came along only libraries, the program and its papers are wanted
for part in bin sbin boot media mnt opt srv home usr/sbin usr/games usr/share/man usr/share/locale usr/share/bash-completion \
    usr/share/zsh usr/share/fish usr/share/info usr/share/lintian var/lib/apt var/lib/dpkg var/cache var/log etc/apt usr/lib/systemd; do
    rm -rf "${root:?}/$part"
done
find "$root/usr/bin" ! -name cpc-stream ! -type d -delete
find "$root/usr/share/doc" -mindepth 2 -type f ! -name copyright ! -path '*/cpc-stream/*' -delete
find "$root/usr/share/doc" -type d -empty -delete
install -d -o 990 -g 29 -m 700 "$root/var/lib/cpc-stream"
install -d -m 1777 "$root/tmp"

put() { # FILE: into the layout; prints digest and size
    sum=$(sha256sum "$1" | cut -d ' ' -f 1)
    size=$(stat -c %s "$1")
    mv "$1" "$work/layout/blobs/sha256/$sum"
    echo "sha256:$sum $size"
}
pack() { tar --sort=name --numeric-owner --mtime="@$epoch" --clamp-mtime -C "$1" -cf - .; }

pack "$root" > "$work/layer.tar"
diff=sha256:$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
gzip -n -9 "$work/layer.tar"
layer=$(put "$work/layer.tar.gz")
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
cat > "$work/config" << END
{"created": "$created", "architecture": "$arch", "os": "linux",
 "config": {"User": "990:29", "Env": ["PATH=/usr/bin", "STATE_DIRECTORY=/var/lib/cpc-stream"], "Entrypoint": ["/usr/bin/cpc-stream"],
  "Cmd": ["run", "--config", "/etc/cpc-stream/config.toml"], "Volumes": {"/var/lib/cpc-stream": {}}, "WorkingDir": "/var/lib/cpc-stream", "StopSignal": "SIGTERM",
  "Labels": {"org.opencontainers.image.title": "cpc-stream", "org.opencontainers.image.version": "$version",
   "org.opencontainers.image.licenses": "Apache-2.0 OR MIT"}},
 "rootfs": {"type": "layers", "diff_ids": ["$diff"]}, "history": [{"created": "$created", "created_by": "packaging/build-image.sh"}]}
END
config=$(put "$work/config")
descriptor() { printf '{"mediaType": "%s", "digest": "%s", "size": %s%s}' "$1" "${2% *}" "${2#* }" "${3:-}"; }
cat > "$work/manifest" << END
{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
 "config": $(descriptor application/vnd.oci.image.config.v1+json "$config"),
 "layers": [$(descriptor application/vnd.oci.image.layer.v1.tar+gzip "$layer")]}
END
manifest=$(put "$work/manifest")
platform=", \"platform\": {\"architecture\": \"$arch\", \"os\": \"linux\"}, \"annotations\": {\"org.opencontainers.image.ref.name\": \"cpc-stream:$version\"}"
echo "{\"schemaVersion\": 2, \"mediaType\": \"application/vnd.oci.image.index.v1+json\", \"manifests\": [$(descriptor application/vnd.oci.image.manifest.v1+json "$manifest" "$platform")]}" > "$work/layout/index.json"
echo '{"imageLayoutVersion": "1.0.0"}' > "$work/layout/oci-layout"
pack "$work/layout" > "target/image/$name.tar"
echo "target/image/$name.tar: $(du -k "target/image/$name.tar" | cut -f 1) KiB, $(du -m -s "$root" | cut -f 1) MiB unpacked"
