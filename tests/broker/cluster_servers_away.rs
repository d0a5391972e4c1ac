//! Servers of a cluster that are away: at the start, frozen, killed and started again. Workers wait for them for as long as it takes,
//! and of the sound that the servers have accepted no document is lost.
//!
//! `CPC_STREAM_AWAY=300` leaves the server away for so many seconds, at the start and in the middle.
#![cfg(feature = "cluster")]

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use serde_json::Value;

use crate::cluster::{Microphones, Setup, assert_same, await_end, owners, runtime, settled, status, worker};
use crate::support::broker::await_for;
use crate::support::daemon::program;
use crate::support::nats::{Nats, context_of, stream_of};

const SOON: Duration = Duration::from_secs(60);

/// The documents of the cluster are those of a worker that analyses the same sound afterwards, undisturbed.
async fn assert_undisturbed(home: &Path, context: &Context, setup: &Setup<'_>) {
    let last = stream_of(context, "sound").await.cached_info().state.last_sequence;
    let end = (last, setup.mics.len());
    await_end(home, "w1", end, SOON);
    let published = settled(context, "herd", end.1).await;
    let calm = worker(home, setup, "calm", "calm");
    await_end(home, "calm", end, SOON);
    let expected = settled(context, "calm", end.1).await;
    let counts: Vec<usize> = expected.values().map(Vec::len).collect();
    // with a server that is dead an answer may take longer than the program waits
    eprintln!("documents: {counts:?}; {:?}", status(home, "w1").map(|report| report["workers"].clone()));
    assert!(counts.len() == end.1 && counts.iter().all(|count| *count >= 6), "{counts:?}");
    assert_same(&published, &expected);
    drop(calm);
}

/// How `doctor` judges the cluster.
fn doctor(home: &Path, node: &str) -> Vec<String> {
    let home = home.join(node);
    let output = program(&home).args(["doctor", "--json", "--config", "c.toml"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings =
        report["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == "cluster");
    findings.map(|finding| finding["level"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn servers_that_are_away_are_waited_for() {
    let mics = ["hall", "porch"];
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let mut nats = Nats::stopped();
    let runtime = runtime();
    let more = "snapshot_s = 1.0\nsound_on_disk = true";
    let setup =
        Setup { url: nats.url(), sound: "sound", mics: &mics, more, broker: None, events_per_hour: 1.0 };
    let workers = ["w1", "w2"].map(|node| worker(home, &setup, "herd", node));
    workers[0].await_log(&["cluster", "tried again"], SOON);
    let away = std::env::var("CPC_STREAM_AWAY").ok().map(|seconds| seconds.parse().unwrap());
    let away = away.map(Duration::from_secs);
    std::thread::sleep(away.unwrap_or_default());
    assert_eq!(doctor(home, "w1"), ["fail"]);
    nats.start_again();
    for worker in &workers {
        worker.await_log(&["cluster", "connected"], SOON);
    }
    await_for("each stream to be analysed", SOON, || owners(home, "w1", mics.len()));
    assert_eq!(doctor(home, "w1"), ["ok", "ok"]);

    let context = runtime.block_on(nats.context());
    let mut microphones = Microphones::new(&mics, 48, 3);
    let chunks = microphones.chunks();
    while microphones.next < chunks {
        runtime.block_on(microphones.publish(&context));
        if microphones.next == chunks * 45 / 100 {
            nats.freeze();
            std::thread::sleep(Duration::from_secs(3));
            nats.thaw();
        }
        if microphones.next == chunks * 70 / 100 {
            nats.kill();
            workers[1].await_log(&["cluster", "are away"], SOON);
            std::thread::sleep(away.unwrap_or(Duration::from_secs(2)));
            nats.start_again();
        }
    }
    runtime.block_on(assert_undisturbed(home, &context, &setup));
}

/// `cargo test --release --test broker one_of_three -- --ignored --nocapture`
///
/// Three servers with three copies of everything; the one that leads the sound is killed.
#[test]
#[ignore = "a minute"]
fn one_of_three_servers_may_die() {
    let mics = ["hall", "porch"];
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let mut servers = Nats::three();
    let url = servers.iter().map(Nats::url).collect::<Vec<_>>().join(",");
    let runtime = runtime();
    let more = "snapshot_s = 1.0\nsound_on_disk = true\nreplicas = 3";
    let setup =
        Setup { url: url.clone(), sound: "sound", mics: &mics, more, broker: None, events_per_hour: 1.0 };
    let workers = ["w1", "w2"].map(|node| worker(home, &setup, "herd", node));
    await_for("each stream to be analysed", SOON, || owners(home, "w1", mics.len()));
    let context = runtime.block_on(context_of(&url));
    let mut microphones = Microphones::new(&mics, 48, 3);
    let chunks = microphones.chunks();
    while microphones.next < chunks {
        runtime.block_on(microphones.publish(&context));
        if microphones.next == chunks / 2 {
            let info = runtime.block_on(async { stream_of(&context, "sound").await.cached_info().clone() });
            let leader = info.cluster.unwrap().leader.unwrap();
            let at: usize = leader.trim_start_matches('n').parse().unwrap();
            let killed = Instant::now();
            servers[at - 1].kill();
            runtime.block_on(microphones.publish(&context));
            eprintln!("n{at} is killed; sound is stored again after {:.1} s", killed.elapsed().as_secs_f64());
        }
    }
    runtime.block_on(assert_undisturbed(home, &context, &setup));
    runtime.block_on(microphones.report_delays(&context, "herd"));
    drop(workers);
}
