#!/bin/sh
# Builds the Debian package: target/debian/cpc-stream_*.deb, or cpc-stream-cuda_*.deb with `cuda` as the first argument.
# Needs cargo-deb (cargo install cargo-deb --locked). With BINARY=FILE a program that is there already is packed.
set -eu
cd "$(dirname "$0")/.."

variant=${1:-}
case "$variant" in
    "") features= ;;
    cuda) features="--features cuda" ;;
    *) echo "usage: packaging/build-deb.sh [cuda]" >&2; exit 2 ;;
esac

mkdir -p target/release
if [ -n "${BINARY:-}" ]; then
    [ "$BINARY" -ef target/release/cpc-stream ] || cp --remove-destination "$BINARY" target/release/cpc-stream
else
    # shellcheck disable=SC2086
    cargo build --release --locked $features
fi

papers=target/papers
rm -rf "$papers"
mkdir -p "$papers/man" "$papers/completions"
program=target/release/cpc-stream
"$program" man --out "$papers/man"
# pages about the page of help
rm -f "$papers"/man/*-help*.1
"$program" completions bash > "$papers/completions/cpc-stream"
"$program" completions zsh > "$papers/completions/_cpc-stream"
"$program" completions fish > "$papers/completions/cpc-stream.fish"

cargo deb --no-build --locked ${variant:+--variant "$variant"}
