//! What cannot work is refused with one line of cause, one line of fix and the documented exit code (docs/operate.md).

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::daemon::{Daemon, Outcome, program, run};
use crate::support::sound::write_wav;

const LIMIT: Duration = Duration::from_secs(20);
const NOBODY: &str = "mqtt://127.0.0.1:9";

/// The cause of a refusal in the right form.
fn cause(what: &str, outcome: &Outcome, code: i32) -> String {
    let text = &outcome.stderr;
    assert_eq!(outcome.code, Some(code), "{what}: {text}");
    let told: Vec<&str> =
        text.lines().filter(|line| !line.contains(" INFO ") && !line.contains(" WARN ")).collect();
    let [cause, fix] = told.as_slice() else { panic!("{what}: not two lines: {text}") };
    let cause = cause.strip_prefix("error: ").unwrap_or_else(|| panic!("{what}: {text}"));
    let fix = fix.trim_start().strip_prefix("fix: ").unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(!cause.trim().is_empty() && !fix.trim().is_empty(), "{what}: {text}");
    assert!(!text.contains("panicked") && !text.contains("backtrace"), "{what}: {text}");
    cause.to_owned()
}

fn refused(home: &Path, arguments: &[&str], code: i32, word: &str) {
    let what = arguments.join(" ");
    let cause = cause(&what, &run(home, arguments, LIMIT), code);
    assert!(cause.contains(word), "{what}: {cause:?} does not say {word:?}");
}

/// A second of noise in `room.wav`.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let noise: Vec<i16> =
        (0..16_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as i16 - 2048).collect();
    write_wav(&home.path().join("room.wav"), &noise, 16_000);
    home
}

#[test]
fn usage() {
    let home = home();
    refused(home.path(), &[], 2, "no source");
    refused(home.path(), &["--frob"], 2, "--frob");
    refused(home.path(), &["--devise", "hw:0"], 2, "--devise");
    refused(home.path(), &["--events-per-hour", "many", "--input", "room.wav"], 2, "many");
    refused(home.path(), &["--events-per-hour", "0", "--input", "room.wav"], 2, "--events-per-hour is 0");
    refused(home.path(), &["--input", "-", "--stdin-rate", "5"], 2, "5 Hz");
    for help in ["--help", "--version", "help"] {
        let outcome = run(home.path(), &[help], LIMIT);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
        assert!(outcome.stdout.contains("cpc-stream"));
    }
}

#[test]
fn configuration() {
    let home = home();
    let file = |text: &str| std::fs::write(home.path().join("c.toml"), text).unwrap();
    let with_file = ["--config", "c.toml", "--input", "room.wav"];
    file("node = \"hall\"\n\n[detect]\nevents_per_hours = 3\n");
    refused(home.path(), &with_file, 2, "line 4");
    refused(home.path(), &with_file, 2, "`events_per_hours`");
    file("[detect]\nevents_per_hour = \"many\"\n");
    refused(home.path(), &with_file, 2, "line 2");
    file("[detect]\nevents_per_hour = -1\n");
    refused(home.path(), &with_file, 2, "detect.events_per_hour is -1");
    for (text, told) in [
        ("[[source]]\nstdin = true\n", "expected a table"),
        ("source = 3\n", "expected a list"),
        ("[detect]\nhold_budget = 3\n", "expected true or false"),
    ] {
        file(text);
        refused(home.path(), &["check", "--config", "c.toml"], 2, told);
    }
    file("node = \n");
    refused(home.path(), &with_file, 2, "line 1");
    refused(home.path(), &["--config", "missing.toml"], 2, "missing.toml");
    refused(home.path(), &["--input", "room.wav", "--node", "a/b"], 2, "a/b");
    for (name, value, word) in [
        ("CPC_STREAM_NONSENSE", "1", "NONSENSE"),
        ("CPC_STREAM_DETECT__EVENTS_PER_HOUR", "x", "EVENTS_PER_HOUR"),
    ] {
        let mut command = program(home.path());
        command.args(["--input", "room.wav"]).env(name, value).stdin(Stdio::null());
        let cause = cause(name, &Daemon::start(&mut command).finish(LIMIT), 2);
        assert!(cause.contains(word), "{cause}");
    }
}

#[test]
fn devices() {
    let home = home();
    refused(home.path(), &["--device", "hw0"], 3, "hw0");
    refused(home.path(), &["--device", "hw:77", "--must-exist"], 3, "hw:77");
}

#[test]
fn models() {
    let home = home();
    let good = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/cpc-edge.safetensors")).unwrap();
    let mut flipped = good.clone();
    let last = flipped.len() - 1000;
    flipped[last] ^= 0x10;
    for (name, bytes, word) in [
        ("truncated", &good[..good.len() / 2], "damaged"),
        ("header", &good[..100], "damaged"),
        ("flipped", flipped.as_slice(), "sha256"),
        ("text", b"this is no model\n".repeat(50).as_slice(), "not a safetensors file"),
        ("empty", b"".as_slice(), "not a safetensors file"),
    ] {
        std::fs::write(home.path().join(name), bytes).unwrap();
        refused(home.path(), &["--model", name, "--input", "room.wav", "--fast"], 4, word);
    }
    refused(home.path(), &["--model", "missing", "--input", "room.wav", "--fast"], 4, "missing");
    refused(home.path(), &["--model", ".", "--input", "room.wav", "--fast"], 4, "directory");
}

#[test]
fn files() {
    let home = home();
    write_wav(&home.path().join("header.wav"), &[], 16_000);
    assert_eq!(std::fs::metadata(home.path().join("header.wav")).unwrap().len(), 44);
    std::fs::write(home.path().join("empty.wav"), "").unwrap();
    std::fs::write(home.path().join("text.wav"), "no sound at all\n".repeat(20)).unwrap();
    std::fs::create_dir(home.path().join("folder")).unwrap();
    for (file, word) in [
        ("header.wav", "no samples"),
        ("empty.wav", "0 bytes"),
        ("text.wav", "no audio file"),
        ("folder", "directory"),
        ("missing.wav", "does not exist"),
    ] {
        refused(home.path(), &["--input", file], 3, word);
        refused(home.path(), &["check", "--input", file], 3, word);
    }
    refused(home.path(), &["--input", "room.wav", "--channel", "3"], 3, "channel 3");
    refused(home.path(), &["--input", "-"], 3, "before its first sample");
}

#[test]
fn check_refuses_what_run_refuses_and_says_it_as_json() {
    let home = home();
    refused(home.path(), &["check"], 2, "no source");
    let twice = "[[source]]\nid = \"a\"\ndevice = \"hw:0\"\n[[source]]\nid = \"a\"\ndevice = \"hw:1\"\n";
    std::fs::write(home.path().join("twice.toml"), twice).unwrap();
    refused(home.path(), &["check", "--config", "twice.toml"], 2, "two streams have the id");
    let pipes = "[[source]]\nid = \"a\"\nstdin = {}\n[[source]]\nid = \"b\"\nstdin = {}\n";
    std::fs::write(home.path().join("pipes.toml"), pipes).unwrap();
    for command in ["check", "run"] {
        refused(home.path(), &[command, "--config", "pipes.toml"], 2, "two sources read the standard input");
    }
    let said = |arguments: &[&str]| {
        let outcome = run(home.path(), &[&["check", "--json"], arguments].concat(), LIMIT);
        (outcome.code, serde_json::from_str::<serde_json::Value>(&outcome.stdout).unwrap())
    };
    let (code, well) = said(&["--input", "room.wav", "--node", "hall"]);
    assert_eq!((code, &well["ok"], &well["node"]), (Some(0), &true.into(), &"hall".into()));
    assert_eq!(well["streams"], serde_json::json!(["room"]));
    let (code, wrong) = said(&["--config", "twice.toml"]);
    assert_eq!((code, &wrong["ok"]), (Some(2), &false.into()));
    assert!(
        wrong["error"].as_str().unwrap().contains("two streams")
            && !wrong["fix"].as_str().unwrap().is_empty()
    );
}

#[test]
fn brokers() {
    let home = home();
    refused(home.path(), &["--input", "room.wav", "--broker", "http://localhost"], 2, "scheme");
    refused(home.path(), &["--input", "room.wav", "--broker", "mqtt://ear:secret@host"], 2, "password");
    refused(home.path(), &["watch", "--broker", NOBODY], 5, "127.0.0.1:9");
}

#[test]
fn state_folders() {
    let home = home();
    let start = ["--input", "room.wav", "--broker", NOBODY, "--state-dir"];
    refused(home.path(), &[start.as_slice(), &["room.wav"]].concat(), 2, "room.wav");
    refused(home.path(), &[start.as_slice(), &["/proc/nowhere"]].concat(), 2, "/proc/nowhere");

    let mut command = program(home.path());
    command.args(["--input", "-", "--broker", NOBODY, "--state-dir", "shared"]).stdin(Stdio::piped());
    let mut first = Daemon::start(&mut command);
    let _open = first.stdin();
    first.await_log(&["stdin"], LIMIT);
    refused(home.path(), &[start.as_slice(), &["shared"]].concat(), 2, "another process");
    assert!(first.runs(), "the first one was disturbed");
}

/// Samples that are no numbers are silence, counted; nothing else comes of them.
#[test]
fn samples_that_are_not_finite() {
    let home = home();
    let mut command = program(home.path());
    command
        .args(["--input", "-", "--stdin-float", "--calibrate-seconds", "10", "--events-per-hour", "10"])
        .stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let mut pipe = daemon.stdin();
    let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5;
    let (seconds, mut bad) = (20, 0);
    let sound = (0..seconds * 16_000u32).map(|i| match i % 4001 {
        17 => f32::NAN,
        18 => f32::INFINITY,
        19 => f32::NEG_INFINITY,
        _ => 0.1 * noise(i),
    });
    let bytes: Vec<u8> =
        sound.inspect(|x| bad += u32::from(!x.is_finite())).flat_map(f32::to_le_bytes).collect();
    pipe.write_all(&bytes).unwrap();
    drop(pipe);
    let outcome = daemon.finish(Duration::from_secs(60));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(&format!("{} samples scored", seconds * 16_000)), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(&format!("{bad} samples were not finite")), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("calibrated on 10 s"), "{}", outcome.stderr);
    assert!(!outcome.stdout.to_lowercase().contains("nan"), "{}", outcome.stdout);
}

/// Whoever reads has read enough: no failure, no panic.
#[test]
fn a_closed_stdout() {
    let home = home();
    let mut command = program(home.path());
    command.args(["config", "show"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
