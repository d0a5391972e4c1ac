//! The memory that the end of a calibration takes: the sound that is kept of it, and beside that as much as any other.

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::support::daemon::{Daemon, program};
use crate::support::sound::write_wav;

/// What is kept of a second, MiB: of each of 100 frames 64 bands and 192 numbers of context in 16 bits, 12 values of PMI and a
/// level.
const KEPT_A_SECOND: f64 = 100.0 * ((64.0 + 192.0) * 2.0 + 12.0 * 4.0 + 8.0) / 1_048_576.0;
/// What the program and all it takes beside that may be, MiB.
const BESIDE: f64 = 64.0;

/// The largest resident memory of `score` with a calibration of so many seconds, MiB.
fn peak(home: &Path, seconds: u32) -> f64 {
    let name = format!("{seconds}.wav");
    let noise: Vec<i16> =
        (0..16_000 * (seconds + 15)).map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as i16 - 1024).collect();
    write_wav(&home.join(&name), &noise, 16_000);
    let (out, seconds) = (format!("{seconds}.jsonl"), seconds.to_string());
    let arguments = ["score", &name, "--out", &out, "--threads", "1", "--calibrate-seconds", &seconds];
    let daemon = Daemon::start(program(home).args(arguments).stdin(Stdio::null()));
    let status = format!("/proc/{}/status", daemon.id());
    let mut highest = 0.0f64;
    // the last look comes long after the calibration: 15 s of sound are watched by it
    while let Ok(text) = std::fs::read_to_string(&status)
        && let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))
    {
        highest = highest.max(line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0);
        thread::sleep(Duration::from_millis(5));
    }
    let outcome = daemon.finish(Duration::from_secs(240));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    highest
}

#[test]
fn whatever_its_length() {
    let home = tempfile::tempdir().unwrap();
    for seconds in [60, 300, 600] {
        let (highest, kept) = (peak(home.path(), seconds), f64::from(seconds) * KEPT_A_SECOND);
        println!("{seconds} s: {highest:.0} MiB, of which {kept:.0} MiB are sound");
        assert!(highest - kept <= BESIDE, "{seconds} s: {highest:.0} MiB, {kept:.0} MiB of them sound");
    }
}
