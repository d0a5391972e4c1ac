//! Two workers share three microphones over a real broker: each is heard by one, and where that one is killed, stopped by a
//! signal or asked to end, the other goes on within five seconds and without another calibration.
#![cfg(feature = "mqtt")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::broker::{Broker, Subscriber, await_for};
use crate::support::daemon::{Daemon, program};
use crate::support::schema::Document;
use crate::support::sound;
use serde_json::Value;

const MICS: [&str; 3] = ["hall", "porch", "yard"];
const SOON: Duration = Duration::from_secs(60);
/// What is promised.
const WITHIN: Duration = Duration::from_secs(5);

fn worker(home: &Path, broker: &Broker, node: &str) -> Daemon {
    let home = home.join(node);
    std::fs::create_dir_all(&home).unwrap();
    let mut config = format!(
        "node = \"{node}\"\n[pool]\nenable = true\n[publish]\nbroker = \"{}\"\n[detect]\ncalibrate_seconds = 10.0\n",
        broker.url()
    );
    for mic in MICS {
        writeln!(config, "[[source]]\nmqtt = \"{mic}\"").unwrap();
    }
    std::fs::write(home.join("c.toml"), config).unwrap();
    let mut command = program(&home);
    command.args(["--config", "c.toml", "--state-dir", "state"]).stdin(Stdio::null());
    let worker = Daemon::start(&mut command);
    worker.await_log(&["microphones: connected"], SOON);
    worker
}

fn microphone(home: &Path, broker: &Broker, mic: &str) -> Daemon {
    let file = home.join(format!("{mic}.wav"));
    sound::write_wav(&file, &sound::whistles(300, 300), 16_000);
    let mut command = program(home);
    command
        .args(["microphone", "--id", mic, "--broker", &broker.url(), "--input", file.to_str().unwrap()])
        .stdin(Stdio::null());
    Daemon::start(&mut command)
}

/// A score: when it came, from whom, of what, and what the detector does.
#[derive(Debug, Clone)]
struct Reported {
    at: Instant,
    node: String,
    mic: String,
    state: String,
}

struct Listener {
    scores: Subscriber,
    reported: Vec<Reported>,
}

impl Listener {
    fn listen(&mut self) {
        for heard in self.scores.rest() {
            let levels: Vec<&str> = heard.topic.split('/').collect();
            let score: Value = serde_json::from_str(&heard.payload).unwrap();
            let (node, mic) = (levels[1].to_owned(), levels[2].to_owned());
            let state = score["state"].as_str().unwrap().to_owned();
            self.reported.push(Reported { at: Instant::now(), node, mic, state });
        }
    }

    fn until(&mut self, what: &str, limit: Duration, mut done: impl FnMut(&[Reported]) -> bool) {
        await_for(what, limit, || {
            self.listen();
            done(&self.reported).then_some(())
        });
    }

    fn listen_for(&mut self, time: Duration) {
        let by = Instant::now() + time;
        while Instant::now() < by {
            self.listen();
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Who told of each microphone since then.
    fn hearers(&self, since: Instant) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for reported in self.reported.iter().filter(|reported| reported.at >= since) {
            found.entry(&reported.mic).or_default().insert(&reported.node);
        }
        found
    }

    /// The longest silence of a microphone since then, the present one included.
    fn silence(&self, mic: &str, since: Instant) -> Duration {
        let times = self.reported.iter().filter(|reported| reported.mic == mic).map(|reported| reported.at);
        let before = times.clone().filter(|&at| at < since).max().unwrap_or(since);
        let times: Vec<Instant> =
            [before].into_iter().chain(times.filter(|&at| at >= since)).chain([Instant::now()]).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }

    /// Each microphone is heard by one worker, `all` of them by the one that is named.
    fn assert_alone(&mut self, all_by: Option<&str>) {
        let since = Instant::now();
        self.listen_for(Duration::from_secs(3));
        let hearers = self.hearers(since);
        assert_eq!(hearers.len(), 3, "{hearers:?}");
        for (mic, nodes) in &hearers {
            assert_eq!(nodes.len(), 1, "{mic}: {nodes:?}");
            assert!(all_by.is_none_or(|node| nodes.contains(node)), "{mic}: {nodes:?}");
        }
    }

    /// Since then nobody was silent for long, and nobody learnt anything anew.
    fn assert_no_break(&self, what: &str, since: Instant) {
        for mic in MICS {
            let silence = self.silence(mic, since);
            eprintln!("{what}: {mic} was silent for {:.2} s at most", silence.as_secs_f64());
            assert!(silence <= WITHIN, "{what}: {mic} was silent for {silence:?}");
        }
        let anew = self.reported.iter().find(|reported| reported.at >= since && reported.state != "watching");
        assert!(anew.is_none(), "{what}: {anew:?}");
    }
}

/// The documents of the pool are those that are described.
fn check_documents(all: &[Subscriber]) {
    let document = Document::of(include_str!("../../docs/asyncapi-pool.yaml"));
    let mut channels = BTreeSet::new();
    for heard in all.iter().flat_map(Subscriber::rest) {
        let faults = document.faults(&heard.topic, &heard.payload);
        assert_eq!(faults, Vec::<String>::new(), "{}: {}", heard.topic, heard.payload);
        channels.insert(document.channel(&heard.topic).unwrap().0.to_owned());
    }
    assert_eq!(channels.into_iter().collect::<Vec<_>>(), ["hello", "owner", "worker"]);
}

#[test]
fn a_stream_goes_on_where_its_worker_does_not() {
    let (home, broker) = (tempfile::tempdir().unwrap(), Broker::start());
    let mut listener = Listener { scores: broker.subscribe("cpc-stream/+/+/score"), reported: Vec::new() };
    let documents =
        ["mic/+/hello", "mic/+/owner", "pool/+"].map(|of| broker.subscribe(&format!("cpc-stream/{of}")));
    let states = broker.subscribe_hex("cpc-stream/mic/+/state");
    let mut workers: BTreeMap<&str, Daemon> =
        ["w1", "w2"].into_iter().map(|node| (node, worker(home.path(), &broker, node))).collect();
    let mics = MICS.map(|mic| microphone(home.path(), &broker, mic));

    // each is heard by one, who learns what is normal and hands it on
    let watched = |reported: &[Reported]| {
        MICS.iter()
            .all(|mic| reported.iter().any(|reported| reported.mic == *mic && reported.state == "watching"))
    };
    listener.until("watched microphones", 3 * SOON, watched);
    let mut known = BTreeSet::new();
    await_for("what is known of each", SOON, || {
        known.extend(states.rest().into_iter().map(|heard| heard.topic));
        (known.len() == 3).then_some(())
    });
    listener.assert_alone(None);
    check_documents(&documents);

    // killed
    let victim =
        listener.reported.iter().rev().find(|reported| reported.mic == "porch").unwrap().node.clone();
    let other = if victim == "w1" { "w2" } else { "w1" };
    let since = Instant::now();
    workers.remove(victim.as_str()).unwrap().kill();
    listener.listen_for(Duration::from_secs(10));
    listener.assert_no_break("killed", since);
    listener.assert_alone(Some(other));

    // stopped by a signal, as a machine that hangs: nobody is told
    let back = if victim == "w1" { "w1" } else { "w2" };
    workers.insert(back, worker(home.path(), &broker, back));
    listener.listen_for(Duration::from_secs(3));
    let since = Instant::now();
    workers[other].signal("STOP");
    listener.until("the other worker", 4 * WITHIN, |reported| {
        let again = |mic: &str| {
            reported
                .iter()
                .any(|reported| reported.mic == mic && reported.node == back && reported.at > since)
        };
        MICS.iter().all(|mic| again(mic))
    });
    for mic in MICS {
        let first = listener
            .reported
            .iter()
            .find(|reported| reported.mic == mic && reported.node == back && reported.at > since);
        let took = first.unwrap().at - since;
        eprintln!("stopped by a signal: {mic} was heard again after {:.2} s", took.as_secs_f64());
        assert!(took <= WITHIN, "{mic}: {took:?}");
    }
    // and who wakes up lets go
    workers[other].signal("CONT");
    for mic in MICS {
        workers[other].await_log(&[mic, "another worker has taken it"], SOON);
    }
    // what it had said before is still on its way
    listener.listen_for(Duration::from_secs(1));
    listener.assert_alone(Some(back));
    let anew = listener.reported.iter().find(|reported| reported.at >= since && reported.state != "watching");
    assert!(anew.is_none(), "{anew:?}");

    // asked to end
    let since = Instant::now();
    workers.remove(back).unwrap().stop(SOON);
    listener.listen_for(Duration::from_secs(6));
    listener.assert_no_break("asked to end", since);
    listener.assert_alone(Some(other));
    drop(mics);
}
