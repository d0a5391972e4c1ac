#!/bin/sh
# The options of the add-on become a configuration, which becomes the daemon's. With DATA=FOLDER another folder than /data, for tests.
set -eu
umask 077
data=${DATA:-/data}
options=$data/options.json

mqtt=null
if [ -n "${SUPERVISOR_TOKEN:-}" ]; then
    # without a broker of Home Assistant there is an error in the answer, and no data
    mqtt=$(curl -s -H "Authorization: Bearer $SUPERVISOR_TOKEN" http://supervisor/services/mqtt | jq -c '.data | select(.host)') || mqtt=
    mqtt=${mqtt:-null}
fi
# the page asks for this token everywhere but behind Home Assistant
[ -s "$data/http-token" ] || head -c 24 /dev/urandom | base64 > "$data/http-token"
jq -r '.operator_token // ""' "$options" > "$data/http-operator-token"
jq -r --argjson mqtt "$mqtt" '.password // $mqtt.password // ""' "$options" > "$data/broker-password"
jq -r --argjson mqtt "$mqtt" --arg node "${NODE:-home-assistant}" -f "${0%/*}/config.jq" "$options" |
    sed "s|\"/data/|\"$data/|" > "$data/config.toml"
RUST_LOG=$(jq -r '.log // "info"' "$options")
export RUST_LOG
exec cpc-stream "${1:-run}" --config "$data/config.toml"
