#!/usr/bin/env bash
# Instructions of a hop, counted by callgrind: the same on a busy machine as on an idle one, and on processors with and
# without AVX-512, which callgrind does not show. The rows of an architecture are the model alone; `score` is a stream from a
# file to its events, detection and resampling included. Compares with benches/instructions.txt and fails where a hop takes
# over 3 % more; `--save` writes that file anew. Needs valgrind, Python, a release build, and eight minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${CPC_STREAM:-target/release/cpc-stream}
saved=benches/instructions.txt

count() { # ARCH STREAMS PRECISION HOPS
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$program" bench --arch "$1" --streams "$2" --precision "$3" --hops "$4" 2>&1 >/dev/null |
        sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'
}

scored() { # SECONDS
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$program" score --threads 1 --calibrate-seconds 30 --out "$folder/events.jsonl" "$folder/$1.wav" 2>&1 >/dev/null |
        sed -n 's/.*Collected : *\([0-9]*\).*/\1/p'
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
found=$folder/found
for row in "spectral 1 f32" "spectral 8 f32" "edge 1 f32" "edge 8 int8"; do
    read -r arch streams precision <<<"$row"
    # two lengths: what the start costs falls out
    few=$(count "$arch" "$streams" "$precision" 20) many=$(count "$arch" "$streams" "$precision" 60)
    echo "$arch $streams $precision $(((many - few) / 40))" | tee -a "$found"
done
python3 - "$folder" <<'NOISE'
import random, sys, wave
noise = random.Random(1).randbytes(2 * 48000 * 60)
for seconds in (40, 60):
    with wave.open(f"{sys.argv[1]}/{seconds}.wav", "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48000)
        quiet = bytearray(noise[: 2 * 48000 * seconds])
        # the upper byte within -8..7: some -30 dBFS
        quiet[1::2] = bytes(((b & 15) - 8) & 255 for b in quiet[1::2])
        out.writeframes(quiet)
NOISE
few=$(scored 40) many=$(scored 60)
echo "score 1 f32 $(((many - few) / 2000))" | tee -a "$found"
if [ "${1:-}" = --save ]; then
    cp "$found" "$saved"
    exit
fi
awk 'NR == FNR { was[$1, $2, $3] = $4; next }
     !(($1, $2, $3) in was) { next }
     $4 > 1.03 * was[$1, $2, $3] { printf "%s, %s streams, %s: %d instructions a hop, %d before\n", $1, $2, $3, $4, was[$1, $2, $3]; worse = 1 }
     END { exit worse }' "$saved" "$found"
