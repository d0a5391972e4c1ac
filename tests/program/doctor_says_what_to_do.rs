//! `doctor` over real faults: each is named with what to do, the exit code is that of the first, and nothing is disturbed.
#![cfg(all(feature = "mqtt", feature = "http"))]

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, Outcome, program, run};
use crate::support::events::event;
use crate::support::http::address;
use crate::support::sound::{bytes, whistles};
use cpc_stream::internal::publish::{Outgoing, PublishConfig, Publisher};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// What doctor says in JSON, after its exit code was found to be the one that it names.
fn doctor(home: &Path, arguments: &[&str]) -> Value {
    let outcome = run(home, &[&["doctor", "--json"], arguments].concat(), LIMIT);
    said(&outcome)
}

fn said(outcome: &Outcome) -> Value {
    let said: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {outcome:?}"));
    assert_eq!(outcome.code, said["exit_code"].as_i64().map(|code| code as i32), "{outcome:?}");
    assert_eq!(outcome.code == Some(0), outcome.stderr.is_empty(), "{outcome:?}");
    said
}

fn finding<'a>(said: &'a Value, check: &str) -> &'a Value {
    let all = said["findings"].as_array().unwrap();
    all.iter().find(|f| f["check"] == check).unwrap_or_else(|| panic!("nothing about {check} in {said:#}"))
}

fn level(said: &Value, check: &str) -> String {
    finding(said, check)["level"].as_str().unwrap().to_owned()
}

fn has(said: &Value, check: &str, key: &str, word: &str) {
    let text = finding(said, check)[key].as_str().unwrap_or_default();
    assert!(text.contains(word), "{check}: no {word:?} in {key} {text:?}");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn without_a_configuration_the_first_steps_are_printed() {
    let home = tempfile::tempdir().unwrap();
    let outcome = run(home.path(), &["doctor"], LIMIT);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for word in [
        "warn  configuration: ",
        "fix: ",
        "ok    model: cpc-edge",
        "First steps:",
        "cpc-stream demo",
        "0 failed",
    ] {
        assert!(outcome.stdout.contains(word), "{word}: {}", outcome.stdout);
    }
    // looking leaves nothing behind
    assert!(!home.path().join("state").exists());
    let said = doctor(home.path(), &[]);
    assert!(said["first_steps"].as_array().unwrap().len() > 3, "{said:#}");
    for (check, key, word) in [
        ("broker", "text", "stdout"),
        ("page", "text", "none is asked for"),
        ("real-time priority", "text", "not asked for"),
        ("GPU", "text", "not asked for"),
        ("speed", "text", "1 stream"),
        ("state folder", "text", "to be made"),
    ] {
        has(&said, check, key, word);
    }
}

#[test]
fn each_fault_has_its_exit_code_and_its_fix() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("no-model"), "no model").unwrap();
    let nobody = format!("mqtt://127.0.0.1:{}", free_port());
    let mut faults = vec![
        (vec!["--input", "-", "--state-dir", "/proc/nowhere"], 2, "state folder", "state_dir"),
        (vec!["--input", "-", "--model", "no-model"], 4, "model", ""),
        (vec!["--input", "missing.wav"], 3, "file missing.wav", ""),
        (vec!["--input", "-", "--broker", &nobody], 5, "broker", "start the broker"),
        (vec!["--input", "-", "--config", "missing.toml"], 2, "configuration", "--config"),
    ];
    if cfg!(feature = "capture") {
        faults.push((vec!["--device", "hw:77"], 3, "device hw:77", ""));
    }
    for (arguments, code, check, fix) in faults {
        let said = doctor(home.path(), &arguments);
        assert_eq!(said["exit_code"], code, "{said:#}");
        assert_eq!((level(&said, check).as_str(), &said["failures"]), ("fail", &1.into()), "{said:#}");
        has(&said, check, "fix", fix);
        assert!(!finding(&said, check)["fix"].as_str().unwrap().is_empty());
    }
    // of several the first decides, and all are told
    let outcome = run(
        home.path(),
        &[
            "doctor",
            "--input",
            "-",
            "--model",
            "no-model",
            "--broker",
            &nobody,
            "--state-dir",
            "/proc/nowhere",
        ],
        LIMIT,
    );
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("state folder") && outcome.stderr.contains("(and 2 more)"),
        "{outcome:?}"
    );
    for check in ["fail  state folder", "fail  model", "fail  broker"] {
        assert!(outcome.stdout.contains(check), "{check}: {}", outcome.stdout);
    }
}

#[test]
fn a_wrong_line_is_named_and_the_rest_left() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("c.toml"), "node = \"hall\"\n[publish]\nbrokr = \"x\"\n").unwrap();
    let said = doctor(home.path(), &["--config", "c.toml"]);
    assert_eq!(said["exit_code"], 2);
    has(&said, "configuration", "text", "line 3");
    assert_eq!(level(&said, "the rest"), "warn");
    finding(&said, "clock");
    // an address for others without a token
    let said = doctor(home.path(), &["--input", "-", "--http", "0.0.0.0:8099"]);
    assert_eq!(said["exit_code"], 2);
    has(&said, "configuration", "text", "can be reached by other machines");
    has(&said, "configuration", "fix", "token_file");
}

#[test]
fn a_healthy_installation_passes_beside_its_daemon() {
    let home = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let config = format!(
        "node = \"hall\"\nstate_dir = \"{}/kept\"\n[publish]\nbroker = \"{}\"\n[http]\nlisten = \"{}\"\n\
         [[source]]\nid = \"pipe\"\nstdin = {{}}\n",
        home.path().display(),
        broker.url(),
        free_port()
    );
    std::fs::write(home.path().join("c.toml"), config).unwrap();
    let before = doctor(home.path(), &["--config", "c.toml"]);
    assert_eq!(before["exit_code"], 0, "{before:#}");
    has(&before, "state folder", "text", "nobody uses it");
    has(&before, "outbox", "text", "none yet");
    has(&before, "broker", "text", "came back");
    has(&before, "page", "text", "for this machine only");

    let status = broker.subscribe("cpc-stream/hall/status");
    let mut daemon = Daemon::start(program(home.path()).args(["--config", "c.toml"]).stdin(Stdio::piped()));
    let mut pipe = daemon.stdin();
    pipe.write_all(&bytes(&whistles(2, 1))).unwrap();
    address(&daemon);
    assert_eq!(status.next("/status", LIMIT).payload, "online");
    let beside = doctor(home.path(), &["--config", "c.toml"]);
    assert_eq!(beside["exit_code"], 0, "{beside:#}");
    has(&beside, "state folder", "text", &daemon.id().to_string());
    has(&beside, "outbox", "text", "in use by the daemon");
    assert_ne!(level(&beside, "daemon"), "fail");
    assert_eq!(status.rest(), [], "the daemon was not thrown out");
    assert!(daemon.runs());
    drop(pipe);
    daemon.finish(LIMIT);

    // somebody else on the port of the page
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = doctor(home.path(), &["--input", "-", "--http", &port]);
    assert_eq!(said["exit_code"], 2, "{said:#}");
    has(&said, "page", "text", "another program listens");
}

#[test]
fn pending_and_damaged_outboxes_are_reported() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("kept");
    let nobody = format!("mqtt://127.0.0.1:{}", free_port());
    let config = PublishConfig { broker: Some(nobody.clone()), ..PublishConfig::default() };
    let publisher = Publisher::start(&config, "hall", &state).unwrap();
    for seq in 0..2 {
        assert!(publisher.sender().try_send(Outgoing::Event(Box::new(event("mic", seq)))));
    }
    assert!(publisher.flush_durable(LIMIT));
    let _ = publisher.stop(Duration::ZERO);
    let broker = Broker::start();
    let url = broker.url();
    let arguments = ["--input", "-", "--broker", &url, "--state-dir", "kept"];
    let said = doctor(home.path(), &arguments);
    assert_eq!(said["exit_code"], 0, "{said:#}");
    has(&said, "outbox", "text", "2 documents waiting");
    // looking takes nothing out
    let again = doctor(home.path(), &arguments);
    assert_eq!(finding(&again, "outbox"), finding(&said, "outbox"));
    std::fs::write(state.join("outbox.redb"), vec![7; 8192]).unwrap();
    let said = doctor(home.path(), &arguments);
    assert_eq!(said["exit_code"], 5, "{said:#}");
    assert_eq!(level(&said, "outbox"), "fail");
}

#[test]
fn cameras_need_ffmpeg() {
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.args(["doctor", "--json", "--url", "rtsp://camera.invalid/live"]).env("PATH", home.path());
    let said = said(&Daemon::start(command.stdin(Stdio::null())).finish(LIMIT));
    assert_eq!(said["exit_code"], 3, "{said:#}");
    has(&said, "ffmpeg", "fix", "apt-get install ffmpeg");
    let without = doctor(home.path(), &["--url", "tcp://127.0.0.1:9"]);
    assert!(without["findings"].as_array().unwrap().iter().all(|f| f["check"] != "ffmpeg"), "{without:#}");
}

#[cfg(feature = "capture")]
#[test]
fn a_microphone_is_captured() {
    use crate::support::microphone::TestMicrophone;

    for (loudness, silent) in [(0.1, false), (0.0, true)] {
        let samples: Vec<i16> =
            (0..48_000 * 20).map(|i| (loudness * 32_000.0 * (i as f32 * 0.05).sin()) as i16).collect();
        let microphone = TestMicrophone::start(&samples, 48_000, 1);
        let home = tempfile::tempdir().unwrap();
        let mut command = program(home.path());
        command.envs(microphone.env()).args(["doctor", "--json", "--device", "hw:0"]);
        let said = said(&Daemon::start(command.stdin(Stdio::null())).finish(LIMIT));
        assert_eq!(said["exit_code"], 0, "{said:#}");
        has(&said, "device hw:0", "text", "48000 Hz");
        // a busy machine may lose samples, and says so
        let text = finding(&said, "device hw:0")["text"].as_str().unwrap();
        assert_eq!(text.contains("digital silence"), silent, "{said:#}");
        assert!(!silent || level(&said, "device hw:0") == "warn", "{said:#}");
    }
}
