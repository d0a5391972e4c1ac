#!/bin/sh
# Unpacks an OCI image as an engine would, checks its sums, and runs its program in it: for another processor under qemu-user-static.
#
#   packaging/test-image.sh target/image/cpc-stream-*.tar
#
# As root. Needs jq.
set -eu
image=$(realpath "${1:?usage: packaging/test-image.sh FILE.tar}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
mkdir "$work/layout" "$work/root"
tar -xf "$image" -C "$work/layout"
blob() { echo "$work/layout/blobs/sha256/${1#sha256:}"; }
for file in "$work"/layout/blobs/sha256/*; do
    [ "$(sha256sum "$file" | cut -d ' ' -f 1)" = "$(basename "$file")" ] || fail "$file has another sum"
done
manifest=$(blob "$(jq -r '.manifests[0].digest' "$work/layout/index.json")")
config=$(blob "$(jq -r .config.digest "$manifest")")
jq -c '[.config, .layers[]][] | [.digest, .size]' "$manifest" | while read -r entry; do
    [ "$(stat -c %s "$(blob "$(echo "$entry" | jq -r '.[0]')")")" = "$(echo "$entry" | jq '.[1]')" ] || fail "a size is wrong: $entry"
done
layer=$(blob "$(jq -r '.layers[0].digest' "$manifest")")
[ "sha256:$(gzip -dc "$layer" | sha256sum | cut -d ' ' -f 1)" = "$(jq -r '.rootfs.diff_ids[0]' "$config")" ] || fail "the diff id"
tar -xzf "$layer" -C "$work/root"
echo "== $(jq -r '"\(.config.Labels["org.opencontainers.image.title"]) \(.config.Labels["org.opencontainers.image.version"]), \(.architecture), as \(.config.User)"' "$config")"

run=
case "$(jq -r .architecture "$config")-$(uname -m)" in
    amd64-x86_64 | arm64-aarch64) ;;
    arm64-*) run=/qemu-aarch64-static; cp /usr/bin/qemu-aarch64-static "$work/root/" ;;
    *) fail "no way to run this here" ;;
esac
user=$(jq -r .config.User "$config")
program=$(jq -r '.config.Entrypoint[0]' "$config")
inside() {
    # shellcheck disable=SC2086
    chroot --userspec="$user" "$work/root" $run "$program" "$@"
}
export STATE_DIRECTORY=/var/lib/cpc-stream PATH=/usr/bin HOME=/
chroot=$(PATH=/usr/sbin:/usr/bin command -v chroot)
chroot() { "$chroot" "$@"; }
inside --version
inside check --config /etc/cpc-stream/config.toml
status=0
head -c 2560000 /dev/urandom | inside --input - --calibrate-seconds 20 > "$work/out" 2> "$work/log" || status=$?
[ "$status" = 0 ] || { cat "$work/log"; fail "a run from a pipe ended with $status"; }
grep -q calibrated "$work/log" || fail "the run learnt nothing"
[ ! -e "$work/root/bin/sh" ] || fail "there is a shell in the image"
echo "== passed"
