//! The sound of an event leaves over HTTP where clips are kept and an operator token is set, to who shows that token; never otherwise.
#![cfg(feature = "http")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, program};
use crate::support::http::{Answer, address, ask, get};
use crate::support::sound::{bytes, whistles};

const LIMIT: Duration = Duration::from_secs(60);
const OPERATOR: &str = "operators-0123456789";
const VIEWER: &str = "viewers-0123456789";

/// A daemon that hears its standard input, with these variables, and where its page is.
fn start(home: &Path, variables: &[(&str, &str)]) -> (Daemon, String) {
    let mut command = program(home);
    command
        .args(["--input", "-", "--http", "127.0.0.1:0", "--events-per-hour", "60"])
        .args(["--calibrate-seconds", "12"])
        .env("CPC_STREAM_SNAPSHOTS__SPECTROGRAM", "true")
        .envs(variables.iter().map(|(key, value)| (format!("CPC_STREAM_{key}"), *value)))
        .stdin(Stdio::piped());
    let daemon = Daemon::start(&mut command);
    let at = address(&daemon);
    (daemon, at)
}

fn clip(at: &str, id: &str, token: Option<&str>) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
    ask(at, "GET", &format!("/api/v1/events/{id}/clip"), &headers)
}

/// No sound, but this code and a reason with this word.
fn refused(answer: &Answer, code: u16, word: &str) {
    assert!(answer.code == code && answer.body.contains(word), "{code} and {word:?} expected: {answer:?}");
    assert!(!answer.body.contains("RIFF"), "{answer:?}");
}

#[test]
fn a_clip_is_given_to_operators_where_clips_are_kept_and_else_to_nobody() {
    let home = tempfile::tempdir().unwrap();
    for (name, token) in [("operators", OPERATOR), ("viewers", VIEWER)] {
        fs::write(home.path().join(name), format!("{token}\n")).unwrap();
    }
    let operators = ("HTTP__OPERATOR_TOKEN_FILE", "operators");
    let (viewers, clips) = (("HTTP__TOKEN_FILE", "viewers"), ("SNAPSHOTS__CLIP", "true"));

    let (mut daemon, at) = start(home.path(), &[operators, viewers, clips]);
    let mut stdin = daemon.stdin();
    stdin.write_all(&bytes(&whistles(30, 14))).unwrap();
    let viewer = [("Authorization", format!("Bearer {VIEWER}"))];
    let viewer: Vec<(&str, &str)> = viewer.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let id = await_for("an event that is over", LIMIT, || {
        let events = ask(&at, "GET", "/api/v1/events", &viewer).json()["events"].clone();
        let over = events.as_array().unwrap().iter().rev().find(|event| event["phase"] == "end")?;
        Some(over["id"].as_str().unwrap().to_owned())
    });
    let file = home.path().join(format!("state/cpc-stream/events/stdin/{id}.wav"));
    let heard = await_for("its clip", LIMIT, || {
        let answer = clip(&at, &id, Some(OPERATOR));
        (answer.code == 200).then_some(answer)
    });
    assert!(heard.body.starts_with("RIFF") && heard.body.contains("WAVEfmt"));
    let length = fs::metadata(&file).map(|file| format!("content-length: {}", file.len())).unwrap();
    for header in [length.as_str(), "content-type: audio/wav", "cache-control: no-store"] {
        assert!(heard.head.contains(header), "{header}: {}", heard.head);
    }
    daemon.await_log(&["an operator at 127.0.0.1 listens to the clip of event", &id, "of stdin"], LIMIT);
    refused(&clip(&at, &id, Some(VIEWER)), 403, "only operators");
    refused(&clip(&at, &id, None), 401, "token");
    refused(&clip(&at, &id, Some("guess-0123456789abc")), 401, "token");
    refused(&clip(&at, "01J00000000000000000000000", Some(OPERATOR)), 404, "no such event");
    refused(&clip(&at, "..%2f..%2foperators", Some(OPERATOR)), 404, "no such event");
    fs::remove_file(&file).unwrap();
    refused(&clip(&at, &id, Some(OPERATOR)), 404, "no clip of that event");
    fs::write(&file, "RIFF of before").unwrap();
    daemon.kill();

    // without an operator token nobody listens, whatever is on the disk
    let (daemon, at) = start(home.path(), &[viewers, clips]);
    refused(&clip(&at, &id, Some(VIEWER)), 403, "operator_token_file");
    refused(&clip(&at, &id, Some(OPERATOR)), 401, "token");
    daemon.kill();

    // where no clips are kept any more, those of before stay where they are; a proxy's users are no operators
    let proxy = ("HTTP__TRUSTED_PROXIES", r#"["127.0.0.1"]"#);
    let (daemon, at) = start(home.path(), &[operators, viewers, proxy]);
    assert_eq!(get(&at, "/api/v1/overview").json()["clips"], false);
    refused(&clip(&at, &id, Some(OPERATOR)), 404, "no clips are kept");
    refused(&clip(&at, &id, None), 403, "only operators");
    let (outcome, _) = daemon.stop(LIMIT);
    assert!(!outcome.stderr.contains("listens to the clip"), "{}", outcome.stderr);
}
