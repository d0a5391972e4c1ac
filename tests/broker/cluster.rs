//! Workers of a cluster by way of a real nats-server, and microphones that the test plays.
#![cfg(feature = "cluster")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, Source, StorageType};
use cpc_stream::internal::capture::{Chunk, ChunkCoding, PcmForm};
use serde_json::Value;

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, program};
use crate::support::nats::{all_of, times_of};
use crate::support::sound;

/// Frames of a chunk.
pub(crate) const CHUNK: usize = 320;

/// What differs between the configurations of workers.
pub(crate) struct Setup<'a> {
    pub(crate) url: String,
    /// The stream of the sound.
    pub(crate) sound: &'a str,
    pub(crate) mics: &'a [&'a str],
    /// More lines of the table `[cluster]`.
    pub(crate) more: &'a str,
    pub(crate) broker: Option<String>,
    /// The budget.
    pub(crate) events_per_hour: f64,
}

/// A worker of the cluster `cluster`. In `calm` one thread analyses all microphones, in others each has its own.
pub(crate) fn worker(home: &Path, setup: &Setup<'_>, cluster: &str, node: &str) -> Daemon {
    let home = home.join(node);
    std::fs::create_dir_all(&home).unwrap();
    let threads = if cluster == "calm" { 1 } else { setup.mics.len() };
    let mut config = format!(
        "node = \"{node}\"\n[cluster]\nurl = \"{}\"\nname = \"{cluster}\"\nnode = \"herd\"\nsound_stream = \"{}\"\n\
         lease_s = 1.0\n{}\n[model]\nthreads = {threads}\n[detect]\ncalibrate_seconds = 10.0\nevents_per_hour = {}\n",
        setup.url, setup.sound, setup.more, setup.events_per_hour
    );
    if let Some(broker) = &setup.broker {
        writeln!(config, "[publish]\nbroker = \"{broker}\"\nhealth_s = 1").unwrap();
    }
    for mic in setup.mics {
        writeln!(config, "[[source]]\nmqtt = \"{mic}\"").unwrap();
    }
    std::fs::write(home.join("c.toml"), config).unwrap();
    let mut command = program(&home);
    command.args(["--config", "c.toml", "--state-dir", "state"]).stdin(Stdio::null());
    Daemon::start(&mut command)
}

/// The output of `cluster status` with the configuration of `node`.
pub(crate) fn status(home: &Path, node: &str) -> Option<Value> {
    let home = home.join(node);
    let output = program(&home).args(["cluster", "status", "--json", "--config", "c.toml"]).output().unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

/// The worker of each stream, once each of `count` has one.
pub(crate) fn owners(home: &Path, node: &str, count: usize) -> Option<BTreeMap<String, String>> {
    let report = status(home, node)?;
    let owner =
        |(stream, line): (&String, &Value)| Some((stream.clone(), line["owner"].as_str()?.to_owned()));
    let all: BTreeMap<_, _> = report["streams"].as_object()?.iter().filter_map(owner).collect();
    (all.len() == count).then_some(all)
}

/// Waits until each stream has been analysed up to chunk `last`, or as far as one chunk of each microphone before it.
pub(crate) fn await_end(home: &Path, node: &str, (last, mics): (u64, usize), limit: Duration) {
    await_for(&format!("{node} to analyse everything"), limit, || {
        let report = status(home, node)?;
        let streams = report["streams"].as_object()?;
        let behind = |line: &Value| line["sequence"].as_u64().is_none_or(|at| at + mics as u64 <= last);
        (streams.len() == mics && !streams.values().any(behind)).then_some(())
    });
}

/// The documents of a cluster by stream, without the times at which they were made: those of all sound that was received, once each of so
/// many streams has some and none has come for a while, since what was received may still wait to be scored.
pub(crate) async fn settled(context: &Context, cluster: &str, mics: usize) -> BTreeMap<String, Vec<Value>> {
    const QUIET: Duration = Duration::from_secs(5);
    const LIMIT: Duration = Duration::from_secs(60);
    let began = Instant::now();
    let (mut found, mut since) = (documents(context, cluster).await, Instant::now());
    while since.elapsed() < QUIET && began.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = documents(context, cluster).await;
        if now.len() < mics || now != found {
            (found, since) = (now, Instant::now());
        }
    }
    found
}

/// The documents of a cluster by stream, without the times at which they were made.
pub(crate) async fn documents(context: &Context, cluster: &str) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (subject, payload) in all_of(context, &format!("{cluster}-events")).await {
        let mut document: Value = serde_json::from_slice(&payload).unwrap();
        for key in ["emitted", "latency_ms"] {
            assert!(document.as_object_mut().unwrap().remove(key).is_some(), "{key}");
        }
        found.entry(subject.rsplit('.').next().unwrap().to_owned()).or_default().push(document);
    }
    found
}

/// Documents are the expected ones, in their order, and their numbers have no holes.
pub(crate) fn assert_same(published: &BTreeMap<String, Vec<Value>>, expected: &BTreeMap<String, Vec<Value>>) {
    for (stream, expected) in expected {
        let published = published.get(stream).map_or(&[][..], Vec::as_slice);
        for (published, expected) in published.iter().zip(expected) {
            assert_eq!(published, expected, "{stream}");
        }
        assert_eq!(published.len(), expected.len(), "{stream}");
        let numbers: Vec<u64> = published.iter().map(|document| document["seq"].as_u64().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{stream}: {numbers:?}");
    }
}

/// Makes the stream of the workers' sound, which forgets what is older than `kept`, and one for the worker that nobody disturbs, which
/// forgets nothing.
pub(crate) async fn make_sound_streams(context: &Context, kept: Duration) {
    let sound = Config {
        name: "sound".to_owned(),
        subjects: vec!["cpc-stream.mic.*.audio".to_owned()],
        max_age: kept,
        storage: StorageType::Memory,
        ..Config::default()
    };
    context.create_stream(sound).await.unwrap();
    let all = Config {
        name: "calm-sound".to_owned(),
        mirror: Some(Source { name: "sound".to_owned(), ..Source::default() }),
        storage: StorageType::Memory,
        ..Config::default()
    };
    context.create_stream(all).await.unwrap();
}

/// Microphones that play sound, so many times as fast as they would.
pub(crate) struct Microphones {
    sounds: Vec<(String, Vec<i16>)>,
    started: Instant,
    haste: u32,
    /// The next chunk.
    pub(crate) next: usize,
}

impl Microphones {
    /// `seconds` of sound each, with whistles from 13 s on.
    pub(crate) fn new(mics: &[&str], seconds: u32, haste: u32) -> Self {
        Self::of(mics, haste, &|quiet| sound::whistles(seconds, quiet))
    }

    /// Sound that begins to whistle after so many seconds.
    pub(crate) fn of(mics: &[&str], haste: u32, whistles: &dyn Fn(u32) -> Vec<i16>) -> Self {
        let sounds = (13..).step_by(2).zip(mics);
        let sounds = sounds.map(|(quiet, mic)| ((*mic).to_owned(), whistles(quiet))).collect();
        Self { sounds, started: Instant::now(), haste, next: 0 }
    }

    /// Chunks of each microphone in all.
    pub(crate) fn chunks(&self) -> usize {
        self.sounds.iter().map(|(_, samples)| samples.len() / CHUNK).min().unwrap()
    }

    /// Publishes the next chunk of each when it is due. While the servers do not answer, it is tried again.
    pub(crate) async fn publish(&mut self, context: &Context) {
        if self.next == 0 {
            self.started = Instant::now();
        }
        let due = self.started + Duration::from_millis(20) * self.next as u32 / self.haste;
        tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
        for (session, (mic, samples)) in (7..).zip(&self.sounds) {
            let bytes = sound::bytes(&samples[self.next * CHUNK..(self.next + 1) * CHUNK]);
            let first = (self.next * CHUNK) as u64;
            let chunk = Chunk { pcm: PcmForm::default(), session, first, delay_ms: 0, bytes: bytes.into() };
            let chunk = chunk.write(ChunkCoding::Pcm);
            while !stored(context, format!("cpc-stream.mic.{mic}.audio"), chunk.clone()).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        self.next += 1;
    }

    /// Says how long it took from the onset of each event, by the pace of the microphones, until its first document was stored.
    pub(crate) async fn report_delays(&self, context: &Context, cluster: &str) {
        let stream = format!("{cluster}-events");
        let began = SystemTime::now() - self.started.elapsed();
        let began = began.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let stored = times_of(context, &stream).await;
        let mut delays = Vec::new();
        for ((_, payload), stored) in all_of(context, &stream).await.into_iter().zip(stored) {
            let document: Value = serde_json::from_slice(&payload).unwrap();
            if document["phase"] == "new" {
                let onset = document["onset_sample"].as_u64().unwrap() as usize / CHUNK;
                let due = began + Duration::from_millis(20) * onset as u32 / self.haste;
                delays.push(stored.as_secs_f64() - due.as_secs_f64());
            }
        }
        delays.sort_by(f64::total_cmp);
        let at = |share: f64| delays[((delays.len() - 1) as f64 * share).round() as usize];
        eprintln!(
            "{} events, told after their onset: p50 {:.2} s, p99 {:.2} s, {:.2} s at most",
            delays.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

async fn stored(context: &Context, subject: String, chunk: Vec<u8>) -> bool {
    match context.publish(subject, chunk.into()).await {
        Ok(answer) => answer.await.is_ok(),
        Err(_) => false,
    }
}

/// A runtime for the test's own connection.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
