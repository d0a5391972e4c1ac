#!/bin/sh
# Writes FOLDER/THIRD-PARTY.txt, the crates in the program for TARGET with their licences, and FOLDER/texts/, the files that came with them.
#
#   packaging/third-party.sh FOLDER TARGET [FEATURES]
set -eu
cd "$(dirname "$0")/.."
folder=$1 target=$2 features=${3:-}
list=$folder/THIRD-PARTY.txt
{
    echo "Crates in this program, their licences (SPDX), and the files of texts/ that came with them."
    echo
} > "$list"
mkdir -p "$folder/texts"
cargo fetch --locked --target "$target" > /dev/null 2>&1 || true
cargo tree --locked --target "$target" ${features:+--features "$features"} --edges normal --prefix none --format '{p}|{l}' |
    sed 's/ (\*)$//; s/ (proc-macro)//' | sort -u | while IFS='|' read -r crate licence; do
    crate=${crate%% (*}
    case "$crate" in "cpc-stream v"*) continue ;; esac
    texts=
    for source in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"${crate%% v*}-${crate##* v}"; do
        for text in "$source"/LICEN[CS]E* "$source"/COPYING* "$source"/COPYRIGHT* "$source"/NOTICE* "$source"/UNLICENSE*; do
            [ -f "$text" ] || continue
            sum=$(sha256sum "$text" | cut -c 1-12)
            [ -e "$folder/texts/$sum.txt" ] || install -m 644 "$text" "$folder/texts/$sum.txt"
            texts="$texts $sum"
        done
    done
    printf '%s | %s |%s\n' "$crate" "$licence" "${texts:- no text in the crate}" >> "$list"
done
