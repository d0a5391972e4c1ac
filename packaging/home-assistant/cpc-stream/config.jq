# /data/options.json to the configuration of cpc-stream; $mqtt is what the Supervisor says of its broker, or null.
def text: tojson;
def line($key; $value): if $value == null or $value == "" then empty else "\($key) = \($value | text)" end;
. as $o
| [
    "# made of the options of the add-on at each start",
    line("node"; $node),
    "state_dir = \"/data/state\"",
    ($o.sources[] | "\n[[source]]", line("id"; .id), line("device"; .device), line("url"; .url)),
    "\n[detect]",
    "events_per_hour = \($o.events_per_hour)",
    "\n[publish]",
    (if ($o.broker // "") != "" then
        line("broker"; $o.broker), line("username"; $o.username)
     elif $mqtt then
        line("broker"; "\(if $mqtt.ssl then "mqtts" else "mqtt" end)://\($mqtt.host):\($mqtt.port)"), line("username"; $mqtt.username)
     else empty end),
    (if ($o.password // $mqtt.password // "") != "" then line("password_file"; "/data/broker-password") else empty end),
    "commands = \($o.commands | text)",
    "\n[homeassistant]",
    "enable = \(($o.broker // "") != "" or $mqtt != null)",
    "\n[http]",
    "listen = \"0.0.0.0:8099\"",
    "token_file = \"/data/http-token\"",
    "trusted_proxies = [\"172.30.32.2\"]",
    (if ($o.operator_token // "") != "" then line("operator_token_file"; "/data/http-operator-token") else empty end),
    "\n[snapshots]",
    "spectrogram = \($o.pictures)"
  ]
| join("\n")
