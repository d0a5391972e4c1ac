//! A service manager hears READY, is fed its watchdog while sound is awaited, and hears STOPPING.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::daemon::{Daemon, program};
use crate::support::sound::write_wav;

const LONG: Duration = Duration::from_secs(20);
const WATCHDOG: Duration = Duration::from_millis(1500);

struct Manager(UnixDatagram);

impl Manager {
    /// Waits for a message that has the line `wanted`; when it came.
    fn hears(&self, wanted: &str, limit: Duration) -> Instant {
        let by = Instant::now() + limit;
        let mut buffer = [0; 4096];
        loop {
            let left = by.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.0.set_read_timeout(Some(left)).unwrap();
            let count = self.0.recv(&mut buffer).unwrap_or_else(|e| panic!("no {wanted} in {limit:?}: {e}"));
            if String::from_utf8_lossy(&buffer[..count]).lines().any(|line| line == wanted) {
                return Instant::now();
            }
        }
    }
}

#[test]
fn ready_watchdog_and_stopping() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    let noise: Vec<i16> =
        (0..60 * 16_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as i16 - 2048).collect();
    write_wav(&home.path().join("room.wav"), &noise, 16_000);
    let mut command = program(home.path());
    command
        .args(["--input", "room.wav"])
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
        .stdin(Stdio::null());
    let mut daemon = Daemon::start(&mut command);
    manager.hears("READY=1", LONG);
    // the line was written before; the thread that reads it may be later than the datagram
    daemon.await_log(&["model"], Duration::from_secs(1));
    for _ in 0..5 {
        // within the whole watchdog time, or systemd would have killed it
        manager.hears("WATCHDOG=1", WATCHDOG);
    }
    assert!(daemon.runs());
    let (outcome, took) = daemon.stop(LONG);
    manager.hears("STOPPING=1", Duration::from_secs(1));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(took < Duration::from_secs(5), "the stop took {took:?}");
}

/// Sound that does not come is no hang: a pipe whose writer is slow must not restart the service.
#[test]
fn a_silent_pipe_is_no_hang() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    let mut command = program(home.path());
    command
        .args(["--input", "-"])
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
        .stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let _open = daemon.stdin();
    manager.hears("READY=1", LONG);
    for _ in 0..3 {
        manager.hears("WATCHDOG=1", WATCHDOG);
    }
    let (outcome, took) = daemon.stop(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(took < Duration::from_secs(5), "the stop took {took:?}");
}
