#!/bin/sh
# Builds a tarball for machines without a package of ours: target/tarball/cpc-stream-VERSION-TARGET.tar.gz and its .sha256.
#
#   packaging/build-tarball.sh [TARGET [cuda]]         with cuda cpc-stream-cuda-VERSION-TARGET.tar.gz: see build-deb.sh
#
# Everything that can be is linked in; glibc and libasound must be on the machine, whose plugins and configuration cannot come along. With
# BINARY=FILE a program that is there already is packed; SOURCE_DATE_EPOCH dates the files.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
target=${1:-$host}
variant=${2:-}
case "$variant" in
    "") package=cpc-stream ;;
    cuda) package=cpc-stream-cuda ;;
    *) echo "usage: packaging/build-tarball.sh [TARGET [cuda]]" >&2; exit 2 ;;
esac
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=$package-$version-$target
out=target/tarball
root=$out/$name
rm -rf "$root"
mkdir -p "$root/bin" "$root/man/man1" "$root/completions" "$root/config" "$root/systemd" "$root/udev" "$root/docs" "$root/licences"

if [ -n "${BINARY:-}" ]; then
    cp "$BINARY" "$root/bin/cpc-stream"
else
    . packaging/cross.sh
    # shellcheck disable=SC2086
    cargo build --release --locked --target "$target" ${variant:+--features $variant}
    cp "target/$target/release/cpc-stream" "$root/bin/cpc-stream"
fi
chmod 755 "$root/bin/cpc-stream"
program=$root/bin/cpc-stream

packaging/papers.sh "$program" "$out/papers"
cp "$out"/papers/man/*.1 "$root/man/man1/"
cp "$out/papers/completions/bash" "$root/completions/cpc-stream.bash"
cp "$out/papers/completions/zsh" "$root/completions/_cpc-stream"
cp "$out/papers/completions/fish" "$root/completions/cpc-stream.fish"
cp config/minimal.toml config/default.toml config/raspberry-pi.toml config/jetson.toml config/mic-array.toml config/archive.toml config/cluster-worker.toml config/nats-server.conf config/nats-cluster.conf config/nats-leaf.conf "$root/config/"
# what is not from a package lies below /usr/local
sed 's|/usr/bin/cpc-stream|/usr/local/bin/cpc-stream|' systemd/cpc-stream.service > "$root/systemd/cpc-stream.service"
[ -z "$variant" ] || install -D -m 644 -t "$root/systemd/cpc-stream.service.d" systemd/cpc-stream.service.d/gpu.conf
cp packaging/udev/60-cpc-stream.rules "$root/udev/"
cp README.md SECURITY.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$root/"
cp config/grafana.json config/prometheus-alerts.yaml config/home-assistant-blueprint.yaml "$root/config/"
cp docs/*.md docs/*.yaml docs/*.png docs/*.svg docs/kitchen.py docs/rebuild.py docs/onnx_check.py "$root/docs/"
cp models/ATTRIBUTION.md "$root/licences/MODEL-ATTRIBUTION.md"

packaging/third-party.sh "$root/licences" "$target" "$variant"
list=$root/licences/THIRD-PARTY.txt

# What the machine must have.
shared=$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' ')
glibc=$(grep -ao 'GLIBC_2\.[0-9]*' "$program" | sort -uV | tail -n 1 | tr _ ' ')
needs="$glibc or later and, of libraries, ${shared% }"
if [ -n "$variant" ]; then
    gpu="
    sudo install -D -m 644 -t /etc/systemd/system/cpc-stream.service.d systemd/cpc-stream.service.d/gpu.conf"
    gpu_needs="
For the GPU: NVIDIA's driver and cuBLAS and cuRAND of CUDA; without them the CPU does the work, and a warning says what is missing."
    no_gpu="
    sudo rm -rf /etc/systemd/system/cpc-stream.service.d"
else
    gpu="" gpu_needs="" no_gpu=""
fi
cat > "$root/INSTALL" << END
cpc-stream $version for $target

It needs $needs.
For TLS to a broker: the authorities of the machine (ca-certificates), or ca_file in its configuration.$gpu_needs

Install, in this folder:

    sudo apt-get install -y libasound2          # elsewhere: alsa-lib
    sudo install -D -m 755 bin/cpc-stream /usr/local/bin/cpc-stream
    sudo install -D -m 644 -t /usr/local/share/man/man1 man/man1/*.1
    sudo install -D -m 644 completions/cpc-stream.bash /usr/local/share/bash-completion/completions/cpc-stream
    sudo install -D -m 644 -t /usr/local/share/zsh/site-functions completions/_cpc-stream
    sudo install -D -m 644 -t /usr/local/share/fish/vendor_completions.d completions/cpc-stream.fish
    sudo install -D -m 644 config/minimal.toml /etc/cpc-stream/config.toml
    sudo install -D -m 644 systemd/cpc-stream.service /etc/systemd/system/cpc-stream.service$gpu

Set the microphone and the broker in /etc/cpc-stream/config.toml; config/ has examples, config/default.toml says what each key
does, udev/ has an example of names for microphones. Nothing listens before the last line:

    cpc-stream check --config /etc/cpc-stream/config.toml
    sudo systemctl daemon-reload
    sudo systemctl enable --now cpc-stream

Without installing anything: bin/cpc-stream demo

Remove:

    sudo systemctl disable --now cpc-stream
    sudo rm -f /etc/systemd/system/cpc-stream.service /usr/local/bin/cpc-stream /usr/local/share/man/man1/cpc-stream*.1
    sudo rm -f /usr/local/share/bash-completion/completions/cpc-stream /usr/local/share/zsh/site-functions/_cpc-stream
    sudo rm -f /usr/local/share/fish/vendor_completions.d/cpc-stream.fish$no_gpu
    sudo rm -rf /etc/cpc-stream /var/lib/cpc-stream /var/lib/private/cpc-stream
END
(cd "$root" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs sha256sum > SHA256SUMS)

tar -C "$out" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-$(date +%s)}" -cf - "$name" |
    gzip -n -9 > "$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
echo "$out/$name.tar.gz: $(du -k "$out/$name.tar.gz" | cut -f 1) KiB, $(grep -c ' | ' "$list") crates; needs $needs"
