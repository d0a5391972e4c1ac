//! Workers of a cluster share microphones by way of a real nats-server. Workers are killed in the middle, and the documents of events
//! are those of one worker that nobody disturbed: none lost, none twice, all figures alike.
//!
//! `CPC_STREAM_LONG=1` kills more workers over more sound.
#![cfg(feature = "cluster")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cpc_stream::internal::capture::{Chunk, PcmForm};
use serde_json::Value;

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, program};
use crate::support::nats::{Nats, all_of};
use crate::support::sound;

const SOON: Duration = Duration::from_secs(60);
/// The sound comes so many times as fast as a microphone gives it.
const HASTE: u32 = 3;
const CHUNK: usize = 320;

/// A worker of the cluster `cluster`, which hears `mics`. In `calm` one thread hears all of them, in others each has its own.
fn worker(home: &Path, nats: &Nats, cluster: &str, node: &str, mics: &[&str], broker: bool) -> Daemon {
    let home = home.join(node);
    std::fs::create_dir_all(&home).unwrap();
    let threads = if cluster == "calm" { 1 } else { mics.len() };
    let mut config = format!(
        "node = \"{node}\"\n[cluster]\nurl = \"{}\"\nname = \"{cluster}\"\nnode = \"herd\"\nsound_stream = \"sound\"\n\
         lease_s = 1.0\n[model]\nthreads = {threads}\n[detect]\ncalibrate_seconds = 10.0\n",
        nats.url()
    );
    if broker {
        write!(config, "[publish]\nbroker = \"{}\"\n", nats.mqtt_url()).unwrap();
    }
    for mic in mics {
        writeln!(config, "[[source]]\nmqtt = \"{mic}\"").unwrap();
    }
    std::fs::write(home.join("c.toml"), config).unwrap();
    let mut command = program(&home);
    command.args(["--config", "c.toml", "--state-dir", "state"]).stdin(Stdio::null());
    Daemon::start(&mut command)
}

/// What `cluster status` says.
fn status(home: &Path, node: &str) -> Option<Value> {
    let home = home.join(node);
    let output = program(&home).args(["cluster", "status", "--json", "--config", "c.toml"]).output().unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

/// The documents of a cluster by stream, without what says when and where they were made.
async fn documents(nats: &Nats, cluster: &str) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (subject, payload) in all_of(&nats.context().await, &format!("{cluster}-events")).await {
        let mut document: Value = serde_json::from_slice(&payload).unwrap();
        for key in ["emitted", "latency_ms"] {
            assert!(document.as_object_mut().unwrap().remove(key).is_some(), "{key}");
        }
        found.entry(subject.rsplit('.').next().unwrap().to_owned()).or_default().push(document);
    }
    found
}

/// What subscribers tell documents by.
fn name_of(document: &Value) -> (String, u64) {
    (document["id"].as_str().unwrap().to_owned(), document["seq"].as_u64().unwrap())
}

/// Publishes chunk `n` of each microphone.
async fn publish(context: &async_nats::jetstream::Context, sounds: &[(&str, Vec<i16>)], n: usize) {
    for (session, (mic, samples)) in (7..).zip(sounds) {
        let piece = &samples[n * CHUNK..(n + 1) * CHUNK];
        let bytes = sound::bytes(piece);
        let chunk = Chunk { pcm: PcmForm::default(), session, first: (n * CHUNK) as u64, bytes: &bytes };
        let stored = context.publish(format!("cpc-stream.mic.{mic}.audio"), chunk.write().into());
        stored.await.unwrap().await.unwrap();
    }
}

#[test]
fn killed_workers_cost_nothing() {
    let long = std::env::var_os("CPC_STREAM_LONG").is_some();
    let (seconds, kills) = if long { (600, 20) } else { (45, 2) };
    let mics: &[&str] = if long { &["a", "b", "c", "d", "e", "f"] } else { &["hall", "porch"] };
    let nodes: &[&str] = if long { &["w1", "w2", "w3"] } else { &["w1", "w2"] };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let nats = Nats::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sounds: Vec<(&str, Vec<i16>)> =
        (13..).step_by(2).zip(mics).map(|(quiet, mic)| (*mic, sound::whistles(seconds, quiet))).collect();

    let mut workers: BTreeMap<&str, Daemon> = BTreeMap::new();
    for node in nodes {
        workers.insert(node, worker(home, &nats, "herd", node, mics, *node == "w1"));
    }
    let subscriber = nats.subscribe("cpc-stream/herd/+/event");
    let calm = worker(home, &nats, "calm", "calm", mics, false);
    let owners = || -> Option<BTreeMap<String, String>> {
        let report = status(home, nodes[0])?;
        let streams = report["streams"].as_object()?;
        let owner =
            |(stream, line): (&String, &Value)| Some((stream.clone(), line["owner"].as_str()?.to_owned()));
        streams
            .iter()
            .map(owner)
            .collect::<Option<_>>()
            .filter(|all: &BTreeMap<_, _>| all.len() == mics.len())
    };
    let shared = await_for("each stream to be heard", SOON, owners);
    eprintln!("at first: {shared:?}");
    let most = shared.values().filter(|node| *node == shared.values().next().unwrap()).count();
    assert_eq!(most, mics.len() / nodes.len(), "fair shares: {shared:?}");

    let chunks = seconds as usize * 16_000 / CHUNK;
    let every = chunks / (kills + 1);
    let started = Instant::now();
    let context = runtime.block_on(nats.context());
    for n in 0..chunks {
        let due = started + Duration::from_millis(20) * n as u32 / HASTE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        runtime.block_on(publish(&context, &sounds, n));
        if n > 0 && n % every == 0 && n / every <= kills {
            let node = nodes[(n / every) % nodes.len()];
            eprintln!("chunk {n}: {node} is killed; so far {:?}", owners());
            workers.remove(node).unwrap().kill();
            workers.insert(node, worker(home, &nats, "herd", node, mics, node == "w1"));
        }
    }
    let last = chunks as u64 * mics.len() as u64;
    for (node, cluster) in [(nodes[0], "herd"), ("calm", "calm")] {
        let what = format!("{cluster} to hear all");
        await_for(&what, SOON, || {
            let report = status(home, node)?;
            let streams = report["streams"].as_object()?;
            let behind =
                |line: &Value| line["sequence"].as_u64().is_none_or(|at| at + mics.len() as u64 <= last);
            (!streams.values().any(behind)).then_some(())
        });
    }
    // what waits in the analysis
    std::thread::sleep(Duration::from_secs(2));
    let (told, expected) =
        (runtime.block_on(documents(&nats, "herd")), runtime.block_on(documents(&nats, "calm")));
    let counts: BTreeMap<&String, usize> = expected.iter().map(|(stream, all)| (stream, all.len())).collect();
    eprintln!("documents: {counts:?}; {:#}", status(home, nodes[0]).unwrap()["workers"]);
    assert_eq!(expected.len(), mics.len());
    assert!(expected.values().all(|all| all.len() >= 4), "{counts:?}");
    for (stream, expected) in &expected {
        let told = &told[stream];
        assert_eq!(told.len(), expected.len(), "{stream}");
        for (told, expected) in told.iter().zip(expected) {
            assert_eq!(told, expected, "{stream}");
        }
        let numbers: Vec<u64> = told.iter().map(|document| document["seq"].as_u64().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{stream}: {numbers:?}");
    }
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
