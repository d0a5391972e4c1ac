//! `cpc-lab` refuses bad input as `cpc-stream` does, and commands of before lead to it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::daemon::{Daemon, Outcome, lab, lab_program, run};
use crate::support::sound::write_wav;

const LIMIT: Duration = Duration::from_secs(60);

/// A second of noise in `room.wav`.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let noise: Vec<i16> =
        (0..16_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as i16 - 2048).collect();
    write_wav(&home.path().join("room.wav"), &noise, 16_000);
    home
}

fn refused(home: &Path, arguments: &[&str], code: i32, word: &str) {
    let outcome = lab(home, arguments, LIMIT);
    assert_eq!(outcome.code, Some(code), "{arguments:?}: {outcome:?}");
    let [cause, fix] = [word, "fix: "].map(|part| outcome.stderr.contains(part));
    assert!(cause && fix, "{arguments:?}: {outcome:?}");
}

#[test]
fn bad_input() {
    let home = home();
    let home = home.path();
    std::fs::create_dir(home.join("nothing")).unwrap();
    std::fs::write(home.join("t.toml"), "steps = 10\nbatches = 3\n").unwrap();
    std::fs::write(home.join("text"), "this is no model\n".repeat(50)).unwrap();
    assert!(Command::new("mkfifo").arg(home.join("pipe.wav")).status().unwrap().success());
    refused(home, &["train"], 2, "--data");
    refused(home, &["tarin"], 2, "tarin");
    refused(home, &["train", "--data", "nothing", "--out", "m"], 2, "no audio");
    refused(home, &["train", "--data", "missing", "--out", "m"], 2, "missing");
    refused(home, &["train", "--data", ".", "--out", "m"], 2, "1 recording with sound");
    refused(home, &["train", "--data", ".", "--out", "m", "--config", "t.toml"], 2, "batches");
    refused(home, &["eval", "infonce", "--data", ".", "--model", "text"], 4, "text");
    refused(home, &["encode", "pipe.wav", "--out", "f.npy"], 3, "is no regular file");
    refused(home, &["export", "--onnx", "m.pt"], 2, "neither a folder");
    refused(home, &["export", "--onnx", "m.onnx", "--model", "text"], 4, "text");
    let Outcome { code, stdout, .. } = lab(home, &["--help"], LIMIT);
    assert_eq!(code, Some(0));
    for command in ["train", "eval", "import", "export", "encode"] {
        assert!(stdout.contains(&format!("\n  {command} ")), "{stdout}");
    }
}

#[test]
fn a_pipe_without_a_writer_does_not_delay_the_stop() {
    let home = home();
    let arguments = ["encode", "/dev/stdin", "--out", "f.npy"];
    let mut daemon = Daemon::start(lab_program(home.path()).args(arguments).stdin(Stdio::piped()));
    let mut open = daemon.stdin();
    open.flush().unwrap();
    // long enough to be where it waits; a stop before that ends it as well
    thread::sleep(Duration::from_secs(2));
    let (outcome, took) = daemon.stop(LIMIT);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("asked to stop") && took < LIMIT / 4, "{took:?} {outcome:?}");
}

/// `cpc-stream encode` runs `cpc-lab encode` beside it with a warning, and says what to install where there is none.
#[test]
fn commands_of_before_lead_to_the_lab() {
    let home = home();
    let outcome = run(home.path(), &["encode", "room.wav", "--out", "f.safetensors"], LIMIT);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("`cpc-lab encode`"), "{outcome:?}");
    assert!(home.path().join("f.safetensors").exists(), "{outcome:?}");
    let outcome = run(home.path(), &["train", "--data", "missing", "--out", "m"], LIMIT);
    assert!(outcome.code == Some(2) && outcome.stderr.contains("missing"), "{outcome:?}");

    let alone = home.path().join("cpc-stream");
    std::fs::copy(env!("CARGO_BIN_EXE_cpc-stream"), &alone).unwrap();
    for command in ["train", "eval", "import", "encode"] {
        let mut program = Command::new(&alone);
        program.args([command, "--data", "DIR"]).env("PATH", "/nowhere").stdin(Stdio::null());
        let outcome = Daemon::start(&mut program).finish(LIMIT);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(&format!("then `cpc-lab {command}`")), "{outcome:?}");
    }
}
