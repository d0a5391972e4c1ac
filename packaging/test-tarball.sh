#!/bin/sh
# Follows the INSTALL text of a tarball in a fresh Debian root, runs the program, and removes it again.
#
#   packaging/test-tarball.sh target/tarball/cpc-stream-*.tar.gz
#
# As root, with mmdebstrap or debootstrap; MIRROR, SUITE and ROOT as in test-deb.sh. At the end stands what could not be tested.
set -eu

tarball=${1:?usage: packaging/test-tarball.sh FILE.tar.gz}
case "$tarball" in *-aarch64-*) architecture=arm64 ;; esac
. "$(dirname "$0")/debian-root.sh"

say "the sums"
if [ -e "$tarball.sha256" ]; then
    (cd "$(dirname "$tarball")" && sha256sum -c --quiet "$(basename "$tarball").sha256") || fail "the sum of the tarball"
else
    skip "the sum of the tarball: there is no $tarball.sha256"
fi
# what another test left in a root that was there already
rm -rf "$root/tmp/state" "$root/tmp/unpacked"
mkdir -p "$root/tmp/unpacked"
tar -xzf "$tarball" -C "$root/tmp/unpacked" --strip-components=1
in_root sh -c 'cd /tmp/unpacked && sha256sum -c --quiet SHA256SUMS' || fail "the sums in the tarball"

say "what is in it"
for file in bin/cpc-stream man/man1/cpc-stream.1 completions/_cpc-stream config/default.toml systemd/cpc-stream.service \
    udev/60-cpc-stream.rules LICENSE-MIT LICENSE-APACHE licences/THIRD-PARTY.txt licences/MODEL-ATTRIBUTION.md INSTALL README.md; do
    [ -s "$root/tmp/unpacked/$file" ] || fail "$file is missing"
done
grep -q '^serde v.* | MIT OR Apache-2.0 | [0-9a-f]' "$root/tmp/unpacked/licences/THIRD-PARTY.txt" || fail "the licences say nothing of serde"
! grep ' |  |' "$root/tmp/unpacked/licences/THIRD-PARTY.txt" || fail "a crate without a licence"
sed -n 's/^It needs/needs/p' "$root/tmp/unpacked/INSTALL"

# The commands of the text, line by line; those of systemd need a booted machine.
follow() {
    sed -n "/^$1/,/^$2/s/^    //p" "$root/tmp/unpacked/INSTALL" | sed 's/^sudo //; /^systemctl/d; /^bin\/cpc-stream demo/d' > "$root/tmp/steps"
    [ -s "$root/tmp/steps" ] || fail "INSTALL says nothing of: $1"
    in_root sh -exc 'cd /tmp/unpacked && . /tmp/steps' > "$root/tmp/steps.log" 2>&1 || { cat "$root/tmp/steps.log"; fail "$1"; }
}

say "install, as the text says"
in_root apt-get update -qq
follow "Install, in this folder" "Set the microphone"
in_root ldd /usr/local/bin/cpc-stream || true

say "run"
in_root cpc-stream --version
in_root cpc-stream check --config /etc/cpc-stream/config.toml || fail "check"
for example in "$root"/tmp/unpacked/config/*.toml; do
    name=${example#"$root"}
    [ "$(basename "$name")" != default.toml ] || continue # it names no source
    in_root CPC_STREAM_MODEL__DEVICE=cpu cpc-stream check --config "$name" > /dev/null || fail "cpc-stream check $name"
done
in_root cpc-stream doctor --input - > "$root/tmp/doctor.out" || { cat "$root/tmp/doctor.out"; fail "doctor"; }
in_root cpc-stream completions bash | in_root sh -c 'cmp - /usr/local/share/bash-completion/completions/cpc-stream' || fail "completions"
status=0
# two minutes of noise from a pipe, without a broker: it starts, learns, and ends with the input
head -c 3840000 /dev/urandom | in_root cpc-stream --input - --calibrate-seconds 20 --state-dir /tmp/state \
    > "$root/tmp/run.out" 2> "$root/tmp/run.log" || status=$?
[ "$status" = 0 ] || { cat "$root/tmp/run.log"; fail "a run from a pipe ended with $status"; }
grep -q "calibrated" "$root/tmp/run.log" || fail "the run learnt nothing"
if [ -x "$root/usr/bin/systemd-analyze" ]; then
    in_root systemd-analyze verify --man=no /etc/systemd/system/cpc-stream.service
else
    skip "the unit was not verified: the root holds no systemd (tests/program/unit_file.rs does it for the same unit)"
fi
skip "the unit was not started: that needs a booted systemd"
[ -e /dev/snd ] || skip "no microphone was heard: there is no /dev/snd"

say "remove, as the text says"
follow "Remove:" "THE END"
left=$(find "$root/usr/local" "$root/etc" "$root/var/lib" -name '*cpc-stream*')
[ -z "$left" ] || fail "left: $left"

say "passed"
[ -z "$not_done" ] || echo "Not tested here:$not_done"
