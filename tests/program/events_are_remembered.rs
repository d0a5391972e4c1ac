//! Events of the past outlive a kill and a full disk, are found and exported over HTTP, and are judged by operators alone.
#![cfg(feature = "http")]

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, program};
use crate::support::http::{Answer, address, get, post};
use crate::support::meddle::{Disk, Meddle};
use crate::support::sound::{bytes, whistles};

const LIMIT: Duration = Duration::from_secs(60);
const OPERATOR: &str = "operators-0123456789";

/// A daemon that hears its standard input and keeps its state, as one with a microphone does.
fn start(home: &Path, meddle: Option<&Meddle>) -> (Daemon, String, ChildStdin) {
    fs::write(home.join("operators"), format!("{OPERATOR}\n")).unwrap();
    let mut command = program(home);
    command
        .args([
            "--input",
            "-",
            "--http",
            "127.0.0.1:0",
            "--events-per-hour",
            "60",
            "--calibrate-seconds",
            "12",
        ])
        .env("CPC_STREAM_HTTP__OPERATOR_TOKEN_FILE", home.join("operators"))
        .env("CPC_STREAM_SNAPSHOTS__SPECTROGRAM", "true")
        .env("CPC_STREAM_DETECT__REPEAT_AFTER_S", "0")
        .stdin(Stdio::piped());
    if let Some(meddle) = meddle {
        command.envs(meddle.env());
    }
    let mut daemon = Daemon::start(&mut command);
    let (at, stdin) = (address(&daemon), daemon.stdin());
    (daemon, at, stdin)
}

fn events(at: &str, query: &str) -> Vec<Value> {
    let answer = get(at, &format!("/api/v1/events{query}"));
    assert_eq!(answer.code, 200, "{}", answer.body);
    answer.json()["events"].as_array().unwrap().clone()
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// The events once that many are over.
fn over(at: &str, count: usize) -> Vec<Value> {
    await_for("events that are over", LIMIT, || {
        let found = events(at, "?limit=1000");
        (found.iter().filter(|event| event["phase"] == "end").count() >= count).then_some(found)
    })
}

fn figure(at: &str, name: &str) -> f64 {
    let text = get(at, "/metrics").body;
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name}")).rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// The events known now, once the disk has as many: one that has just come is listed before its commit returns.
fn committed(at: &str) -> Vec<Value> {
    let known = events(at, "?limit=1000");
    await_for("known events on the disk", LIMIT, || {
        (figure(at, "cpc_stream_event_store_events") >= known.len() as f64).then_some(())
    });
    known
}

fn distinct(ids: &[String]) -> bool {
    ids.iter().collect::<HashSet<_>>().len() == ids.len()
}

/// Each event of `before`, the list before a kill, is in `after` once and in its order; newer ones of
/// the moments between the question and the kill stand before them.
fn all_outlived(before: &[Value], after: &[Value]) {
    let (known, kept) = (ids(before), ids(after));
    assert!(kept.ends_with(&known) && distinct(&kept), "{kept:?} of {known:?} before the kill");
}

fn judge(at: &str, id: &str, said: &str, token: Option<&str>) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
    post(at, &format!("/api/v1/events/{id}/review"), &headers, said)
}

#[test]
fn events_outlive_a_kill_and_operators_review_them() {
    let home = tempfile::tempdir().unwrap();
    let (daemon, at, mut stdin) = start(home.path(), None);
    stdin.write_all(&bytes(&whistles(60, 14))).unwrap();
    let told = over(&at, 3);
    let first = ids(&told).pop().unwrap();

    for (said, token, code) in [
        (r#"{"verdict":"normal"}"#, None, 403),
        (r#"{"verdict":"odd"}"#, Some(OPERATOR), 422),
        (r#"{"label":"a\nb"}"#, Some(OPERATOR), 400),
        (r#"{"verdict":"normal","label":"whistle, \"high\""}"#, Some(OPERATOR), 200),
    ] {
        let answer = judge(&at, &first, said, token);
        assert_eq!(answer.code, code, "{said}: {}", answer.body);
        if code == 200 {
            assert_eq!(answer.json()["detector_informed"], true, "{}", answer.body);
        }
    }
    assert_eq!(judge(&at, "01J00000000000000000000000", "{}", Some(OPERATOR)).code, 404);
    let foreign = [("Authorization", "Bearer operators-0123456789"), ("Origin", "http://evil.example")];
    assert_eq!(post(&at, &format!("/api/v1/events/{first}/review"), &foreign, "{}").code, 403);
    daemon.await_log(&["an operator at 127.0.0.1 says of event", &first, "verdict normal"], LIMIT);
    daemon.await_log(&["was judged: Normal"], LIMIT);

    let one = get(&at, &format!("/api/v1/events/{first}")).json();
    assert_eq!((one["verdict"].as_str(), one["label"].as_str()), (Some("normal"), Some("whistle, \"high\"")));
    let table = get(&at, "/api/v1/events/export?format=csv&verdict=normal");
    assert!(
        table.head.contains("content-disposition: attachment; filename=\"events.csv\""),
        "{}",
        table.head
    );
    let lines: Vec<&str> = table.body.lines().collect();
    assert!(lines.len() == 2 && lines[1].contains(",normal,\"whistle, \"\"high\"\"\","), "{}", table.body);
    // events go on coming: what the list had first is in the export, and nothing is there twice
    let listed = ids(&events(&at, "?limit=1000"));
    let all: Value = get(&at, "/api/v1/events/export").json();
    let exported = ids(all.as_array().unwrap());
    assert!(exported.ends_with(&listed) && distinct(&exported), "{exported:?} {listed:?}");
    let sum = get(&at, "/api/v1/events/summary").json();
    assert_eq!(sum["events"].as_u64(), sum["unjudged"].as_u64().map(|rest| rest + 1));
    assert_eq!(events(&at, "?verdict=none&limit=1").len(), 1);
    let wrong = get(&at, "/api/v1/events?colour=red");
    assert!(wrong.code == 400 && wrong.body.contains("ask by stream, kind"), "{}", wrong.body);

    let before = committed(&at);
    daemon.kill();
    let (daemon, at, stdin) = start(home.path(), None);
    let after = events(&at, "?limit=1000");
    all_outlived(&before, &after);
    assert_eq!(after.last().unwrap()["label"], "whistle, \"high\"");
    // its detector is gone with the run; what people say is kept all the same
    let answer = judge(&at, &ids(&after)[0], r#"{"verdict":"anomaly"}"#, Some(OPERATOR)).json();
    assert_eq!(
        (answer["detector_informed"].as_bool(), answer["event"]["verdict"].as_str()),
        (Some(false), Some("anomaly"))
    );
    assert!(get(&at, &format!("/api/v1/events/{first}.png")).code == 200, "its picture is kept as well");
    drop(stdin);
    daemon.signal("TERM");
    daemon.finish(LIMIT);
}

#[test]
fn events_wait_for_a_full_disk() {
    let home = tempfile::tempdir().unwrap();
    let mut meddle = Meddle::new();
    let (daemon, at, mut stdin) = start(home.path(), Some(&meddle));
    let sound = bytes(&whistles(60, 14));
    stdin.write_all(&sound[..24 * 32_000]).unwrap();
    over(&at, 1);
    meddle.disk(Disk::Full);
    let before = events(&at, "?limit=1000");
    let known = before.len();
    stdin.write_all(&sound[24 * 32_000..]).unwrap();
    let all = over(&at, known + 1);
    assert!(figure(&at, "cpc_stream_event_store_degraded") == 1.0 && all.len() > known);
    assert!(ids(&all).ends_with(&ids(&before)), "what is on the disk is found while it takes no more");
    meddle.disk(Disk::Good);
    await_for("everything on the disk", LIMIT, || {
        (figure(&at, "cpc_stream_event_store_degraded") == 0.0).then_some(())
    });
    assert_eq!(figure(&at, "cpc_stream_event_store_lost_total"), 0.0);
    let before = committed(&at);
    daemon.kill();
    let (daemon, at, _stdin) = start(home.path(), None);
    all_outlived(&before, &events(&at, "?limit=1000"));
    daemon.kill();
}
