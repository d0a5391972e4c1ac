#!/bin/sh
# Installs a package in a fresh Debian root, looks at what it put there, runs the program, removes and purges the package.
#
#   packaging/test-deb.sh target/debian/cpc-stream_*.deb
#
# As root, with mmdebstrap or debootstrap (MIRROR=URL for another mirror than theirs, SUITE=bookworm). ROOT=DIR takes a Debian root that
# is there already, and changes it. A package for another processor is tested under qemu-user-static. At the end stands what could not be
# tested; test-deb-booted.sh boots a machine.
set -eu

deb=${1:?usage: packaging/test-deb.sh FILE.deb}
architecture=$(dpkg-deb -f "$deb" Architecture)
. "$(dirname "$0")/debian-root.sh"
package=$(dpkg-deb -f "$deb" Package)

say "$package $(dpkg-deb -f "$deb" Version), $(dpkg-deb -f "$deb" Architecture); depends: $(dpkg-deb -f "$deb" Depends)"

say "install"
# what another test left in a root that was there already
rm -rf "$root/tmp/state" "$root/tmp/first-state" "$root/tmp/newer"
cp "$deb" "$root/tmp/package.deb"
in_root apt-get update -qq
in_root apt-get install -y -qq --no-install-recommends /tmp/package.deb > "$root/tmp/apt.log" 2>&1 ||
    { cat "$root/tmp/apt.log"; fail "apt-get install"; }
grep -q "systemctl enable --now cpc-stream" "$root/tmp/apt.log" || fail "the installation does not say how to go on"

say "what is there"
for file in usr/bin/cpc-stream etc/cpc-stream/config.toml usr/lib/systemd/system/cpc-stream.service \
    usr/share/man/man1/cpc-stream.1.gz usr/share/bash-completion/completions/cpc-stream \
    usr/share/zsh/vendor-completions/_cpc-stream usr/share/fish/vendor_completions.d/cpc-stream.fish \
    usr/share/doc/cpc-stream/examples/default.toml usr/share/doc/cpc-stream/examples/60-cpc-stream.rules; do
    [ -s "$root/$file" ] || [ -s "$root/${file%.gz}" ] || fail "/$file is missing"
done
in_root dpkg-query -W -f='${Conffiles}\n' "$package" | grep -q /etc/cpc-stream/config.toml || fail "the configuration is no conffile"
if [ -e "$root/etc/systemd/system/multi-user.target.wants/cpc-stream.service" ]; then
    fail "the service is enabled, and nobody asked for that"
fi

say "run"
in_root cpc-stream --version
in_root cpc-stream check --config /etc/cpc-stream/config.toml
for example in "$root"/usr/share/doc/cpc-stream/examples/*.toml*; do
    name=${example#"$root"}
    case "$name" in
        */default.toml) continue ;; # it names no source
        *.gz) gzip -dk "$example"; name=${name%.gz} ;;
    esac
    # the program without GPU code refuses the device of jetson.toml, and nothing else in it
    in_root CPC_STREAM_MODEL__DEVICE=cpu cpc-stream check --config "$name" > /dev/null || fail "cpc-stream check $name"
done
status=0
# two minutes of noise from a pipe, without a broker: it starts, learns, and ends with the input
head -c 3840000 /dev/urandom | in_root cpc-stream --input - --calibrate-seconds 20 --state-dir /tmp/state \
    > "$root/tmp/run.out" 2> "$root/tmp/run.log" || status=$?
[ "$status" = 0 ] || { cat "$root/tmp/run.log"; fail "a run from a pipe ended with $status"; }
grep -q "calibrated" "$root/tmp/run.log" || fail "the run learnt nothing"

if [ "$package" = cpc-stream-cuda ]; then
    say "the GPU is asked for"
    in_root cpc-stream check --config /usr/share/doc/cpc-stream/examples/jetson.toml
    head -c 320000 /dev/urandom | in_root CPC_STREAM_MODEL__DEVICE=cuda cpc-stream --input - --state-dir /tmp/state > /dev/null 2> "$root/tmp/gpu.log" ||
        { cat "$root/tmp/gpu.log"; fail "a run on the GPU"; }
    if [ -e /dev/nvidia0 ]; then
        ! grep "the model runs on the CPU" "$root/tmp/gpu.log" || fail "the GPU is here and was not used"
    else
        grep "GPU 0 cannot be opened.*the model runs on the CPU; install NVIDIA's driver" "$root/tmp/gpu.log" || fail "it does not say what is missing"
    fi
fi

say "the first event: one line of the configuration is edited, all else is as installed"
if command -v python3 > /dev/null; then
    python3 - "$root/tmp/room.wav" << 'EOF'
import array, math, random, sys, wave
random.seed(1)
with wave.open(sys.argv[1], "wb") as out:
    out.setparams((1, 2, 16000, 0, "NONE", ""))
    for second in range(150):
        whistle = 6000 if second >= 70 and second % 40 in (30, 31) else 0
        out.writeframes(array.array("h", (int(random.gauss(0, 300) + whistle * math.sin(at * 0.6)) for at in range(16000))))
EOF
    sed 's|^device = .*|file = "/tmp/room.wav"|' "$root/etc/cpc-stream/config.toml" > "$root/tmp/first.toml"
    [ "$(diff "$root/etc/cpc-stream/config.toml" "$root/tmp/first.toml" | grep -c '^>')" = 1 ] || fail "more than a line was edited"
    # there is no broker in the root, so that the event waits in the outbox; an emulated processor is slower than the sound
    seconds=85 pace=
    [ "$architecture" = "$own" ] || seconds=300 pace=--fast
    # shellcheck disable=SC2086
    in_root timeout $seconds cpc-stream $pace --config /tmp/first.toml --state-dir /tmp/first-state > /dev/null 2> "$root/tmp/first.log" || true
    grep -v "broker is away" "$root/tmp/first.log"
    grep -q "events accepted [1-9]" "$root/tmp/first.log" || fail "no event within $seconds s of the start"
else
    skip "the first event: there is no python3 to make the sound"
fi

if [ -x "$root/usr/bin/systemd-analyze" ]; then
    in_root systemd-analyze verify --man=no /usr/lib/systemd/system/cpc-stream.service
else
    skip "the unit was not verified: the root holds no systemd (tests/program/unit_file.rs does it)"
fi
skip "the unit was not started: test-deb-booted.sh does it"
[ -e /dev/snd ] || skip "no microphone was heard: there is no /dev/snd"
[ "$package" != cpc-stream-cuda ] || [ -e /dev/nvidia0 ] || skip "the GPU was not used: there is no /dev/nvidia0"

say "an upgrade keeps configuration and state"
echo "# mine" >> "$root/etc/cpc-stream/config.toml"
mkdir -p "$root/var/lib/private/cpc-stream"
echo kept > "$root/var/lib/private/cpc-stream/outbox.redb"
dpkg-deb -R "$root/tmp/package.deb" "$root/tmp/newer"
sed -i 's/^Version: .*/&.1/' "$root/tmp/newer/DEBIAN/control"
dpkg-deb --root-owner-group -Zgzip -b "$root/tmp/newer" "$root/tmp/newer.deb" > /dev/null
in_root apt-get install -y -qq --no-install-recommends /tmp/newer.deb > "$root/tmp/apt.log" 2>&1 || { cat "$root/tmp/apt.log"; fail "the upgrade"; }
in_root dpkg-query -W -f='${Version}\n' "$package" | grep -q '\.1$' || fail "it was not upgraded"
grep -q "# mine" "$root/etc/cpc-stream/config.toml" || fail "the upgrade took the configuration"
[ "$(cat "$root/var/lib/private/cpc-stream/outbox.redb")" = kept ] || fail "the upgrade took the state"

say "a changed configuration survives removal"
in_root apt-get remove -y -qq "$package" > /dev/null 2>&1 || fail "apt-get remove"
[ ! -e "$root/usr/bin/cpc-stream" ] || fail "the program is still there"
grep -q "# mine" "$root/etc/cpc-stream/config.toml" || fail "the configuration is gone"
[ -e "$root/var/lib/private/cpc-stream/outbox.redb" ] || fail "the removal took the state"

say "purge"
in_root apt-get purge -y -qq "$package" > /dev/null 2>&1 || fail "apt-get purge"
for left in etc/cpc-stream/config.toml var/lib/private/cpc-stream usr/lib/systemd/system/cpc-stream.service; do
    [ ! -e "$root/$left" ] || fail "/$left is left"
done

say "passed"
[ -z "$not_done" ] || echo "Not tested here:$not_done"
