//! P6: a microphone that is pulled and put back, under another card number too, is offline within 2 s and heard again
//! within 3 s of its return, for ever, and nothing piles up.
//!
//! Full form: `CPC_TEST_ROUNDS=100 cargo test --release --test sound microphone_comes_back`.
#![cfg(feature = "capture")]

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, program};
use crate::support::hold::threads;
use crate::support::microphone::{Nature, STABLE, TestMicrophone};

const LONG: Duration = Duration::from_secs(20);
const OFFLINE: Duration = Duration::from_secs(2);
const BACK: Duration = Duration::from_secs(3);

fn lines(daemon: &Daemon, word: &str) -> usize {
    daemon.log().iter().filter(|line| line.contains(word)).count()
}

/// Threads, open files and resident KiB.
fn belongings(pid: u32) -> [usize; 3] {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let rss = rss.split_whitespace().next().unwrap().parse().unwrap();
    [threads(pid).len(), fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), rss]
}

#[test]
fn offline_within_2_s_and_heard_within_3_s_of_its_return() {
    let rounds: usize = std::env::var("CPC_TEST_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap());
    let sound: Vec<i16> =
        (0..48_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as i16 - 2048).collect();
    let microphone = TestMicrophone::with(&sound, 48_000, 1, Nature { cards: 2, ..Nature::PLAIN });
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command
        .args(["--device", STABLE, "--calibrate-seconds", "600"])
        .env("CPC_STREAM_CAPTURE__SYSFS", microphone.sysfs())
        .envs(microphone.env())
        .stdin(Stdio::null());
    let mut daemon = Daemon::start(&mut command);
    daemon.await_log(&["hw:CARD=0,DEV=0", "48000 Hz"], LONG);
    let (mut slowest_offline, mut slowest_back, mut settled) = (Duration::ZERO, Duration::ZERO, None);
    for round in 0..rounds {
        let (old, new) = ((round / 2 % 2) as u32, (round.div_ceil(2) % 2) as u32);
        let (offline, online) = (lines(&daemon, "offline:"), lines(&daemon, "48000 Hz"));
        let asked = Instant::now();
        microphone.pull(old);
        await_for("offline", LONG, || (lines(&daemon, "offline:") > offline).then_some(()));
        slowest_offline = slowest_offline.max(asked.elapsed());
        // at another moment of the wait between two tries each time
        std::thread::sleep(Duration::from_millis(100 + 370 * (round as u64 % 7)));
        let asked = Instant::now();
        microphone.push(new);
        await_for("online", LONG, || (lines(&daemon, "48000 Hz") > online).then_some(()));
        slowest_back = slowest_back.max(asked.elapsed());
        let device = format!("hw:CARD={new},DEV=0");
        assert!(daemon.log().iter().rev().find(|l| l.contains("48000 Hz")).unwrap().contains(&device));
        std::thread::sleep(Duration::from_millis(300));
        if round + 1 == rounds.min(10) - 1 {
            settled = Some(belongings(daemon.id()));
        }
    }
    let (before, after) = (settled.unwrap(), belongings(daemon.id()));
    println!(
        "{rounds} times: offline after {slowest_offline:?} at most (promised {OFFLINE:?}), back after {slowest_back:?} (promised \
         {BACK:?}); threads, files, KiB were {before:?} and are {after:?}"
    );
    assert!(daemon.runs());
    assert!(slowest_offline <= OFFLINE && slowest_back <= BACK);
    assert!(after[0] <= before[0] && after[1] <= before[1], "threads or files pile up");
    // 20 KiB a round is what the log of this test itself may take
    assert!(after[2] <= before[2] + 1024 + 20 * rounds, "memory piles up");
    let (outcome, _) = daemon.stop(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}
