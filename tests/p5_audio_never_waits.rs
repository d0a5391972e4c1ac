//! P5: audio waits neither for the network nor for the disk. A microphone in real time is heard on while the broker is
//! mute, gone, slow and without receipts, and while the disk is full: no sample is dropped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]
#![cfg(all(feature = "mqtt", feature = "capture"))]

mod support;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::event::Event;
use support::broker::Broker;
use support::daemon::{Daemon, program};
use support::meddle::{Disk, Meddle};
use support::microphone::TestMicrophone;
use support::proxy::{Mood, Proxy};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn no_sample_is_dropped_while_broker_and_disk_misbehave() {
    let scene = Scene::machine_room(13.0, 4.0, 1).unwrap();
    let samples: Vec<i16> = scene.samples.iter().map(|x| (x * 32_767.0).round() as i16).collect();
    let microphone = TestMicrophone::start(&samples, 16_000, 1);
    let mut meddle = Meddle::new();
    let broker = Broker::start();
    let proxy = Proxy::to(broker.address());
    let home = tempfile::tempdir().unwrap();
    let documents = broker.subscribe("cpc-stream/n/health");
    let events = broker.subscribe("cpc-stream/n/+/event");
    let mut command = program(home.path());
    command
        .args(["--device", "hw:0", "--node", "n", "--broker", &proxy.url(), "--calibrate-seconds", "12"])
        .args(["--events-per-hour", "60"])
        .env("CPC_STREAM_PUBLISH__HEALTH_S", "1")
        .env("CPC_STREAM_PUBLISH__KEEP_ALIVE_S", "2")
        .envs(microphone.env())
        .envs(meddle.env())
        .stdin(Stdio::null());
    let daemon = Daemon::start(&mut command);
    daemon.await_log(&["calibrated"], LONG);
    let quiet = documents.health("quiet", |health| health.samples_scored > 12 * 16_000);
    let started = Instant::now();

    for (mood, seconds) in
        [(Mood::Mute, 5), (Mood::Shut, 2), (Mood::NoReceipts, 3), (Mood::Slow(200), 3), (Mood::Tear, 1)]
    {
        proxy.set(mood);
        sleep(Duration::from_secs(seconds));
    }
    proxy.cut();
    for disk in [Disk::Full, Disk::Slow(1000)] {
        meddle.disk(disk);
        sleep(Duration::from_secs(3));
    }
    meddle.disk(Disk::Good);

    let due = quiet.samples_scored + started.elapsed().as_secs() * 16_000;
    let after = documents.health("all is well again", |health| {
        health.samples_scored >= due && !health.outbox.degraded && health.outbox.pending == 0
    });
    for (id, stream) in &after.streams {
        assert_eq!((stream.overruns, stream.lost_samples), (0, 0), "{id}: {stream:?}");
    }
    let known = after.samples_in - after.samples_scored - after.samples_shed;
    assert!(known < 160, "in = scored + shed + less than a hop: {after:?}");
    assert_eq!(
        after.events_accepted,
        after.events_acked + after.events_pending + after.events_dropped,
        "{after:?}"
    );
    assert_eq!((after.events_refused, after.events_dropped), (0, 0));
    assert!(after.events_accepted >= 4, "sounds were heard meanwhile: {}", after.events_accepted);
    let (outcome, _) = daemon.stop(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    // each document once, whatever came twice
    let seqs: BTreeSet<u64> = events
        .rest()
        .iter()
        .map(|heard| serde_json::from_str::<Event>(&heard.payload).unwrap().seq)
        .collect();
    assert!(seqs.len() as u64 >= after.events_accepted, "{seqs:?}");
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<BTreeSet<_>>(), "none missing");
    println!(
        "P5: 0 of {} samples dropped (promised 0) in {:.0} s of trouble; hops {:.2} ms p99 in a quiet run, {:.2} ms over \
         all (promised within 10 %); {} events, 0 lost",
        after.samples_in,
        started.elapsed().as_secs_f64(),
        quiet.hop_p99_us / 1000.0,
        after.hop_p99_us / 1000.0,
        seqs.len()
    );
}
