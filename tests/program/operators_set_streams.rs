//! Operators mute streams, set budgets and calibrate again over HTTP, with the commands of MQTT; nobody else does.
#![cfg(feature = "http")]

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

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
    let budget = request(&at, "budget", r#"{"events_per_hour":2.5}"#, OPERATOR);
    assert_eq!(budget.code, 200, "{}", budget.body);
    daemon.await_log(&["the budget is 2.5 events an hour"], LIMIT);
    let again = request(&at, "recalibrate", "{}", OPERATOR);
    assert_eq!(again.code, 200, "{}", again.body);
    daemon.await_log(&["stdin: calibrating again, on request"], LIMIT);
    // a daemon whose sources cannot be read again refuses, and says why
    let reload = request(&at, "reload", "{}", OPERATOR);
    assert!(reload.code == 200 || reload.code == 400, "{} {}", reload.code, reload.body);

    for (command, body, token, code, word) in [
        ("mute", r#"{"stream":"attic","seconds":600}"#, OPERATOR, 400, "no stream attic"),
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
    drop(stdin);
    daemon.signal("TERM");
    daemon.finish(LIMIT);
}
