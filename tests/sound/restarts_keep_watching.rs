//! A daemon that is started again watches at once, at the threshold that it had.
#![cfg(all(feature = "capture", feature = "mqtt"))]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::broker::{Broker, Subscriber};
use crate::support::daemon::{Daemon, program};
use crate::support::microphone::TestMicrophone;
use crate::support::sound::{RATE, at_48_khz};
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::publish::{Health, StreamHealth};

const LONG: Duration = Duration::from_secs(40);

fn start(home: &Path, broker: &Broker, microphone: &TestMicrophone) -> Daemon {
    let mut command = program(home);
    command
        .args(["--device", "hw:0", "--node", "hall", "--broker", &broker.url(), "--calibrate-seconds", "10"])
        .env("CPC_STREAM_PUBLISH__HEALTH_S", "1")
        .envs(microphone.env())
        .stdin(Stdio::null());
    Daemon::start(&mut command)
}

/// The stream in the next health document in which it is watched.
fn watched(health: &Subscriber) -> StreamHealth {
    loop {
        let document: Health = serde_json::from_str(&health.next("/health", LONG).payload).unwrap();
        let stream = document.streams["hw_0"].clone();
        if stream.threshold.is_some() {
            return stream;
        }
    }
}

#[test]
fn a_restart_is_no_new_calibration() {
    let scene = Scene::machine_room(40.0, 1e-3, 1).unwrap();
    let microphone = TestMicrophone::start(&at_48_khz(&scene), RATE, 1);
    let broker = Broker::start();
    let home = tempfile::tempdir().unwrap();

    let first = start(home.path(), &broker, &microphone);
    first.await_log(&["calibrated on"], LONG);
    let health = broker.subscribe("cpc-stream/hall/health");
    let before = watched(&health);
    assert_eq!(before.input.state, "good");
    let (outcome, _) = first.stop(Duration::from_secs(15));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    health.rest();

    let second = start(home.path(), &broker, &microphone);
    let after = watched(&health);
    let (a, b) = (before.threshold.unwrap(), after.threshold.unwrap());
    assert!((a - b).abs() < 0.003, "the threshold was {a} and is {b}");
    let (outcome, _) = second.stop(Duration::from_secs(15));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("calibrated on"), "{}", outcome.stderr);
}
