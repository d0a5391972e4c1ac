#!/bin/sh
# Boots a fresh Debian with systemd in a virtual machine, installs a package there, and looks at the service: that it starts unprivileged
# and hears a card of the kernel (snd-aloop), tells a broker so, takes a new configuration, comes back after kill -9, a hang and a reboot,
# stops, and is purged.
#
#   packaging/test-deb-booted.sh target/debian/cpc-stream_*.deb
#
# As root, with qemu-system-x86, cpio, e2fsprogs and mmdebstrap or debootstrap (MIRROR and SUITE as in test-deb.sh). The machine is
# emulated, and its clock counts its instructions: it is in time however slow or busy the one below it is. Nothing is installed on that one,
# and nothing is left.
set -eu

deb=${1:?usage: packaging/test-deb-booted.sh FILE.deb}
began=$(date +%s)
unset ROOT
include=systemd-sysv,udev,dbus,kmod,alsa-utils,mosquitto,mosquitto-clients,busybox-static
# shellcheck source=packaging/debian-root.sh
. "$(dirname "$0")/debian-root.sh"
work=$(mktemp -d)
trap 'rm -rf "$root" "$work"' EXIT
for tool in qemu-system-x86_64 cpio mke2fs; do
    command -v "$tool" > /dev/null || fail "$tool is not here: apt-get install qemu-system-x86 cpio e2fsprogs"
done

say "a kernel of Debian, and the modules that find the disk"
in_root apt-get update -qq
kernel=$(in_root apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
in_root sh -c "cd /tmp && apt-get download -qq $kernel 2> /dev/null && dpkg-deb -x $kernel*.deb kernel" || fail "no kernel $kernel"
mv "$root"/tmp/kernel/boot/vmlinuz-* "$work/vmlinuz"
mkdir -p "$root/usr/lib/modules" "$work/initrd/bin" "$work/initrd/modules" "$work/initrd/dev" "$work/initrd/root"
mv "$root"/tmp/kernel/lib/modules/* "$root/usr/lib/modules/"
version=$(ls "$root/usr/lib/modules")
in_root depmod "$version"
cp "$root/bin/busybox" "$work/initrd/bin/"
for name in sh mount insmod sleep switch_root; do ln -s busybox "$work/initrd/bin/$name"; done
number=100
for name in virtio_pci virtio_blk crc32c_generic ext4; do in_root modprobe -S "$version" --show-depends "$name"; done |
    sed -n 's/^insmod \([^ ]*\).*/\1/p' | while read -r module; do
    cp "$root$module" "$work/initrd/modules/$number.ko"
    number=$((number + 1))
done
cat > "$work/initrd/init" << 'END'
#!/bin/sh
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module" 2> /dev/null; done
until [ -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 /dev/vda /root
exec switch_root /root /sbin/init
END
chmod +x "$work/initrd/init"
(cd "$work/initrd" && find . | cpio -o -H newc --quiet) | gzip -1 > "$work/initrd.gz"

say "the machine: a broker, a card, and sound that is played into it"
cp "$deb" "$root/root/package.deb"
echo guest > "$root/etc/hostname"
echo "127.0.0.1 localhost guest" > "$root/etc/hosts"
echo snd-aloop > "$root/etc/modules-load.d/snd-aloop.conf"
mkdir "$root/root/sound"
# 10 s of quiet noise, in seconds, and 2 s of a tone that is far above it
in_root perl -e 'srand 1; sub put { open my $file, ">", "/root/sound/$_[0]" or die; print $file pack "s<*", @{$_[1]} }
    for my $second (0 .. 9) { put("noise.$second", [map { 600 * (rand() - rand()) } 1 .. 48000]) }
    put("tone", [map { 600 * (rand() - rand()) + 12000 * sin($_ * 6.2832 * 1500 / 48000) } 1 .. 96000])'
cat > "$root/root/play" << 'END'
#!/bin/sh
while :; do
    for piece in /root/sound/noise.*; do
        [ ! -e /run/tone ] || { cat /root/sound/tone; rm /run/tone; }
        cat "$piece"
    done
done | aplay -q -D hw:0,1 -t raw -f S16_LE -r 48000 -c 1
END
cat > "$root/root/look" << 'END'
#!/bin/sh
# Runs in the machine, after its first and its second boot; what it says goes to the second serial port.
exec > /dev/ttyS1 2>&1
state=/var/lib/private/cpc-stream
config=/etc/cpc-stream/config.toml
seconds() { cut -d . -f 1 /proc/uptime; }
ok() { echo "ok    $*"; }
failed() {
    echo "FAIL  $*"
    journalctl -u cpc-stream -n 40 --no-pager -o short-monotonic | sed 's/^/      /'
    touch /root/failed
}
# expect TEXT COMMAND...; within SECONDS TEXT COMMAND... tries it until it works
expect() { text=$1; shift; if said=$("$@" 2>&1); then ok "$text"; else failed "$text: $* said: $said"; fi; }
within() {
    limit=$1 text=$2 start=$(seconds)
    shift 2
    while ! "$@" > /dev/null 2>&1; do
        [ $(($(seconds) - start)) -lt "$limit" ] || { failed "$text: not within $limit s: $*"; return; }
        sleep 0.3
    done
    ok "$text ($(($(seconds) - start)) s)"
}
property() { systemctl show -P "$1" cpc-stream; }
is() { [ "$(property "$1")" = "$2" ]; }
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(property MainPID)/status"; }
told() { mosquitto_sub -t "cpc-stream/guest/$1" -C 1 -W 5 | grep "$2"; }
logged() { journalctl -t cpc-stream --no-pager -o cat "$@"; }
# says TEXT [OPTION...]: of journalctl
says() { wanted=$1; shift; logged "$@" | grep -- "$wanted"; }
restarted() { is ActiveState active && ! is MainPID "$pid" && ! is MainPID 0; }
pending() { [ "$(cpc-stream health --http 8099 --json | grep -o '"pending": *[0-9]*' | grep -o '[0-9]*$')" -gt 0 ]; }
learnt_once() { [ "$(logged | grep -c 'calibrated on')" = 1 ]; }

hears_and_tells() {
    within 20 "hw:0 is captured" grep -q RUNNING /proc/asound/card0/pcm0c/sub0/status
    within 20 "the broker keeps: node online" told status '^online$'
    within 20 "the broker keeps: stream online" told +/availability '"state": *"online"'
}

first_boot() {
    expect "the package installs" apt-get install -y -qq --no-install-recommends /root/package.deb
    [ -x /usr/bin/cpc-stream ] || return
    expect "the service is not enabled, and not started" sh -c '! systemctl -q is-enabled cpc-stream && ! systemctl -q is-active cpc-stream'
    # what a user would do, with a short calibration
    sed -i 's/^device = .*/device = "hw:0"/; s/^events_per_hour = .*/&\ncalibrate_seconds = 10/' $config
    printf '\n[http]\nlisten = "127.0.0.1:8099"\n' >> $config
    start=$(seconds)
    expect "systemctl enable --now" systemctl enable --now cpc-stream
    expect "READY was said: active, $(($(seconds) - start)) s" is ActiveState active
    hears_and_tells

    user=$(status Uid | cut -f 1)
    expect "the user is a dynamic one: $user" [ "$user" -ge 61184 -a "$user" -le 65519 ]
    expect "it is in the group audio: $(status Groups)" sh -c "echo ' $(status Groups) ' | grep ' $(getent group audio | cut -d : -f 3) '"
    expect "it has no capability, and gets none: $(status CapEff), $(status NoNewPrivs)" [ "$(status CapEff)$(status NoNewPrivs)" = 00000000000000001 ]
    expect "its state is its own: $(stat -c '%u %a' $state)" [ "$(stat -c '%u %a' $state)" = "$user 700" ]
    expect "and nothing in it is anybody else's" [ -z "$(find $state ! -user "$user")" ]
    expect "exposure: $(systemd-analyze security --no-pager cpc-stream | tail -n 1 | grep -o '[0-9].*')" systemd-analyze security --no-pager --threshold=20 cpc-stream
    within 90 "it learns what is normal" says "calibrated on"
    expect "doctor: $(cpc-stream doctor --config $config | grep service:)" sh -c "cpc-stream doctor --config $config | grep 'ok *service: it runs, watchdog 7s'"

    pid=$(property MainPID)
    sed -i 's/^events_per_hour = .*/events_per_hour = 2.0/' $config
    expect "systemctl reload" systemctl reload cpc-stream
    within 10 "the new configuration counts" says "in force now: detect.events_per_hour"
    echo 'nonsense = 1' >> $config
    expect "systemctl reload, of a wrong one" systemctl reload cpc-stream
    within 10 "a wrong one is refused" says "the configuration stays as it was"
    expect "the same process goes on" is MainPID "$pid"
    expect "the journal has the refusal among errors" says "the configuration stays as it was" -p err
    expect "and nothing that is none" sh -c '! journalctl -t cpc-stream -p warning -o cat | grep -e "calibrated on" -e "in force now"'
    sed -i '$d' $config

    mosquitto_sub -i ear -c -q 1 -t 'cpc-stream/+/+/event' -E
    systemctl stop mosquitto
    touch /run/tone
    within 30 "a sound is an event, which waits for the broker" pending
    kill -9 "$pid"
    within 20 "killed, it is started again" restarted
    within 20 "the event still waits" pending
    systemctl start mosquitto
    within 30 "the broker gets it" sh -c 'mosquitto_sub -i ear -c -q 1 -t cpc-stream/+/+/event -C 1 -W 5 | grep "\"tier\""'
    hears_and_tells
    pid=$(property MainPID)
    kill -STOP "$pid"
    within 20 "stopped by a signal, it is started again" restarted
    expect "by the watchdog" sh -c 'journalctl -u cpc-stream -o cat | grep "Watchdog timeout"'
    hears_and_tells
    expect "nothing was learnt twice" learnt_once
    expect "no start beyond these: $(property NRestarts)" is NRestarts 2
}

second_boot() {
    within 30 "after a reboot it is there by itself" is ActiveState active
    hears_and_tells
    expect "nothing was learnt twice" learnt_once
    start=$(seconds)
    expect "systemctl stop" systemctl stop cpc-stream
    took=$(($(seconds) - start))
    expect "within 5 s: $took s" [ "$took" -le 5 ]
    expect "cleanly" [ "$(property Result) $(property ExecMainStatus)" = "success 0" ]
    expect "the broker keeps: node stopped" told status '^stopped$'
    echo 'nonsense = 1' >> $config
    expect "with a wrong configuration it does not start" sh -c '! systemctl start cpc-stream'
    expect "the journal says why, among errors" says '^error: config file' -p err
    systemctl stop cpc-stream
    sed -i '$d' $config
    expect "the outbox is whole" cpc-stream outbox verify --state-dir $state
    expect "systemctl disable" systemctl disable cpc-stream
    systemctl -q enable --now cpc-stream
    expect "purged while it runs" apt-get purge -y -qq cpc-stream
    expect "no process is left" sh -c '! pidof cpc-stream'
    expect "no unit is left" [ "$(property LoadState)" = not-found ]
    left=$(find /etc /usr /var/lib -name '*cpc-stream*' ! -path '/var/lib/dpkg/*')
    expect "no file is left: $left" [ -z "$left" ]
}

if [ ! -e /root/booted ]; then
    touch /root/booted
    first_boot
    systemctl reboot
else
    second_boot
    if [ -e /root/failed ]; then echo "failed"; else echo "passed"; fi
    systemctl poweroff
fi
END
chmod +x "$root/root/play" "$root/root/look"
for name in play look; do
    cat > "$root/etc/systemd/system/$name.service" << END
[Unit]
After=sound.target mosquitto.service
[Service]
ExecStart=/root/$name
Restart=$([ $name = play ] && echo always || echo no)
[Install]
WantedBy=multi-user.target
END
    in_root systemctl -q enable "$name"
done
in_root systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
rm -rf "$root"/tmp/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
truncate -s 2G "$work/disk"
mke2fs -q -t ext4 -d "$root" "$work/disk"
took=$(($(date +%s) - began))

say "boot ($took s to here)"
timeout --foreground 1800 qemu-system-x86_64 -accel tcg,thread=single -icount shift=0 -rtc clock=vm -cpu Nehalem,+rdrand -smp 1 -m 1024 \
    -nodefaults -display none -kernel "$work/vmlinuz" -initrd "$work/initrd.gz" -append "console=ttyS0 quiet mitigations=off tsc=unstable" \
    -drive "file=$work/disk,if=virtio,format=raw,cache=unsafe" -serial "file:$work/console" -serial stdio < /dev/null |
    stdbuf -oL tr -d '\r' | tee "$work/said" || true
grep -q '^passed$' "$work/said" || { tail -n 40 "$work/console"; fail "see above"; }
say "passed, $(grep -c '^ok ' "$work/said") checks, $(($(date +%s) - began)) s"
