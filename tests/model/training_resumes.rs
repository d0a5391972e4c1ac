//! A run that is killed or stopped goes on from its checkpoint and ends with the model that it would have made.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, lab, lab_program};
use crate::support::sound::{teachable, write_wav};
use candle_core::Device;
use cpc_stream::internal::model::load;

const LIMIT: Duration = Duration::from_secs(240);
/// Everything that a run can remember takes part.
const SETTINGS: &str = "\
architecture = \"spectral\"
steps = 40
batch = 4
compose = \"same_speaker\"
compose_windows = 3
anchors = 8
site_seconds = 5
hold_out = 0.2
validate_every = 15
validate_windows = 4
checkpoint_minutes = 0.00001
[negatives]
cross = 16
queue = 24
foreign = 1
[queue]
size = 300
momentum = 0.9
[augment]
pitch = 0.5
reverb = 0.5
noise = 0.5
band_reject = 0.5
dropout = 0.5
clip = 0.5
microphone_db = 6.0
";

fn corpus(home: &Path) {
    let folder = home.join("corpus");
    std::fs::create_dir(&folder).unwrap();
    let mut manifest = "file,split,set,speaker\n".to_owned();
    for number in 0..12 {
        write_wav(&folder.join(format!("{number:02}.wav")), &teachable(number), 16_000);
        manifest += &format!("{number:02}.wav,train,sounds,{}\n", number % 3);
    }
    // recordings of their own, not one a speaker
    manifest = manifest.replace(",0\n", ",\n").replace(",1\n", ",\n").replace(",2\n", ",\n");
    std::fs::write(folder.join("manifest.csv"), manifest).unwrap();
    std::fs::write(home.join("small.toml"), SETTINGS).unwrap();
}

fn arguments<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let all =
        ["train", "--data", "corpus/manifest.csv", "--out", out, "--config", "small.toml", "--threads", "1"];
    all.iter().chain(more).copied().collect()
}

fn hash(home: &Path, out: &str) -> String {
    load(&home.join(out), &Device::Cpu).unwrap().0.sha256
}

/// Steps in the log of the run.
fn logged(home: &Path, out: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(home.join(out).with_extension("log.jsonl")).unwrap_or_default();
    let step = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?.get("step")?.as_u64();
    text.lines().filter_map(step).collect()
}

fn start(home: &Path, out: &str, until: u64) -> Daemon {
    let mut command = lab_program(home);
    let running = Daemon::start(command.args(arguments(out, &[])).stdin(Stdio::null()));
    await_for("steps in the log", LIMIT, || logged(home, out).last().copied().filter(|&step| step >= until));
    running
}

#[test]
fn a_run_that_was_killed_or_stopped_makes_the_same_model() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    corpus(home);
    let whole = lab(home, &arguments("whole.safetensors", &[]), LIMIT);
    assert_eq!(whole.code, Some(0), "{}\n{}", whole.stdout, whole.stderr);
    assert!(!home.join("whole.checkpoint").exists(), "a finished run leaves no checkpoint");
    assert!(std::fs::read_to_string(home.join("whole.svg")).unwrap().contains("InfoNCE loss"));
    let expected = hash(home, "whole.safetensors");

    start(home, "killed.safetensors", 20).kill();
    assert!(home.join("killed.checkpoint").exists());
    let again = lab(home, &arguments("killed.safetensors", &[]), LIMIT);
    assert_eq!(again.code, Some(2), "an unfinished run is not overwritten by accident");
    assert!(again.stderr.contains("--resume"), "{}", again.stderr);
    let resumed = lab(home, &arguments("killed.safetensors", &["--resume"]), LIMIT);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert!(resumed.stdout.contains("goes on after step"), "{}", resumed.stdout);
    assert_eq!(hash(home, "killed.safetensors"), expected);
    assert_eq!(logged(home, "killed.safetensors"), logged(home, "whole.safetensors"));

    let stopped = start(home, "stopped.safetensors", 10);
    let (outcome, _) = stopped.stop(LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("`--resume` goes on"), "{}", outcome.stdout);
    let resumed = lab(home, &arguments("stopped.safetensors", &["--resume"]), LIMIT);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert_eq!(hash(home, "stopped.safetensors"), expected);
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    corpus(home);
    let running = start(home, "some.safetensors", 1);
    signal_and_wait(running);
    let other = lab(home, &arguments("some.safetensors", &["--resume", "--seed", "9"]), LIMIT);
    assert_eq!(other.code, Some(2), "{}", other.stdout);
    assert!(other.stderr.contains("other settings"), "{}", other.stderr);
    let none = lab(home, &arguments("none.safetensors", &["--resume"]), LIMIT);
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("no checkpoint"), "{}", none.stderr);
    let path = home.join("some.checkpoint");
    let half = std::fs::read(&path).unwrap();
    std::fs::write(&path, &half[..half.len() / 2]).unwrap();
    let torn = lab(home, &arguments("some.safetensors", &["--resume"]), LIMIT);
    assert_eq!(torn.code, Some(4), "{}", torn.stdout);
    assert!(torn.stderr.contains("checkpoint"), "{}", torn.stderr);
}

fn signal_and_wait(running: Daemon) {
    let (outcome, _) = running.stop(LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}
