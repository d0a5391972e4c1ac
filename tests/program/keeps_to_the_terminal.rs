//! What is printed for a person keeps to a terminal of 60 columns, and has no colour where `NO_COLOR` says so.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::daemon::{Daemon, program};

const COLUMNS: usize = 60;
const LIMIT: Duration = Duration::from_secs(120);

/// What the program prints on a terminal of that width, line by line; none where `script` is not here.
fn on_a_terminal(arguments: &str) -> Option<Vec<String>> {
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: script (util-linux) is not here");
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    let quoted = env!("CARGO_BIN_EXE_cpc-stream");
    let line = format!("stty cols {COLUMNS} rows 40; '{quoted}' {arguments}");
    let cleaned = program(home.path());
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .current_dir(home.path())
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS");
    for (name, value) in cleaned.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null());
    let outcome = Daemon::start(&mut command).finish(LIMIT);
    assert!(!outcome.stdout.contains('\u{1b}'), "{arguments}: {:?}", outcome.stdout);
    Some(outcome.stdout.replace('\r', "").lines().map(str::to_owned).collect())
}

/// Lines that are wider than the terminal, but for those of a single word that is.
fn too_wide(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.chars().count() > COLUMNS && line.trim().contains(' ')).collect()
}

#[test]
fn lines_for_people_keep_to_sixty_columns() {
    for (arguments, word) in [
        ("doctor", "First steps"),
        ("devices", "cpc-stream"),
        ("demo --speed 1000000", "planted"),
        ("bench --arch edge --streams 1 --seconds 0.2", "real-time streams"),
        ("labels --help", "Usage"),
        ("run --help", "Usage"),
        ("watch --help", "Usage"),
    ] {
        let Some(lines) = on_a_terminal(arguments) else { return };
        assert!(lines.iter().any(|line| line.contains(word)), "{arguments}: {lines:#?}");
        let wide = too_wide(&lines);
        assert!(wide.is_empty(), "{arguments}: {wide:#?}");
    }
}
