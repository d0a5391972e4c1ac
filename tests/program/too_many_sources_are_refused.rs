//! Sources that this machine cannot analyse as well are refused with the reason, and the others lose nothing.
#![cfg(feature = "http")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::daemon::{Daemon, program};
use crate::support::http::{address, get};
use crate::support::sound::write_wav;

const LIMIT: Duration = Duration::from_secs(60);

/// A daemon of that configuration with a page, and paced sources of 2 s: `sNUMBER`.
fn start(home: &Path, model: &str, files: usize, more: &str) -> Daemon {
    write_wav(&home.join("s.wav"), &vec![100; 2 * 16_000], 16_000);
    let mut text = format!("[model]\n{model}\n[http]\nlisten = \"127.0.0.1:0\"\n");
    for number in 0..files {
        writeln!(text, "[[source]]\nid = \"s{number}\"\nfile = \"s.wav\"").unwrap();
    }
    fs::write(home.join("c.toml"), text + more).unwrap();
    Daemon::start(program(home).args(["--config", "c.toml"]).stdin(Stdio::null()))
}

#[test]
fn more_than_max_streams_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let live = "[[source]]\nid = \"yard\"\nurl = \"udp://127.0.0.1:5004\"\n";
    let daemon = start(home.path(), "max_streams = 3", 4, live);
    let at = address(&daemon);
    for stream in ["s3", "yard"] {
        daemon.await_log(&["WARN", stream, "refused, since this machine takes 3 streams", "raise it"], LIMIT);
    }
    let all = get(&at, "/api/v1/overview").json();
    let fault =
        |fault: &&serde_json::Value| fault.as_str().unwrap().starts_with("yard gives no sound: refused");
    assert!(all["faults"].as_array().unwrap().iter().find(fault).is_some(), "{all}");
    daemon.await_log(&["s2: end of the input after 32000 samples"], LIMIT);
    daemon.signal("TERM");
    let outcome = daemon.finish(LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains(&format!("stopped: {} samples scored, 0 shed", 3 * 32_000)),
        "{}",
        outcome.stderr
    );
}

#[test]
fn where_there_are_many_this_machine_is_measured() {
    let home = tempfile::tempdir().unwrap();
    let daemon = start(home.path(), "threads = 1", 9, "");
    let line = daemon.await_log(&["this machine analyses about", "% of its thread"], LIMIT);
    let number = |after: &str| -> f64 {
        let (_, rest) = line.split_once(after).unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    let (streams, share) = (number("about "), number("one takes "));
    assert!((streams * share - 70.0).abs() <= share + 0.01 * streams, "{line}");
    daemon.signal("TERM");
    daemon.finish(LIMIT);
}
