#!/bin/sh
# test-ansible.sh PROGRAM: lints the Ansible role, and has PROGRAM read the configuration that it writes on this machine into a
# folder of its own. Needs ansible-playbook; ansible-lint is used where it is there.
set -eu

program=$(realpath "$1")
here=$(dirname "$(realpath "$0")")/ansible
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ANSIBLE_ROLES_PATH="$here/roles" ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=0

cd "$here"
ansible-playbook --syntax-check -i inventory.example.yml playbook.yml
if command -v ansible-lint >/dev/null; then
    ansible-lint --offline --profile production playbook.yml roles/cpc_stream
else
    echo "skipped: ansible-lint is not here"
fi

mkdir "$work/bin" "$work/etc"
ln -s "$program" "$work/bin/cpc-stream"
cat >"$work/play.yml" <<'PLAY'
- hosts: localhost
  connection: local
  gather_facts: false
  roles:
    - role: cpc_stream
      vars:
        cpc_stream_node: box-1
        cpc_stream_manage_service: false
        cpc_stream_sources:
          - {device: "hw:CARD=Mic,DEV=0", id: pump}
          - {url: "rtsp://camera.lan/live", id: gate}
        cpc_stream_detect: {events_per_hour: 0.5}
        cpc_stream_publish:
          broker: mqtts://broker.lan
          username: "ear \"1\" — é"
          password_file: credential:mqtt-password
          commands: [ack-event, label]
          tls: {ca_file: /etc/ssl/certs/lan.pem}
        cpc_stream_homeassistant: {enable: true}
        cpc_stream_secrets: {mqtt-password: hush}
        cpc_stream_extra: "[log]\nformat = \"json\""
PLAY
play() {
    PATH="$work/bin:$PATH" ansible-playbook -i localhost, -e "cpc_stream_config_dir=$work/etc" \
        -e "ansible_python_interpreter=$(command -v python3)" "$@" "$work/play.yml"
}
play
"$program" config show --config "$work/etc/config.toml" >"$work/shown"
for line in 'node = "box-1"' 'device = "hw:CARD=Mic,DEV=0"' 'url = "rtsp://camera.lan/live"' 'events_per_hour = 0.5' \
    'commands = ["ack-event", "label"]' 'ca_file = "/etc/ssl/certs/lan.pem"' 'enable = true' 'format = "json"'; do
    grep -qF "$line" "$work/shown" || { cat "$work/etc/config.toml" "$work/shown"; echo "missing: $line"; exit 1; }
done
[ "$(stat -c %a "$work/etc/mqtt-password")" = 600 ] && [ "$(cat "$work/etc/mqtt-password")" = hush ]
# a second run changes nothing
play | tee "$work/again"
grep -q 'changed=0' "$work/again"
# what the program refuses is not written
before=$(sha256sum <"$work/etc/config.toml")
if play -e '{"cpc_stream_detect": {"events_per_hours": 1}}' >"$work/wrong" 2>&1; then
    echo "a wrong key was accepted"
    exit 1
fi
grep -q events_per_hours "$work/wrong"
[ "$before" = "$(sha256sum <"$work/etc/config.toml")" ]
echo "the role holds together; package, credentials and service were not tried: they need a host with systemd"
