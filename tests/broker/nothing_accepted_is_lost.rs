//! An event that was accepted is delivered, whatever becomes of the broker or of the daemon.
#![cfg(feature = "mqtt")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::support::broker::{Broker, Gate, ReceivedMessage, await_for};
use crate::support::daemon::{Daemon, program};
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::event::Event;
use cpc_stream::internal::publish::{Outbox, OutboxLimits};

const LONG: Duration = Duration::from_secs(90);
/// Far more than the 20 ms within which an event is to be on the disk.
const DURABLE: Duration = Duration::from_millis(500);

struct Room {
    home: tempfile::TempDir,
    pcm: Vec<u8>,
}

/// A daemon that hears the room, and goes on listening until `hold` is dropped.
struct Listening {
    daemon: Daemon,
    hold: Sender<()>,
}

impl Room {
    fn new(seed: u64) -> Self {
        let scene = Scene::machine_room(32.0, 9.0, seed).unwrap();
        let pcm = scene.samples.iter().flat_map(|x| ((x * 32_767.0).round() as i16).to_le_bytes()).collect();
        Self { home: tempfile::tempdir().unwrap(), pcm }
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn listen(&self, broker: &str) -> Listening {
        self.listen_with_pause(broker, "0.5")
    }

    /// The same with at most `pause` seconds between tries for a connection.
    fn listen_with_pause(&self, broker: &str, pause: &str) -> Listening {
        let mut command = program(self.home.path());
        command
            .args(["--input", "-", "--node", "hall", "--broker", broker])
            .args(["--calibrate-seconds", "30", "--events-per-hour", "10"])
            .args(["--state-dir", self.state().to_str().unwrap()])
            .env("RUST_LOG", "cpc_stream=debug")
            .env("CPC_STREAM_PUBLISH__BACKOFF_MIN_S", pause)
            .env("CPC_STREAM_PUBLISH__BACKOFF_MAX_S", pause)
            .env("CPC_STREAM_PUBLISH__DRAIN_TIMEOUT_S", "60")
            .stdin(Stdio::piped());
        let mut daemon = Daemon::start(&mut command);
        let (mut pipe, pcm) = (daemon.stdin(), self.pcm.clone());
        let (hold, held) = channel::<()>();
        std::thread::spawn(move || {
            // a killed daemon does not take all of it
            let _ = pipe.write_all(&pcm);
            let _ = held.recv();
        });
        Listening { daemon, hold }
    }
}

impl Listening {
    /// Ids of the documents that were made, once there are that many.
    fn await_made(&self, documents: usize) -> Vec<String> {
        await_for("events", LONG, || Some(made(&self.daemon.log())).filter(|ids| ids.len() >= documents))
    }

    /// Lets the input end; ids of all documents that were made.
    fn finish(self) -> Vec<String> {
        drop(self.hold);
        let outcome = self.daemon.finish(LONG);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        made(&outcome.stderr.lines().map(str::to_owned).collect::<Vec<_>>())
    }
}

/// Ids of the documents that the daemon has made, one for each document.
fn made(log: &[String]) -> Vec<String> {
    let id = |line: &String| {
        let fields = line.split_once(" event ")?.1;
        Some(fields.split_once("id=\"")?.1.split_once('"')?.0.to_owned())
    };
    log.iter().filter_map(id).collect()
}

/// What the outbox in `state` holds.
fn kept(state: &Path) -> Vec<Event> {
    let caps = OutboxLimits { max_bytes: 1 << 30, max_age: Duration::from_secs(1 << 20) };
    let mut outbox = Outbox::open(state, caps).unwrap();
    let records = outbox.take(10_000).unwrap();
    records.iter().map(|record| serde_json::from_slice(&record.payload).unwrap()).collect()
}

fn document(heard: &ReceivedMessage) -> Event {
    serde_json::from_str(&heard.payload).unwrap()
}

/// Checks the order of what came, and takes out duplicates: the documents by boot, each numbered without holes.
fn in_order(came: &[Event]) -> BTreeMap<String, Vec<Event>> {
    let mut boots: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in came {
        let boot = boots.entry(event.boot.clone()).or_default();
        match boot.get(event.seq as usize) {
            Some(known) => assert_eq!(known, event, "two documents with one number"),
            None => {
                assert_eq!(event.seq, boot.len() as u64, "a hole, or out of order");
                boot.push(event.clone());
            }
        }
    }
    boots
}

#[test]
fn a_kill_with_the_broker_away_loses_no_accepted_event() {
    let mut broker = Broker::start();
    let gate = Gate::to(broker.address());
    gate.shut();
    let room = Room::new(11);
    let mut accepted: Vec<Event> = Vec::new();
    for documents in [2, 6] {
        let listening = room.listen(&gate.url());
        let before = listening.await_made(documents);
        std::thread::sleep(DURABLE);
        let outcome = listening.daemon.kill();
        assert_eq!(outcome.code, None, "it ended before it was killed: {}", outcome.stderr);
        let held = kept(&room.state());
        assert_eq!(held[..accepted.len()], accepted, "the restart changed what was kept");
        let new: Vec<&str> = held[accepted.len()..].iter().map(|event| event.id.as_str()).collect();
        assert_eq!(new[..before.len()], before, "made {DURABLE:?} before the kill, not on the disk");
        accepted = held;
    }

    broker.stop();
    broker.start_again();
    let subscriber = broker.subscribe("cpc-stream/hall/+/event");
    gate.open();
    let last = room.listen(&gate.url()).finish();
    assert_eq!(kept(&room.state()), [], "the broker has confirmed everything");
    let mut came: Vec<Event> = Vec::new();
    while came.len() < accepted.len() + last.len() {
        came.push(document(&subscriber.next("/event", Duration::from_secs(10))));
    }
    assert_eq!(came[..accepted.len()], accepted, "what was kept goes first, in order");
    let boots = in_order(&came);
    assert_eq!(boots.len(), 3);
    let ids: Vec<&String> = boots[&came[accepted.len()].boot].iter().map(|event| &event.id).collect();
    assert_eq!(ids, last.iter().collect::<Vec<_>>());
}

#[test]
fn a_broker_that_restarts_without_memory_gets_everything_in_order() {
    let mut broker = Broker::start();
    let gate = Gate::to(broker.address());
    let room = Room::new(12);
    let early = broker.subscribe("cpc-stream/hall/+/event");
    let listening = room.listen(&gate.url());
    let mut came = vec![document(&early.next("/event", LONG))];
    gate.shut();
    broker.stop();
    let before = listening.await_made(1).len();
    listening.await_made(before + 3);
    came.extend(early.rest().iter().map(document));
    drop(early);

    broker.start_again();
    let late = broker.subscribe("cpc-stream/hall/+/event");
    gate.open();
    let ids = listening.finish();
    assert_eq!(kept(&room.state()), [], "the broker has confirmed everything");
    // duplicates of what was on its way when the broker went are allowed, holes are not
    while came.last().is_none_or(|event| event.seq + 1 < ids.len() as u64) {
        came.push(document(&late.next("/event", Duration::from_secs(10))));
    }
    let boots = in_order(&came);
    let delivered: Vec<&String> = boots.values().flatten().map(|event| &event.id).collect();
    assert_eq!(delivered, ids.iter().collect::<Vec<_>>());
}

#[test]
fn a_stop_does_not_wait_for_the_next_attempt() {
    let broker = Broker::start();
    let gate = Gate::to(broker.address());
    gate.shut();
    let room = Room::new(13);
    let listening = room.listen_with_pause(&gate.url(), "60");
    listening.await_made(2);
    let subscriber = broker.subscribe("cpc-stream/hall/+/event");
    gate.open();
    let ids = listening.finish();
    assert_eq!(kept(&room.state()), [], "the broker was back, and nobody asked it");
    let came: Vec<String> =
        ids.iter().map(|_| document(&subscriber.next("/event", Duration::from_secs(10))).id).collect();
    assert_eq!(came, ids);
}
