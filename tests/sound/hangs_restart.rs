//! P15: a hang in any thread that the sound or its events pass through ends the feeding of the watchdog in time for a
//! restart within 15 s.
//!
//! The threads are held by ptrace, as a deadlock or a driver would hold them. Full form, every thread one after the
//! other: `cargo test --release --test sound hangs_restart -- --include-ignored`.
#![cfg(all(feature = "capture", feature = "mqtt"))]

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, program};
use crate::support::hold::Hold;
use crate::support::microphone::TestMicrophone;

const LONG: Duration = Duration::from_secs(30);
const PROMISED: f64 = 15.0;

/// `WatchdogSec` of the unit.
fn watchdog() -> Duration {
    let unit = include_str!("../../systemd/cpc-stream.service");
    let seconds = unit.lines().find_map(|line| line.strip_prefix("WatchdogSec=")).unwrap();
    Duration::from_secs(seconds.parse().unwrap())
}

/// When the watchdog was fed last, after `from`; nothing came for `quiet` then.
fn last_fed(socket: &UnixDatagram, from: Instant, quiet: Duration) -> Instant {
    socket.set_read_timeout(Some(quiet)).unwrap();
    let (mut fed, mut buffer) = (from, [0; 4096]);
    while let Ok(count) = socket.recv(&mut buffer) {
        if String::from_utf8_lossy(&buffer[..count]).contains("WATCHDOG=1") {
            fed = Instant::now();
        }
        assert!(from.elapsed() < 2 * LONG, "the watchdog is fed on");
    }
    fed
}

fn hang(thread: &str) {
    let broker = Broker::start();
    let noise: Vec<i16> =
        (0..48_000 * 60u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as i16 - 2048).collect();
    let microphone = TestMicrophone::start(&noise, 48_000, 1);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut command = program(home.path());
    command
        .args(["--device", "hw:0", "--node", "n", "--broker", &broker.url()])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", watchdog().as_micros().to_string())
        .envs(microphone.env())
        .stdin(Stdio::null());
    let daemon = Daemon::start(&mut command);
    daemon.await_log(&["48000 Hz"], LONG);
    let scores = broker.subscribe("cpc-stream/n/+/score");
    scores.next("/score", LONG);
    let held_at = Instant::now();
    let Some(held) = Hold::thread(daemon.id(), thread) else {
        println!("skipped: this machine holds no threads (ptrace)");
        return;
    };
    let fed = last_fed(&socket, held_at, watchdog());
    let restart = (fed - held_at + watchdog()).as_secs_f64();
    println!("{thread} held: the service is restarted after {restart:.1} s (promised {PROMISED} s)");
    assert!(restart <= PROMISED, "{:?}", daemon.log());
    held.release();
    let _ = daemon.kill();
}

#[test]
fn the_analysis() {
    hang("inference");
}

#[test]
fn the_publisher() {
    hang("publish");
}

#[test]
#[ignore = "half a minute; see the top"]
fn the_supervisor() {
    hang("cpc-stream");
}

#[test]
#[ignore = "half a minute; see the top"]
fn the_link() {
    hang("mqtt");
}

#[test]
#[ignore = "half a minute; see the top"]
fn the_source() {
    hang("source");
}

#[test]
#[ignore = "half a minute; see the top"]
fn the_audio_thread() {
    hang("cpal");
}
