#!/bin/sh
# Checks the add-on for Home Assistant: its files against the published schema where that is given, options against a real program, and the
# page through a proxy as that of ingress in a real browser.
#
#   packaging/test-addon.sh target/release/cpc-stream [config.schema.json]
#
# The schema is src/config.schema.json of github.com/frenck/action-addon-linter. Needs jq, curl and python3-yaml; for the schema python3-jsonschema;
# for the page root, iproute2 and Chromium. At the end stands what was not tested.
set -eu
program=$(realpath "${1:?usage: packaging/test-addon.sh PROGRAM [SCHEMA]}")
schema=${2:-}
here=$(dirname "$(realpath "$0")")/home-assistant/cpc-stream
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
ln -s "$program" "$work/bin/cpc-stream"

try() {
    mkdir -p "$work/data"
    printf '%s' "$2" > "$work/data/options.json"
    if PATH="$work/bin:$PATH" DATA="$work/data" "$here/run.sh" check > "$work/out" 2>&1; then
        echo "ok: $1: $(cat "$work/out")"
    else
        cat "$work/data/config.toml" "$work/out"
        echo "FAILED: $1" >&2
        exit 1
    fi
}

try "the options of config.yaml" \
    "$(python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))["options"]))' "$here/config.yaml")"
try "everything" '{"sources": [{"id": "hall", "device": "usb:0d8c:0014"}, {"id": "door", "url": "rtsp://cam.local/1"}], "events_per_hour": 0.5,
    "commands": ["ack-event", "mute"], "pictures": false, "broker": "mqtts://broker.local", "username": "ear", "password": "p\"w",
    "operator_token": "0123456789abcdef", "log": "debug"}'
grep -qx 'p"w' "$work/data/broker-password"
[ "$(stat -c %a "$work/data/broker-password")" = 600 ]
# the commands of the options are those of the program
python3 - "$here/config.yaml" "$program" << 'END'
import json, re, subprocess, sys, yaml
named = re.fullmatch(r"list\((.*)\)", yaml.safe_load(open(sys.argv[1]))["schema"]["commands"][0]).group(1).split("|")
schema = json.loads(subprocess.run([sys.argv[2], "config", "schema"], capture_output=True, check=True).stdout)
known = schema["properties"]["publish"]["properties"]["commands"]["items"]["enum"]
if sorted(named) != sorted(known):
    sys.exit(f"FAILED: config.yaml has the commands {named}, the program {known}")
print(f"ok: all {len(known)} commands of the program")
END
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../../../Cargo.toml" | head -n 1)
grep -qx "version: $version" "$here/config.yaml" || { echo "FAILED: config.yaml does not say version $version" >&2; exit 1; }
if [ -n "$schema" ]; then
    python3 - "$here/config.yaml" "$schema" << 'END'
import json, sys, yaml, jsonschema
config, schema = yaml.safe_load(open(sys.argv[1])), json.load(open(sys.argv[2]))
jsonschema.Draft7Validator.check_schema(schema)
faults = [f"{list(fault.path)}: {fault.message}" for fault in jsonschema.Draft7Validator(schema).iter_errors(config)]
# what its linter finds beside
faults += [f"{key}: this is the default, leave it out" for key, rule in schema["properties"].items()
           if "default" in rule and config.get(key) == rule["default"]]
faults += ["watchdog: HEALTHCHECK in the Dockerfile is in its place"] if "watchdog" in config else []
for fault in faults:
    print("FAILED:", fault)
print("ok: config.yaml fits the schema" if not faults else "")
sys.exit(1 if faults else 0)
END
else
    echo "Not tested here: config.yaml against the schema, which was not given"
fi
if [ "$(id -u)" = 0 ] && command -v ip > /dev/null && command -v chromium > /dev/null; then
    unshare --net "$here/../../ingress.py" "$program"
else
    echo "Not tested here: the page behind ingress, for want of root, iproute2 or Chromium"
fi
