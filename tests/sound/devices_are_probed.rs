//! `devices probe` says what a microphone gives: through the real capture path.
#![cfg(feature = "capture")]

use std::process::Stdio;
use std::time::Duration;

use crate::support::daemon::{Daemon, Outcome, program};
use crate::support::microphone::TestMicrophone;

fn probe(level: f32, more: &[&str]) -> Outcome {
    let samples: Vec<i16> =
        (0..48_000 * 20).map(|i| (level * 32_000.0 * (i as f32 * 0.05).sin()) as i16).collect();
    let microphone = TestMicrophone::start(&samples, 48_000, 1);
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command.envs(microphone.env()).args(["devices", "probe", "hw:0", "--seconds", "1"]).args(more);
    Daemon::start(command.stdin(Stdio::null())).finish(Duration::from_secs(60))
}

#[test]
fn a_working_and_a_muted_microphone_are_told_apart() {
    let heard = probe(0.1, &[]);
    assert_eq!(heard.code, Some(0), "{}", heard.stderr);
    assert!(heard.stdout.contains("hw:0: fine"), "{}", heard.stdout);
    assert!(heard.stdout.contains("48000 Hz") && heard.stdout.contains("level -23"), "{}", heard.stdout);
    let muted = probe(0.0, &[]);
    assert_eq!(muted.code, Some(3), "{}", muted.stdout);
    assert!(
        muted.stdout.contains("digital silence") && muted.stderr.contains("alsamixer"),
        "{}",
        muted.stdout
    );
    let missing = probe(0.1, &["hw:77"]);
    assert_eq!(missing.code, Some(0), "one of the two gives sound");
    assert!(
        missing.stdout.contains("hw:77: ") && missing.stdout.contains("hw:0: fine"),
        "{}",
        missing.stdout
    );
}
