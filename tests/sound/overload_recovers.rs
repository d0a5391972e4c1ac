//! P10: an analysis that cannot follow loses sound that is counted, in bounded queues, and is back in the present at once
//! when it can.
#![cfg(all(feature = "capture", feature = "mqtt"))]

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::broker::{Broker, Subscriber};
use crate::support::daemon::{Daemon, program};
use crate::support::hold::Hold;
use crate::support::microphone::TestMicrophone;
use cpc_stream::internal::publish::Health;
use jiff::Timestamp;

const LONG: Duration = Duration::from_secs(30);
/// Longer than `capture.ring_seconds`.
const HELD: Duration = Duration::from_secs(8);
const PROMISED: Duration = Duration::from_secs(2);

/// How old the sound of the next score document is, s.
fn age(scores: &Subscriber) -> f64 {
    let document: serde_json::Value = serde_json::from_str(&scores.next("/score", LONG).payload).unwrap();
    let time: Timestamp = document["time"].as_str().unwrap().parse().unwrap();
    Timestamp::now().duration_since(time).as_secs_f64()
}

fn health(documents: &Subscriber) -> Health {
    let mut last = documents.next("/health", LONG);
    for newer in documents.rest() {
        last = newer;
    }
    serde_json::from_str(&last.payload).unwrap()
}

#[test]
fn lost_samples_are_counted_and_analysis_is_live_again_within_2_s() {
    let broker = Broker::start();
    let noise: Vec<i16> =
        (0..48_000 * 60u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as i16 - 2048).collect();
    let microphone = TestMicrophone::start(&noise, 48_000, 1);
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command
        .args(["--device", "hw:0", "--node", "n", "--broker", &broker.url()])
        .env("CPC_STREAM_PUBLISH__HEALTH_S", "1")
        .env("CPC_STREAM_PUBLISH__SCORE_HZ", "10")
        .envs(microphone.env())
        .stdin(Stdio::null());
    let daemon = Daemon::start(&mut command);
    let started = Instant::now();
    daemon.await_log(&["48000 Hz"], LONG);
    let scores = broker.subscribe("cpc-stream/n/+/score");
    let documents = broker.subscribe("cpc-stream/n/health");
    assert!(age(&scores) < 3.0);
    let before = health(&documents);
    let Some(held) = Hold::thread(daemon.id(), "inference") else {
        println!("skipped: this machine holds no threads (ptrace)");
        return;
    };
    std::thread::sleep(HELD);
    let during = health(&documents);
    held.release();
    let released = Instant::now();
    scores.rest();
    while age(&scores) > 1.0 {
        assert!(released.elapsed() < LONG, "the analysis stays behind");
    }
    let took = released.elapsed();
    std::thread::sleep(Duration::from_secs(2));
    let after = health(&documents);
    let stream = &after.streams["hw_0"];
    println!(
        "held for {HELD:?}: back in the present after {took:?} (promised {PROMISED:?}), {} samples lost and counted, resident \
         {} KiB before, {} during, {} after",
        stream.lost_samples,
        before.rss_bytes / 1024,
        during.rss_bytes / 1024,
        after.rss_bytes / 1024
    );
    assert!(took <= 2 * PROMISED, "{took:?}");
    assert!(stream.overruns > 0 && stream.lost_samples >= stream.overruns, "{stream:?}");
    // 4 s of 48,000 samples wait, the others were refused
    let lost_s = stream.lost_samples as f64 / 48_000.0;
    assert!((2.0..7.0).contains(&lost_s), "{lost_s} s lost of {HELD:?}");
    assert!(after.rss_bytes < before.rss_bytes + (8 << 20), "queues are bounded");
    let (outcome, _) = daemon.stop(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("samples scored"), "{} after {:?}", outcome.stderr, started.elapsed());
}
