//! `outbox verify` and `outbox export`: what waits for the broker, seen while the daemon does not run.
#![cfg(feature = "mqtt")]

use std::process::Stdio;
use std::time::Duration;

use crate::support::daemon::{Daemon, Outcome, program, run};
use cpc_stream::internal::publish::{Message, Outbox, OutboxLimits};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(30);
const NOBODY: &str = "mqtt://127.0.0.1:9";

fn fill(dir: &std::path::Path, count: u64, payload: impl Fn(u64) -> String) {
    let caps = OutboxLimits { max_bytes: 1 << 30, max_age: Duration::from_secs(1 << 20) };
    let mut outbox = Outbox::open(dir, caps).unwrap();
    let stream = |n: u64| ["hall", "yard"][(n % 2) as usize];
    let message = |n: u64| Message {
        topic: format!("t/n/{}/event", stream(n)),
        stream: stream(n).to_owned(),
        payload: payload(n).into_bytes(),
    };
    outbox.append(&(0..count).map(message).collect::<Vec<_>>()).unwrap();
    for record in outbox.take(2).unwrap() {
        outbox.ack(record.seq);
    }
    outbox.flush().unwrap();
}

fn refused(outcome: &Outcome, code: i32, word: &str) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert!(outcome.stderr.contains("error: ") && outcome.stderr.contains("fix: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
}

#[test]
fn a_sound_outbox_is_counted_and_written_out_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("s");
    fill(&dir, 50, |n| format!("{{\"seq\":{n}}}"));
    for _ in 0..2 {
        let seen = run(home.path(), &["outbox", "verify", "--state-dir", "s"], LONG);
        assert_eq!(seen.code, Some(0), "{}", seen.stderr);
        for line in [
            "accepted 50 = acknowledged 2 + pending 48 + dropped 0",
            "pending: 48 documents (0 of them gaps)",
            "  hall: 24",
            "ok",
        ] {
            assert!(seen.stdout.lines().any(|l| l.starts_with(line)), "{line}: {}", seen.stdout);
        }
        let out = run(home.path(), &["outbox", "export", "--state-dir", "s"], LONG);
        assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""));
        let lines: Vec<Value> = out.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let seqs: Vec<u64> = lines.iter().map(|line| line["payload"]["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (2..50).collect::<Vec<_>>());
        assert_eq!((&lines[0]["stream"], &lines[0]["kind"]), (&"hall".into(), &"event".into()));
    }
    let told = run(home.path(), &["outbox", "export", "--state-dir", "s", "--out", "f.jsonl"], LONG);
    assert!(told.stdout.contains("48 documents in f.jsonl"), "{told:?}");
    assert_eq!(std::fs::read_to_string(home.path().join("f.jsonl")).unwrap().lines().count(), 48);
    refused(&run(home.path(), &["outbox", "export", "--state-dir", "s", "--out", "no/f"], LONG), 2, "no/f");
}

#[test]
fn faults_have_an_exit_code() {
    let home = tempfile::tempdir().unwrap();
    refused(&run(home.path(), &["outbox", "verify", "--state-dir", "nowhere"], LONG), 2, "no outbox");
    assert!(!home.path().join("nowhere").exists(), "looking makes nothing");
    let dir = home.path().join("s");
    fill(&dir, 10, |n| if n == 7 { "no document".to_owned() } else { "{}".to_owned() });
    refused(&run(home.path(), &["outbox", "verify", "--state-dir", "s"], LONG), 5, "no JSON document");
    let out = run(home.path(), &["outbox", "export", "--state-dir", "s"], LONG);
    assert!(out.stdout.contains(r#""payload":"no document""#), "what can be read is written out");

    let path = dir.join("outbox.redb");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    for command in ["verify", "export"] {
        refused(&run(home.path(), &["outbox", command, "--state-dir", "s"], LONG), 5, "damaged");
    }
    assert!(path.exists(), "looking moves nothing");
}

#[test]
fn a_running_daemon_is_not_disturbed() {
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.args(["--input", "-", "--broker", NOBODY, "--state-dir", "s"]).stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let _open = daemon.stdin();
    daemon.await_log(&["stdin"], LONG);
    for command in ["verify", "export"] {
        refused(
            &run(home.path(), &["outbox", command, "--state-dir", "s"], LONG),
            2,
            "holds the lock on the outbox",
        );
    }
    assert!(daemon.runs());
}

/// A day of events is read in the memory of a few.
#[test]
fn memory_does_not_grow_with_the_outbox() {
    let home = tempfile::tempdir().unwrap();
    fill(&home.path().join("s"), 40_000, |n| format!("{{\"seq\":{n},\"more\":\"{}\"}}", "x".repeat(900)));
    let mut command = program(home.path());
    command.args(["outbox", "export", "--state-dir", "s", "--out", "f"]).stdin(Stdio::null());
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", "ulimit -d 24576; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let outcome = Daemon::start(limited.current_dir(home.path()).stdin(Stdio::null())).finish(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(std::fs::metadata(home.path().join("f")).unwrap().len() > 36 << 20);
}
