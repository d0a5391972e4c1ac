#!/bin/sh
# Builds a tarball for machines without a package of ours: target/tarball/cpc-stream-VERSION-TARGET.tar.gz and its .sha256.
#
# Everything that can be is linked in; glibc and libasound must be on the machine, whose plugins and configuration cannot come along. With
# BINARY=FILE a program that is there already is packed; SOURCE_DATE_EPOCH dates the files.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
target=${1:-$host}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=cpc-stream-$version-$target
out=target/tarball
root=$out/$name
rm -rf "$root"
mkdir -p "$root/bin" "$root/man/man1" "$root/completions" "$root/config" "$root/systemd" "$root/udev" "$root/docs" "$root/licences"

if [ -n "${BINARY:-}" ]; then
    cp "$BINARY" "$root/bin/cpc-stream"
else
    cargo build --release --locked --target "$target"
    cp "target/$target/release/cpc-stream" "$root/bin/cpc-stream"
fi
chmod 755 "$root/bin/cpc-stream"
program=$root/bin/cpc-stream

"$program" man --out "$root/man/man1"
# pages about the page of help
rm -f "$root"/man/man1/*-help*.1
"$program" completions bash > "$root/completions/cpc-stream.bash"
"$program" completions zsh > "$root/completions/_cpc-stream"
"$program" completions fish > "$root/completions/cpc-stream.fish"
cp config/minimal.toml config/default.toml config/raspberry-pi.toml config/jetson.toml config/mic-array.toml config/archive.toml config/cluster-worker.toml config/nats-server.conf config/pool-worker.toml "$root/config/"
# what is not from a package lies below /usr/local
sed 's|/usr/bin/cpc-stream|/usr/local/bin/cpc-stream|' systemd/cpc-stream.service > "$root/systemd/cpc-stream.service"
cp packaging/udev/60-cpc-stream.rules "$root/udev/"
cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$root/"
cp docs/asyncapi.yaml docs/asyncapi-pool.yaml docs/fleet.md "$root/docs/"
cp models/ATTRIBUTION.md "$root/licences/MODEL-ATTRIBUTION.md"

# Licences of the crates in the program, as cargo knows them, and the texts that came with them, each once.
list=$root/licences/THIRD-PARTY.txt
{
    echo "Crates in this program, their licences (SPDX), and the files of texts/ that came with them."
    echo
} > "$list"
mkdir -p "$root/licences/texts"
cargo fetch --locked --target "$target" > /dev/null 2>&1 || true
cargo tree --locked --target "$target" --edges normal --prefix none --format '{p}|{l}' |
    sed 's/ (\*)$//; s/ (proc-macro)//' | sort -u | while IFS='|' read -r crate licence; do
    crate=${crate%% (*}
    case "$crate" in "cpc-stream v"*) continue ;; esac
    texts=
    for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"${crate%% v*}-${crate##* v}"; do
        for text in "$folder"/LICEN[CS]E* "$folder"/COPYING* "$folder"/COPYRIGHT* "$folder"/NOTICE* "$folder"/UNLICENSE*; do
            [ -f "$text" ] || continue
            sum=$(sha256sum "$text" | cut -c 1-12)
            cp -n "$text" "$root/licences/texts/$sum.txt" 2> /dev/null || true
            texts="$texts $sum"
        done
    done
    printf '%s | %s |%s\n' "$crate" "$licence" "${texts:- no text in the crate}" >> "$list"
done

# What the machine must have.
shared=$(ldd "$program" 2>&1 | sed -n 's/^[[:space:]]*\([^ ]*\.so[^ ]*\) .*/\1/p' | grep -v vdso | tr '\n' ' ' || true)
glibc=$(grep -ao 'GLIBC_2\.[0-9]*' "$program" | sort -uV | tail -n 1 | tr _ ' ')
needs="$glibc or later and, of libraries, ${shared% }"
cat > "$root/INSTALL" << END
cpc-stream $version for $target

It needs $needs.
For TLS to a broker: the authorities of the machine (ca-certificates), or ca_file in its configuration.

Install, in this folder:

    sudo apt-get install -y libasound2          # elsewhere: alsa-lib
    sudo install -D -m 755 bin/cpc-stream /usr/local/bin/cpc-stream
    sudo install -D -m 644 -t /usr/local/share/man/man1 man/man1/*.1
    sudo install -D -m 644 completions/cpc-stream.bash /usr/local/share/bash-completion/completions/cpc-stream
    sudo install -D -m 644 -t /usr/local/share/zsh/site-functions completions/_cpc-stream
    sudo install -D -m 644 -t /usr/local/share/fish/vendor_completions.d completions/cpc-stream.fish
    sudo install -D -m 644 config/minimal.toml /etc/cpc-stream/config.toml
    sudo install -D -m 644 systemd/cpc-stream.service /etc/systemd/system/cpc-stream.service

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
    sudo rm -f /usr/local/share/fish/vendor_completions.d/cpc-stream.fish
    sudo rm -rf /etc/cpc-stream /var/lib/cpc-stream /var/lib/private/cpc-stream
END
(cd "$root" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs sha256sum > SHA256SUMS)

tar -C "$out" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-$(date +%s)}" -cf - "$name" |
    gzip -n -9 > "$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
echo "$out/$name.tar.gz: $(du -k "$out/$name.tar.gz" | cut -f 1) KiB, $(grep -c ' | ' "$list") crates; needs $needs"
