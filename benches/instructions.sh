#!/usr/bin/env bash
# Instructions of a hop, counted by callgrind: the same on a busy machine as on an idle one, and on processors with and
# without AVX-512, which callgrind does not show. Compares with benches/instructions.txt and fails where a hop takes over
# 3 % more; `--save` writes that file anew. Needs valgrind, a release build, and four minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${CPC_STREAM:-target/release/cpc-stream}
saved=benches/instructions.txt

count() { # ARCH STREAMS PRECISION HOPS
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$program" bench --arch "$1" --streams "$2" --precision "$3" --hops "$4" 2>&1 >/dev/null |
        sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'
}

found=$(mktemp)
trap 'rm -f "$found"' EXIT
for row in "spectral 1 f32" "spectral 8 f32" "edge 1 f32" "edge 8 int8"; do
    read -r arch streams precision <<<"$row"
    # two lengths: what the start costs falls out
    few=$(count "$arch" "$streams" "$precision" 20) many=$(count "$arch" "$streams" "$precision" 60)
    echo "$arch $streams $precision $(((many - few) / 40))" | tee -a "$found"
done
if [ "${1:-}" = --save ]; then
    cp "$found" "$saved"
    exit
fi
awk 'NR == FNR { was[$1, $2, $3] = $4; next }
     !(($1, $2, $3) in was) { next }
     $4 > 1.03 * was[$1, $2, $3] { printf "%s, %s streams, %s: %d instructions a hop, %d before\n", $1, $2, $3, $4, was[$1, $2, $3]; worse = 1 }
     END { exit worse }' "$saved" "$found"
