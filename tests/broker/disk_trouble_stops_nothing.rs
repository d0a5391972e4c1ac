//! P11: a disk that is full, read-only or slow: sound is scored on, health says degraded, and everything recovers alone.
#![cfg(feature = "mqtt")]

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, program};
use crate::support::meddle::{Disk, Meddle};
use crate::support::sound::{bytes, whistles};
use cpc_stream::internal::event::Event;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn full_read_only_and_slow() {
    let mut meddle = Meddle::new();
    let broker = Broker::start();
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    let mut command = program(home.path());
    command
        .args(["--input", "-", "--node", "n", "--broker", &broker.url(), "--calibrate-seconds", "12"])
        .args(["--events-per-hour", "60"])
        // each whistle is told
        .env("CPC_STREAM_DETECT__REPEAT_AFTER_S", "0")
        .env("CPC_STREAM_PUBLISH__HEALTH_S", "1")
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "8000000")
        .envs(meddle.env())
        .stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let mut pipe = daemon.stdin();
    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let feeder = thread::spawn(move || {
        // four times as fast as life, for as long as it is wanted
        let sound = bytes(&whistles(60, 14));
        let lap = 14 * 32_000;
        for piece in sound.chunks(3200).chain(std::iter::repeat_with(|| sound[lap..].chunks(3200)).flatten())
        {
            if stop.load(Ordering::Relaxed) || pipe.write_all(piece).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(25));
        }
    });
    let documents = broker.subscribe("cpc-stream/n/health");
    let events = broker.subscribe("cpc-stream/n/+/event");
    let first: Event = serde_json::from_str(&events.next("/event", LONG).payload).unwrap();
    for what in [Disk::Full, Disk::ReadOnly] {
        meddle.disk(what);
        let degraded = documents.health("degraded", |health| health.outbox.degraded);
        let scored = degraded.samples_scored + 4 * 16_000;
        documents.health("scored on", |health| health.outbox.degraded && health.samples_scored > scored);
        meddle.disk(Disk::Good);
        let good =
            documents.health("recovered", |health| !health.outbox.degraded && health.outbox.pending == 0);
        println!("{what:?}: degraded, scored on, recovered alone; {} refused", good.events_refused);
        assert_eq!(good.events_refused, 0, "nothing was given up");
    }
    meddle.disk(Disk::Slow(2500));
    let before = documents.health("slow", |_| true);
    let wanted = before.events_accepted + 4;
    documents.health("accepted on", |health| {
        health.events_accepted >= wanted && health.samples_scored > before.samples_scored + 8 * 16_000
    });
    meddle.disk(Disk::Good);
    documents.health("delivered", |health| health.outbox.pending == 0);
    over.store(true, Ordering::Relaxed);
    feeder.join().unwrap();
    assert!(!daemon.log().iter().any(|line| line.contains("hangs")), "{:?}", daemon.log());
    manager.set_nonblocking(true).unwrap();
    let (outcome, _) = daemon.stop(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let mut seqs = vec![first.seq];
    seqs.extend(
        events
            .rest()
            .iter()
            .filter(|heard| heard.topic.ends_with("/event"))
            .map(|heard| serde_json::from_str::<Event>(&heard.payload).unwrap().seq),
    );
    seqs.dedup();
    println!("{} documents in order, none missing", seqs.len());
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>());
}
