//! P17: the unit file is one that systemd understands whole, closed to 2.0 or better; with the drop-in for a GPU to 4.0.
//!
//! Skipped, with a line that says so, where there is no `systemd-analyze` (Debian: package systemd).

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Greatest exposure, in tenths: the unit that this program ships must not score above it.
const MOST_EXPOSED: u32 = 20;

/// The same with the drop-in for a GPU.
const MOST_EXPOSED_GPU: u32 = 40;

const INSTALLED: &str = "/usr/bin/cpc-stream";

fn unit() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/cpc-stream.service"))
}

/// The output of `systemd-analyze`; none where the machine has none.
fn analyze(arguments: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("skipped: systemd-analyze: {error}");
            None
        }
    }
}

/// Runs `verify` on `text` as a unit whose program is the one built here, and gives all that it says.
fn complaints(text: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cpc-stream.service");
    fs::write(&file, text.replace(INSTALLED, env!("CARGO_BIN_EXE_cpc-stream"))).unwrap();
    let output = analyze(&["verify", "--man=no", file.to_str().unwrap()])?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Some(if output.status.success() { said.into_owned() } else { format!("{}: {said}", output.status) })
}

#[test]
fn systemd_has_nothing_to_say_about_the_unit() {
    let text = fs::read_to_string(unit()).unwrap();
    assert!(text.contains(INSTALLED));
    let Some(said) = complaints(&text) else { return };
    assert_eq!(said, "");
    // systemd only warns of what it does not know, and ends with success
    let wrong = complaints(&text.replace("ProtectSystem=strict", "ProtectSystems=strict")).unwrap();
    assert!(wrong.contains("ProtectSystems"), "a wrong key is seen: {wrong}");
}

/// A source takes a thread, one that ffmpeg reads three, and ffmpeg about ten of its own: 128 tasks were not enough for 130 sources.
#[test]
fn the_unit_allows_the_tasks_of_hundreds_of_sources() {
    let text = fs::read_to_string(unit()).unwrap();
    let most = text.lines().find_map(|line| line.strip_prefix("TasksMax=")).unwrap();
    assert!(most.parse::<u32>().unwrap() >= 200 * 13, "{most}");
}

#[test]
fn the_unit_is_closed() {
    let (path, threshold) = (unit(), format!("--threshold={MOST_EXPOSED}"));
    let path = path.to_str().unwrap();
    let Some(output) = analyze(&["security", "--offline=true", "--no-pager", &threshold, path]) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{}", said.trim_end().lines().last().unwrap_or_default());
    assert!(output.status.success(), "more exposed than {MOST_EXPOSED} tenths:\n{said}");
}

#[test]
fn with_a_gpu_the_unit_is_still_closed() {
    let drop_in =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/cpc-stream.service.d/gpu.conf"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cpc-stream.service");
    // a file that is given by its path is read without its drop-ins: it goes behind the sections that it changes
    let (text, gpu) = (fs::read_to_string(unit()).unwrap(), fs::read_to_string(drop_in).unwrap());
    let text = text.replace(INSTALLED, env!("CARGO_BIN_EXE_cpc-stream"));
    fs::write(&file, format!("{text}\n{gpu}")).unwrap();
    let path = file.to_str().unwrap();
    let Some(output) = analyze(&["verify", "--man=no", path]) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let threshold = format!("--threshold={MOST_EXPOSED_GPU}");
    let Some(output) = analyze(&["security", "--offline=true", "--no-pager", &threshold, path]) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{}", said.trim_end().lines().last().unwrap_or_default());
    assert!(output.status.success(), "more exposed than {MOST_EXPOSED_GPU} tenths:\n{said}");
    assert!(said.contains("MemoryDenyWriteExecute"), "the drop-in counts:\n{said}");
}

#[test]
fn the_units_command_line_is_valid() {
    let text = fs::read_to_string(unit()).unwrap();
    let mut checked = 0;
    for command in text.lines().filter_map(|line| line.strip_prefix("ExecStart")) {
        let words = command.split_once(&format!("={INSTALLED}")).expect("the program").1;
        let config = "/etc/cpc-stream/config.toml";
        assert!(words.contains(&format!("--config {config}")));
        // a file that is not there is refused by its name: the words before it were understood
        let missing = "/nonexistent/config.toml";
        let output = Command::new(env!("CARGO_BIN_EXE_cpc-stream"))
            .args(words.replace(config, missing).split_whitespace())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(missing), "{said}");
        checked += 1;
    }
    assert_eq!(checked, 2, "ExecStart and ExecStartPre");
}
