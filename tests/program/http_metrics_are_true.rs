//! What /metrics says is valid, balances, and is what the daemon did; the page is told the same, and the spectrum of a
//! stream only while it looks.
#![cfg(feature = "http")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::broker::await_for;
use crate::support::http::{get, listening};
use crate::support::sound::{bytes, whistles};

const LIMIT: Duration = Duration::from_secs(120);

/// Name with labels → value. Refuses what the text format does not allow.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let (mut kinds, mut values, mut now) = (BTreeMap::new(), BTreeMap::new(), String::new());
    let name_is_fine =
        |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind) && name_is_fine(name), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert_eq!(kinds.insert(name.to_owned(), kind.to_owned()), None, "{name} twice");
            now = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.ends_with('.'), "{line}");
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
            let of_histogram = kinds[&now] == "histogram";
            let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
            let family = part.filter(|_| of_histogram).unwrap_or(name);
            assert_eq!(family, now, "a value stands under its own name");
            assert_eq!(labels.contains("le="), of_histogram && name.ends_with("_bucket"), "{line}");
            let quotes = labels.matches('"').count();
            assert!(labels.ends_with('}') && quotes == 2 * labels.matches("=\"").count(), "{line}");
            assert_eq!(values.insert(key.to_owned(), value.parse().unwrap()), None, "{key} twice");
        }
    }
    assert!(text.ends_with('\n'));
    values
}

#[test]
fn metrics_are_valid_balance_and_say_what_happened() {
    let home = tempfile::tempdir().unwrap();
    let (mut daemon, at) = listening(home.path(), 15);
    let mut stdin = daemon.stdin();
    let samples = whistles(40, 20);
    stdin.write_all(&bytes(&samples)).unwrap();
    stdin.flush().unwrap();

    let stream = get(&at, "/api/v1/overview").json()["streams"][0]["id"].as_str().unwrap().to_owned();
    let of = |name: &str| format!("cpc_stream_{name}{{stream=\"{stream}\"}}");
    // on a busy machine the last samples may be scored when the pipe has been silent for long
    let mut up = 0.0;
    let figures = await_for("all samples scored", LIMIT, || {
        let answer = get(&at, "/metrics");
        assert!(answer.head.contains("text/plain; version=0.0.4"), "{}", answer.head);
        let figures = parse(&answer.body);
        up = figures[&of("stream_up")].max(up);
        (figures[&of("samples_scored_total")] == samples.len() as f64).then_some(figures)
    });
    assert_eq!(figures[&of("samples_in_total")], samples.len() as f64);
    let balance = figures[&of("samples_scored_total")]
        + figures[&of("samples_shed_total")]
        + figures[&of("samples_waiting")];
    assert_eq!(figures[&of("samples_in_total")], balance);
    assert_eq!((figures["cpc_stream_ready"], figures["cpc_stream_hangs"]), (1.0, 0.0));
    assert_eq!(up, 1.0);
    assert_eq!(figures[&format!("cpc_stream_stream_state{{stream=\"{stream}\",state=\"watching\"}}")], 1.0);
    assert!(
        figures["process_resident_memory_bytes"] > 1e6
            && figures["cpc_stream_hop_duration_seconds_bucket{le=\"+Inf\"}"] > 0.0
    );

    // events: what was counted is what was told on stdout, and what the page lists
    let ids: BTreeSet<String> = daemon
        .said()
        .iter()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let listed = get(&at, "/api/v1/events").json();
    let over = listed["events"].as_array().unwrap().iter().find(|event| event["phase"] == "end").unwrap();
    let [onset, reported, emitted] =
        ["onset_s", "reported_s", "emitted_s"].map(|key| over[key].as_f64().unwrap());
    assert!(onset < reported && reported < emitted, "the first report came before the end: {over}");
    let listed: BTreeSet<String> =
        listed["events"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap().to_owned()).collect();
    let told: f64 = ["alarm", "severe"]
        .iter()
        .map(|tier| figures[&format!("cpc_stream_events_total{{stream=\"{stream}\",tier=\"{tier}\"}}")])
        .sum();
    assert!(!ids.is_empty(), "the whistles are heard");
    assert_eq!((listed, told), (ids.clone(), ids.len() as f64));
    let accepted = figures["cpc_stream_event_documents_accepted_total"];
    assert_eq!(accepted, daemon.said().len() as f64);
    let parts = ["acknowledged_total", "dropped_total", "pending"];
    let parts: f64 = parts.iter().map(|part| figures[&format!("cpc_stream_event_documents_{part}")]).sum();
    assert_eq!(accepted, parts);

    // dashboard and alerts ask for nothing that is not there
    let dashboard =
        [include_str!("../../config/grafana.json"), include_str!("../../config/prometheus-alerts.yaml")]
            .concat();
    let known: BTreeSet<&str> = figures.keys().map(|key| key.split('{').next().unwrap()).collect();
    for prefix in ["cpc_stream_", "process_"] {
        for rest in dashboard.split(prefix).skip(1) {
            let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(known.contains(format!("{prefix}{word}").as_str()), "{prefix}{word}");
        }
    }

    // the past and the calibration
    let past = get(&at, &format!("/api/v1/history?stream={stream}")).json();
    assert_eq!(past["t_s"].as_array().unwrap().len(), 40);
    let known = get(&at, &format!("/api/v1/calibration?stream={stream}")).json();
    let tail = &known["calibration"]["tails"][0];
    assert!(tail["counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum::<u64>() >= 8);
    let curve: Vec<f64> =
        tail["curve"].as_array().unwrap().iter().map(|at| at[1].as_f64().unwrap()).collect();
    assert!(curve.is_sorted_by(|a, b| a >= b), "{curve:?}");
    assert_eq!(get(&at, "/api/v1/history?stream=nowhere").code, 404);
    assert_eq!(get(&at, "/api/v1/events/..%2f..%2fetc%2fpasswd.png").code, 404);

    // a page that looks
    let pages = || parse(&get(&at, "/metrics").body)["cpc_stream_http_pages"];
    assert_eq!(pages(), 0.0);
    let mut live = TcpStream::connect(&at).unwrap();
    live.set_read_timeout(Some(LIMIT)).unwrap();
    write!(live, "GET /api/v1/live?stream={stream} HTTP/1.1\r\nHost: {at}\r\n\r\n").unwrap();
    let mut lines = BufReader::new(live).lines().map(|line| line.unwrap());
    assert!(lines.any(|line| line.starts_with("retry:")));
    assert_eq!(pages(), 1.0);
    stdin.write_all(&bytes(&whistles(3, 100))).unwrap();
    stdin.flush().unwrap();
    let data = lines.skip_while(|line| line != "event: column").nth(1).unwrap();
    let column: serde_json::Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(column["bands"].as_str().unwrap().len(), 128);
    assert!(column["t_s"].as_f64().unwrap() > 40.0, "nothing was made before somebody looked: {column}");
    await_for("the page to be gone", LIMIT, || (pages() == 0.0).then_some(()));

    drop(stdin);
    let outcome = daemon.finish(LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

/// Panels that have no limit; all others show one.
const NO_LIMIT: [&str; 13] = [
    "Events in the last day",
    "Oldest calibration",
    "Score and threshold",
    "Events an hour and budget",
    "Surprise and novelty",
    "Level",
    "Event documents in an hour",
    "Event store",
    "Event store, size",
    "Age of the calibrations",
    "Processor",
    "Memory",
    "Requests in an hour",
];

#[test]
fn each_panel_has_a_title_a_unit_a_query_a_place_and_its_limits() {
    let text = include_str!("../../config/grafana.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39 && dashboard["uid"].is_string());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: BTreeSet<&str> = variables.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["source", "node", "instance", "stream"]));
    let (mut ids, mut titles, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(!title.is_empty() && titles.insert(title), "{title:?} stands twice");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id stands twice");
        assert!(["stat", "timeseries"].contains(&panel["type"].as_str().unwrap()), "{title}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}: {}", panel["gridPos"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} lies over another panel at {cell:?}");
        }
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(defaults["unit"].as_str().is_some_and(|unit| !unit.is_empty()), "{title} has no unit");
        let targets = panel["targets"].as_array().unwrap();
        let letters: BTreeSet<&str> = targets.iter().map(|one| one["refId"].as_str().unwrap()).collect();
        assert!(!targets.is_empty() && letters.len() == targets.len(), "{title}");
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            let selects = query.matches("{instance=~\"$instance\"").count();
            let figures = query.matches("cpc_stream_").count() + query.matches("process_").count();
            assert!(figures > 0 && selects == figures, "{title}: {query}");
            let open = ["(", "{", "["].map(|bracket| query.matches(bracket).count());
            let shut = [")", "}", "]"].map(|bracket| query.matches(bracket).count());
            assert_eq!(open, shut, "{title}: {query}");
        }
        let steps: Vec<Option<f64>> = defaults["thresholds"]["steps"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|step| step["value"].as_f64())
            .collect();
        assert_eq!(steps.len() >= 2, !NO_LIMIT.contains(&title), "{title}: {steps:?}");
        assert!(steps.is_sorted() && steps.iter().skip(1).all(Option::is_some), "{title}: {steps:?}");
    }
    assert!(NO_LIMIT.iter().all(|title| titles.contains(title)), "{titles:?}");
}

/// The same linter on the alert rules.
#[test]
fn promtool_takes_the_alerts() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus-alerts.yaml");
    let Ok(said) = std::process::Command::new("promtool").args(["check", "rules", rules]).output() else {
        eprintln!("skipped: no promtool is installed (apt-get install prometheus)");
        return;
    };
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(
        said.status.success() && text.contains("rules found"),
        "{text}{}",
        String::from_utf8_lossy(&said.stderr)
    );
}

/// The linter of Prometheus, where that is installed.
#[test]
fn promtool_finds_nothing() {
    let Ok(mut promtool) = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
    else {
        eprintln!("skipped: no promtool is installed (apt-get install prometheus)");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (_daemon, at) = listening(home.path(), 15);
    let page = get(&at, "/metrics").body;
    assert!(page.contains("process_open_fds ") && page.contains("process_cpu_seconds_total "), "{page}");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let complaints =
        format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && complaints.trim().is_empty(), "{complaints}");
}
