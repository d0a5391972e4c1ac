//! Operators mute streams, set budgets and calibrate again over HTTP, with the commands of MQTT; nobody else does.
#![cfg(feature = "http")]

use std::io::Write;
#[cfg(feature = "mqtt")]
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, program};
use crate::support::http::{Answer, address, ask, get, post};
use crate::support::sound::{bytes, whistles};

const LIMIT: Duration = Duration::from_secs(60);
const OPERATOR: &str = "operators-0123456789";
const VIEWER: &str = "viewers-0123456789";

fn request(at: &str, command: &str, body: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    post(at, &format!("/api/v1/request/{command}"), &[("Authorization", &bearer)], body)
}

#[test]
fn requests_over_http_are_carried_out_for_operators() {
    let home = tempfile::tempdir().unwrap();
    for (name, token) in [("operators", OPERATOR), ("viewers", VIEWER)] {
        std::fs::write(home.path().join(name), format!("{token}\n")).unwrap();
    }
    let mut command = program(home.path());
    command
        .args(["--input", "-", "--http", "127.0.0.1:0", "--calibrate-seconds", "12", "--json"])
        // nobody answers there
        .args(["--url", "tcp://127.0.0.1:9"])
        .args(if cfg!(feature = "mqtt") { &["--broker", "mqtt://127.0.0.1:9"][..] } else { &[] })
        .env("CPC_STREAM_HTTP__OPERATOR_TOKEN_FILE", home.path().join("operators"))
        .env("CPC_STREAM_HTTP__TOKEN_FILE", home.path().join("viewers"))
        .stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let (at, mut stdin) = (address(&daemon), daemon.stdin());
    stdin.write_all(&bytes(&whistles(20, 14))).unwrap();
    daemon.await_log(&["stdin", "watching"], LIMIT);

    let muted = request(&at, "mute", r#"{"stream":"stdin","seconds":600}"#, OPERATOR);
    assert_eq!((muted.code, &muted.json()["streams"][0]), (200, &"stdin".into()), "{}", muted.body);
    daemon.await_log(&["an operator at 127.0.0.1 asks: mute"], LIMIT);
    daemon.await_log(&["stdin: muted for 600 s"], LIMIT);
    let bearer = format!("Bearer {VIEWER}");
    let see = |path: &str| ask(&at, "GET", path, &[("Authorization", &bearer)]);
    let away = see("/api/v1/overview").json()["streams"][1]["id"].as_str().unwrap().to_owned();
    // a stream has figures once the first health document is made with it
    await_for("the budget of the start", LIMIT, || {
        let health = &see("/api/v1/overview").json()["health"]["streams"];
        (health["stdin"]["budget_per_hour"] == 1.0).then_some(())
    });
    let budget = request(&at, "budget", r#"{"events_per_hour":2.5}"#, OPERATOR);
    assert_eq!(budget.code, 200, "{}", budget.body);
    daemon.await_log(&["the budget is 2.5 events an hour"], LIMIT);
    // each stream says the budget that is in force for it
    await_for("the new budget", LIMIT, || {
        let streams = &see("/api/v1/overview").json()["health"]["streams"];
        let budgets = ["stdin", &away].map(|id| streams[id]["budget_per_hour"].as_f64().unwrap());
        (budgets == [2.5, 1.0]).then_some(())
    });
    let row = "cpc_stream_budget_events_per_hour{stream=\"stdin\"} 2.5\n";
    assert!(see("/metrics").body.contains(row));
    let again = request(&at, "recalibrate", "{}", OPERATOR);
    assert_eq!(again.code, 200, "{}", again.body);
    daemon.await_log(&["stdin: calibrating again, on request"], LIMIT);
    // a daemon whose sources cannot be read again refuses, and says why
    let reload = request(&at, "reload", "{}", OPERATOR);
    assert!(reload.code == 200 || reload.code == 400, "{} {}", reload.code, reload.body);

    for (command, body, token, code, word) in [
        ("mute", r#"{"stream":"attic","seconds":600}"#, OPERATOR, 400, "no stream attic"),
        (
            "budget",
            &format!(r#"{{"stream":"{away}","events_per_hour":2}}"#),
            OPERATOR,
            400,
            "not connected yet",
        ),
        ("mute", r#"{"seconds":1000000}"#, OPERATOR, 400, "86400"),
        ("budget", "{", OPERATOR, 400, "the request is"),
        ("listen", "{}", OPERATOR, 404, "ack-event"),
        ("mute", r#"{"seconds":600}"#, VIEWER, 403, "operator_token_file"),
        ("mute", r#"{"seconds":600}"#, "guess-0123456789abc", 401, "token"),
    ] {
        let answer = request(&at, command, body, token);
        assert!(answer.code == code && answer.body.contains(word), "{command} {body}: {answer:?}");
    }
    let bearer = format!("Bearer {OPERATOR}");
    assert_eq!(ask(&at, "GET", "/api/v1/request/mute", &[("Authorization", &bearer)]).code, 405);
    assert_eq!(get(&at, "/api/v1/overview").code, 401);
    #[cfg(feature = "mqtt")]
    a_broker_that_is_away_is_a_fault(home.path(), &at, &see);
    drop(stdin);
    daemon.signal("TERM");
    daemon.finish(LIMIT);
}

/// After some seconds, with the reason, the time and what waits; `health --strict` fails for it.
#[cfg(feature = "mqtt")]
fn a_broker_that_is_away_is_a_fault(home: &Path, at: &str, see: &dyn Fn(&str) -> Answer) {
    let said = await_for("the fault", LIMIT, || {
        let said = see("/api/v1/overview").json();
        said["faults"].to_string().contains("the broker 127.0.0.1:9 is away (").then_some(said)
    });
    let broker = &said["health"]["broker"];
    let [reason, since] = ["reason", "since"].map(|key| broker[key].as_str().unwrap());
    let waiting = said["health"]["events_pending"].as_u64().unwrap();
    let fault = broker["faults"][0].as_str().unwrap();
    assert!(fault.contains(&format!("({reason}, since {since}); {waiting} document")), "{fault}");
    assert!(reason.to_lowercase().contains("refused"), "{fault}");
    let metrics = see("/metrics").body;
    let away = metrics.split("\ncpc_stream_broker_away_seconds ").nth(1).unwrap().lines().next().unwrap();
    assert!(away.parse::<f64>().unwrap() >= 10.0, "{away}");
    let mut health = program(home);
    health
        .args(["health", "--http", at, "--strict"])
        .env("CPC_STREAM_HTTP__TOKEN_FILE", home.join("viewers"))
        .stdin(Stdio::null());
    let outcome = Daemon::start(&mut health).finish(LIMIT);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!((outcome.stdout + &outcome.stderr).contains("the broker 127.0.0.1:9 is away"));
}
