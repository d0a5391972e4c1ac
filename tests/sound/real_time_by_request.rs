//! A real-time priority and locked memory are there where they are asked for, or a warning says why not; unasked, neither is.
#![cfg(feature = "capture")]

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, program};
use crate::support::hold::threads;
use crate::support::microphone::TestMicrophone;

const LONG: Duration = Duration::from_secs(20);

/// The real-time priority of the thread whose name begins with `name`; 0 for none.
fn priority(pid: u32, name: &str) -> u32 {
    let all = threads(pid);
    let (tid, _) = all.iter().find(|(_, found)| found.starts_with(name)).unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).unwrap();
    // field 40, counted from 1; the name, field 2, may hold blanks
    stat.rsplit(')').next().unwrap().split_whitespace().nth(37).unwrap().parse().unwrap()
}

fn locked_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn daemon(priority: &str, lock: &str) -> (TestMicrophone, tempfile::TempDir, Daemon) {
    let noise: Vec<i16> =
        (0..48_000 * 20u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as i16 - 2048).collect();
    let microphone = TestMicrophone::start(&noise, 48_000, 1);
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command
        .args(["--device", "hw:0"])
        .env("CPC_STREAM_CAPTURE__REALTIME_PRIORITY", priority)
        .env("CPC_STREAM_CAPTURE__LOCK_MEMORY", lock)
        .envs(microphone.env())
        .stdin(Stdio::null());
    let daemon = Daemon::start(&mut command);
    daemon.await_log(&["48000 Hz"], LONG);
    (microphone, home, daemon)
}

#[test]
fn granted_or_told() {
    let (_microphone, _home, daemon) = daemon("20", "true");
    let told = |word: &str| daemon.log().iter().any(|line| line.contains("WARN") && line.contains(word));
    for (thread, wanted, word) in
        [("cpal", 20, "priority for the audio thread"), ("inference", 19, "priority for the analysis")]
    {
        await_for(thread, LONG, || (priority(daemon.id(), thread) == wanted || told(word)).then_some(()));
        println!("{thread}: priority {}", priority(daemon.id(), thread));
    }
    assert!(locked_kib(daemon.id()) > 1024 || told("memory cannot be locked"), "{:?}", daemon.log());
    println!("locked: {} KiB", locked_kib(daemon.id()));
}

#[test]
fn unasked_there_is_neither() {
    let (_microphone, _home, daemon) = daemon("0", "false");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((priority(daemon.id(), "cpal"), priority(daemon.id(), "inference")), (0, 0));
    assert_eq!(locked_kib(daemon.id()), 0);
}
