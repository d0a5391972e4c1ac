#!/bin/sh
# Has a program write its manual pages and completions into FOLDER. One for 64-bit ARM runs under qemu-user-static elsewhere, and needs libc6:arm64,
# libgcc-s1:arm64 and libasound2:arm64 (libasound2-dev:arm64 brings them).
#
#   packaging/papers.sh PROGRAM FOLDER
set -eu
program=$1 papers=$2
case "$(readelf -h "$program" | sed -n 's/^ *Machine: *//p')-$(uname -m)" in
    AArch64-aarch64) run= ;;
    AArch64-*) run=qemu-aarch64-static ;;
    *) run= ;;
esac
rm -rf "$papers"
mkdir -p "$papers/man" "$papers/completions"
$run "$program" man --out "$papers/man"
# pages about the page of help
rm -f "$papers"/man/*-help*.1
for shell in bash zsh fish; do
    $run "$program" completions "$shell" > "$papers/completions/$shell"
done
