//! Workers of a cluster share microphones by way of a real nats-server. Workers are killed, stopped, frozen and cut off from the server in
//! the middle, and the documents of events are those of one worker that nobody disturbs: none is lost, none comes twice, all figures are
//! alike.
//!
//! The servers forget the sound after seconds, so that no worker can replay a session from its beginning.
//!
//! `CPC_STREAM_LONG=3` kills 20 workers over ten minutes of six microphones, at three times their pace; with `CPC_STREAM_KILLS=100`, 100
//! over fifty minutes. Then no two whistles are alike, and the budget is large, so that there are many documents.
#![cfg(feature = "cluster")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::cluster::{
    Microphones, Setup, assert_same, await_end, make_sound_streams, owners, runtime, settled, status, worker,
};
use crate::support::broker::await_for;
use crate::support::daemon::Daemon;
use crate::support::nats::Nats;
use crate::support::proxy::{Mood, Proxy};
use crate::support::schema::Document;
use crate::support::sound;

const SOON: Duration = Duration::from_secs(60);
/// A worker that is frozen or cut off for so long loses its leases of 1 s.
const ASLEEP: Duration = Duration::from_millis(2500);

/// What happens to a worker.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// SIGKILL; it starts again.
    Kill,
    /// SIGSTOP, later SIGCONT: when it wakes, another worker has its streams.
    Sleep,
    /// Nothing passes between it and the server in either direction; later its connections are closed, and new ones pass.
    Cut,
    /// SIGTERM; it starts again.
    Stop,
}

/// Trouble at chunks, spread over the sound after calibration: with so many kills, or the short form.
fn troubles(chunks: usize, kills: Option<usize>) -> BTreeMap<usize, (usize, Trouble)> {
    const ROUND: [Trouble; 7] = {
        use Trouble::{Cut, Kill, Sleep, Stop};
        [Kill, Kill, Sleep, Kill, Cut, Kill, Stop]
    };
    let Some(kills) = kills else {
        let at = |share: f64| (chunks as f64 * share) as usize;
        return BTreeMap::from([
            (at(0.38), (2, Trouble::Cut)),
            (at(0.55), (0, Trouble::Kill)),
            (at(0.68), (1, Trouble::Sleep)),
            (at(0.85), (2, Trouble::Stop)),
        ]);
    };
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let count = kills * ROUND.len() / 4;
    let (first, every) = (chunks / 10, chunks * 85 / 100 / count);
    let mut all = BTreeMap::new();
    for number in 0..count {
        let at = first + number * every + rng.random_range(0..every / 3);
        all.insert(at, (rng.random_range(0..3), ROUND[number % ROUND.len()]));
    }
    all
}

/// How long it takes from the death of a worker until its streams have caught up with their microphones.
#[derive(Default)]
struct Takeovers {
    /// Streams that wait for another worker, and since when.
    waiting: Vec<(String, Instant)>,
    /// Lines of the log of each process that were looked at.
    seen: BTreeMap<u32, usize>,
    seconds: Vec<f64>,
}

impl Takeovers {
    fn look(&mut self, workers: &BTreeMap<&str, Daemon>) {
        for worker in workers.values() {
            let log = worker.log();
            let seen = self.seen.entry(worker.id()).or_default();
            for line in &log[*seen..] {
                let Some((before, _)) = line.split_once(": caught up after") else { continue };
                let stream = before.rsplit(' ').next().unwrap();
                if let Some(at) = self.waiting.iter().position(|(waiting, _)| waiting == stream) {
                    self.seconds.push(self.waiting.remove(at).1.elapsed().as_secs_f64());
                }
            }
            *seen = log.len();
        }
    }

    fn report(&mut self) {
        self.seconds.sort_by(f64::total_cmp);
        let at = |share: f64| {
            self.seconds.get(((self.seconds.len() - 1) as f64 * share).round() as usize).unwrap()
        };
        if !self.seconds.is_empty() {
            let count = self.seconds.len();
            eprintln!("{count} takeovers: p50 {:.2} s, p99 {:.2} s", at(0.5), at(0.99));
        }
    }
}

/// Name and number of a document.
fn name_of(document: &Value) -> (String, u64) {
    (document["id"].as_str().unwrap().to_owned(), document["seq"].as_u64().unwrap())
}

#[test]
fn workers_that_die_cost_nothing() {
    let of_environment = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u32>().unwrap());
    let pace = of_environment("CPC_STREAM_LONG");
    let kills = pace.map(|_| of_environment("CPC_STREAM_KILLS").unwrap_or(20));
    let long = pace.is_some();
    let (haste, kept) = pace.map_or((3, 10), |pace| (pace, 60 / u64::from(pace)));
    let seconds = kills.map_or(72, |kills| 30 * kills);
    let mics: &[&str] = if long { &["a", "b", "c", "d", "e", "f"] } else { &["hall", "porch", "yard"] };
    let nodes = ["w1", "w2", "w3"];
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let nats = Nats::start();
    let runtime = runtime();
    let context = runtime.block_on(nats.context());
    runtime.block_on(make_sound_streams(&context, Duration::from_secs(kept)));
    let setup = |url, sound, broker: bool| Setup {
        url,
        sound,
        mics,
        more: "snapshot_s = 1.0",
        broker: broker.then(|| nats.mqtt_url()),
        events_per_hour: if long { 120.0 } else { 1.0 },
    };
    let lines = nodes.map(|node| (node, Proxy::to_any(nats.address())));
    let lines = BTreeMap::from(lines);
    let start = |node: &str| {
        let url = format!("nats://127.0.0.1:{}", lines[node].port());
        worker(home, &setup(url, "sound", node == "w1"), "herd", node)
    };
    let mut workers: BTreeMap<&str, Daemon> = nodes.iter().map(|node| (*node, start(node))).collect();
    let subscriber = nats.subscribe("cpc-stream/herd/+/event");
    let calm = worker(home, &setup(nats.url(), "calm-sound", false), "calm", "calm");
    let shared = await_for("each stream to be analysed", SOON, || {
        let shared = owners(home, nodes[0], mics.len())?;
        let most = nodes.map(|node| shared.values().filter(|owner| *owner == node).count());
        most.iter().all(|count| *count == mics.len() / nodes.len()).then_some(shared)
    });
    eprintln!("at first: {shared:?}");

    let mut microphones = if long {
        Microphones::of(mics, haste, &|quiet| sound::different_whistles(seconds, quiet))
    } else {
        Microphones::new(mics, seconds, haste)
    };
    let chunks = microphones.chunks();
    let troubles = troubles(chunks, kills.map(|kills| kills as usize));
    let mut asleep: Option<(&str, Trouble, Instant)> = None;
    let mut takeovers = Takeovers::default();
    let (mut kills, mut slept, mut cuts, mut exits) = (0, 0, 0, 0);
    let wake = |workers: &BTreeMap<&str, Daemon>, node: &str, trouble: Trouble| match trouble {
        Trouble::Cut => lines[node].cut(),
        _ => workers[node].signal("CONT"),
    };
    for n in 0..chunks {
        runtime.block_on(microphones.publish(&context));
        takeovers.look(&workers);
        if let Some((node, trouble, since)) = asleep.filter(|(_, _, since)| since.elapsed() >= ASLEEP) {
            wake(&workers, node, trouble);
            eprintln!("chunk {n}: {node} is back after {:.1} s", since.elapsed().as_secs_f64());
            asleep = None;
        }
        let Some((number, trouble)) = troubles.get(&n) else { continue };
        // one that sleeps is left alone, and so is the only one that is left
        if asleep.is_some() {
            continue;
        }
        let node = nodes[*number];
        eprintln!("chunk {n}: {node}: {trouble:?}");
        match trouble {
            Trouble::Kill => {
                let of_it = owners(home, node, mics.len()).unwrap_or_default();
                takeovers.look(&workers);
                let streams = of_it.into_iter().filter(|(_, owner)| owner == node);
                takeovers.waiting.extend(streams.map(|(stream, _)| (stream, Instant::now())));
                workers.remove(node).unwrap().kill();
                workers.insert(node, start(node));
                kills += 1;
            }
            Trouble::Sleep => {
                workers[node].signal("STOP");
                asleep = Some((node, *trouble, Instant::now()));
                slept += 1;
            }
            Trouble::Cut => {
                lines[node].set(Mood::Mute);
                asleep = Some((node, *trouble, Instant::now()));
                cuts += 1;
            }
            Trouble::Stop => {
                let (outcome, _) = workers.remove(node).unwrap().stop(SOON);
                assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
                workers.insert(node, start(node));
                exits += 1;
            }
        }
    }
    if let Some((node, trouble, _)) = asleep {
        wake(&workers, node, trouble);
    }
    takeovers.report();
    let last = (chunks * mics.len()) as u64;
    await_end(home, "calm", (last, mics.len()), SOON);
    await_end(home, nodes[0], (last, mics.len()), SOON);
    let published = runtime.block_on(settled(&context, "herd", mics.len()));
    let expected = runtime.block_on(settled(&context, "calm", mics.len()));
    runtime.block_on(microphones.report_delays(&context, "herd"));
    let counts: BTreeMap<&String, usize> = expected.iter().map(|(stream, all)| (stream, all.len())).collect();
    let report = status(home, nodes[0]).unwrap();
    eprintln!(
        "{kills} killed, {exits} stopped, {slept} frozen, {cuts} cut off; documents: {counts:?}; {:#}",
        report["workers"]
    );
    eprintln!("{:#}", report["streams"]);
    assert_eq!(expected.len(), mics.len());
    assert!(expected.values().all(|all| all.len() >= 6), "{counts:?}");
    assert_same(&published, &expected);

    let sum = |key: &str| -> u64 {
        report["workers"].as_object().unwrap().values().map(|worker| worker[key].as_u64().unwrap()).sum()
    };
    assert_eq!(sum("inexact"), 0, "a session was resumed inexactly");
    assert!(sum("snapshots") > 0, "no snapshot was kept");
    if !long {
        // the one that slept has run ever since: what it wrote when it woke was refused
        let zombie = &report["workers"]["w2"];
        assert!(zombie["fenced"].as_u64().unwrap() > 0, "{zombie}");
    }
    // the sound with which the sessions began was gone long ago
    let sound =
        runtime.block_on(async { context.get_stream("sound").await.unwrap().cached_info().state.clone() });
    assert!(sound.first_sequence > last / 2, "the first chunk that is kept is {}", sound.first_sequence);

    // what a worker says of it
    let of_health = nats.subscribe("cpc-stream/w1/health");
    let schema = Document::read();
    await_for("health with the owner of each stream", SOON, || {
        let text = of_health.next("/health", SOON).payload;
        assert_eq!(schema.faults("cpc-stream/w1/health", &text), Vec::<String>::new());
        let health: Value = serde_json::from_str(&text).unwrap();
        let streams = health["cluster"]["streams"].as_object().unwrap();
        let owned = streams.values().filter(|stream| stream["owner"].is_string()).count();
        (health["cluster"]["connected"] == true && owned == mics.len()).then_some(())
    });

    // on MQTT a document may come twice, with the same id
    let all: BTreeSet<(String, u64)> = expected.values().flatten().map(name_of).collect();
    let mut heard = BTreeSet::new();
    await_for("the documents on MQTT", SOON, || {
        let documents =
            subscriber.rest().into_iter().map(|heard| serde_json::from_str(&heard.payload).unwrap());
        heard.extend(documents.map(|document: Value| name_of(&document)));
        (heard.len() >= all.len()).then_some(())
    });
    assert_eq!(heard, all);
    drop(calm);
}
