#!/bin/sh
# Makes a Home Assistant and runs docs/try-home-assistant.py with it, which see.
#
#   docs/try-home-assistant.sh target/release/cpc-stream [--picture device.png]
#
# As root, with debootstrap, Mosquitto and 2 GB among the temporary files: Home Assistant wants a newer Python than most machines have, so it
# lives in a Debian root, which is kept where ROOT names one, and used again. It is the newest; HASS="homeassistant==VERSION" makes another,
# SUITE=trixie one for Python 3.13.
set -eu

here=$(dirname "$0")
suite=${SUITE:-forky}
[ "$(id -u)" = 0 ] || { echo "not root: a Debian root cannot be made or entered" >&2; exit 1; }
root=${ROOT:-$(mktemp -d)}
[ -n "${ROOT:-}" ] || trap 'rm -rf "$root"' EXIT

if [ ! -e "$root/venv/bin/hass" ]; then
    script=/usr/share/debootstrap/scripts/$suite
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    debootstrap --variant=minbase --include=python3-venv,python3-dev,gcc,g++,libffi-dev,libssl-dev,ca-certificates \
        "$suite" "$root" "${MIRROR:-}" "$script" > /dev/null
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    # authorities that only this machine knows
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    chroot "$root" python3 -m venv /venv
    # shellcheck disable=SC2086
    chroot "$root" /venv/bin/pip install --quiet ${HASS:-homeassistant}
fi

# in mounts of its own, which go with it; what else it needs, it installs itself
cat > "$root/hass" <<END
#!/bin/sh
exec unshare --mount sh -c 'mkdir -p "$root\$2"; mount -t proc proc "$root/proc"; mount --bind "\$2" "$root\$2"
exec chroot "$root" env -i PATH=/venv/bin:/usr/bin:/bin HOME=/root SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt hass "\$@"' sh "\$@"
END
chmod +x "$root/hass"
python3 "$here/try-home-assistant.py" --hass "$root/hass" "$@"
