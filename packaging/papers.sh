#!/bin/sh
# Has a program write its manual pages and completions into FOLDER; one for another processor runs under qemu-user-static.
#
#   packaging/papers.sh PROGRAM FOLDER
set -eu
program=$1 papers=$2
rm -rf "$papers"
mkdir -p "$papers/man" "$papers/completions"
"$program" man --out "$papers/man"
# pages about the page of help
rm -f "$papers"/man/*-help*.1
for shell in bash zsh fish; do
    "$program" completions "$shell" > "$papers/completions/$shell"
done
