//! What may be asked of a daemon over the broker: what is allowed is carried out and answered, the rest is refused,
//! answered and counted.
#![cfg(feature = "mqtt")]

use std::io::Write;
use std::time::Duration;

use crate::support::broker::{Broker, Subscriber, await_for};
use crate::support::daemon::{Daemon, program};
use crate::support::sound::write_wav;
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::publish::{Health, Response, ResponseStatus};

const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(15);
const BASE: &str = "cpc-stream/hall";

struct Asker<'a> {
    broker: &'a Broker,
    answers: Subscriber,
}

impl Asker<'_> {
    fn ask(&self, command: &str, payload: &str) -> Response {
        self.broker.publish(&format!("{BASE}/request/{command}"), payload);
        let heard = self.answers.next(&format!("/response/{command}"), SOON);
        serde_json::from_str(&heard.payload).unwrap()
    }

    fn done(&self, command: &str, payload: &str) -> Response {
        let answer = self.ask(command, payload);
        assert_eq!(answer.status, ResponseStatus::Ok, "{command} {payload}: {answer:?}");
        answer
    }

    fn refused(&self, command: &str, payload: &str, why: &str) {
        let answer = self.ask(command, payload);
        assert_eq!(answer.status, ResponseStatus::Error, "{command} {payload}");
        assert!(answer.error.as_deref().unwrap_or_default().contains(why), "{command} {payload}: {answer:?}");
    }
}

fn health(of: &Subscriber, fits: impl Fn(&Health) -> bool) -> Health {
    await_for("a health document", SOON, || {
        let health: Health = serde_json::from_str(&of.next("/health", SOON).payload).unwrap();
        fits(&health).then_some(health)
    })
}

#[test]
fn allowed_commands_run_and_others_are_refused_and_counted() {
    // sounds in the second part; normal is learnt in the first
    let scene = Scene::machine_room(40.0, 8.0, 1).unwrap();
    let broker = Broker::start();
    let states = broker.subscribe(&format!("{BASE}/+/state/+"));
    let healths = broker.subscribe(&format!("{BASE}/health"));
    let events = broker.subscribe(&format!("{BASE}/+/event"));
    let asker = Asker { broker: &broker, answers: broker.subscribe(&format!("{BASE}/response/+")) };
    let home = tempfile::tempdir().unwrap();
    let config = "[publish]\ncommands = [\"mute\", \"budget\", \"recalibrate\", \"snapshot\", \"reload\"]\nhealth_s = 1\n\
                  [snapshots]\nclip = true\n[detect]\ncalibrate_seconds = 30.0\nevents_per_hour = 20.0\n";
    let mut daemon = Daemon::of_a_pipe(home.path(), config, &broker.url());
    let mut pipe = daemon.stdin();
    let bytes: Vec<u8> = scene.samples.iter().copied().flat_map(f32::to_le_bytes).collect();
    let (quiet, loud) = bytes.split_at(31 * 16_000 * 4);
    pipe.write_all(quiet).unwrap();
    daemon.await_log(&["calibrated"], LONG);
    assert_eq!(states.next("/stdin/state/budget", SOON).payload, "20");
    assert_eq!(states.next("/stdin/state/mute", SOON).payload, "0");

    // a setting by its topic, and the same as a request
    broker.publish(&format!("{BASE}/stdin/set/budget"), "12.5");
    assert_eq!(states.next("/stdin/state/budget", SOON).payload, "12.5");
    let answer = asker.answers.next("/response/budget", SOON).payload;
    assert!(answer.contains("\"ok\""), "{answer}");
    let answer = asker.done("budget", r#"{"stream":"stdin","events_per_hour":15,"transaction":"b"}"#);
    assert_eq!(answer.transaction.as_deref(), Some("b"));
    assert_eq!(answer.data, Some(serde_json::json!({"streams": ["stdin"]})));
    assert_eq!(states.next("/stdin/state/budget", SOON).payload, "15");

    asker.refused("budget", r#"{"events_per_hour":0}"#, "events_per_hour");
    asker.refused("budget", r#"{"stream":"nowhere","events_per_hour":1}"#, "no stream nowhere");
    asker.refused("mute", r#"{"seconds":90000}"#, "86400");
    asker.refused("mute", "no json", "expected");
    asker.refused("ack-event", r#"{"id":"x","verdict":"normal"}"#, "not accepted");
    asker.refused("shutdown", "{}", "no command shutdown");
    asker.refused("mute", &"x".repeat(3000), "3000 bytes");
    let refused = 7;

    // muted, the sounds are not told; later ones are
    asker.done("mute", r#"{"seconds":600}"#);
    assert_eq!(states.next("/stdin/state/mute", SOON).payload, "600");
    pipe.write_all(loud).unwrap();
    let counted = health(&healths, |health| health.streams.values().any(|stream| stream.muted >= 2));
    assert_eq!((counted.events_accepted, counted.requests_refused), (0, refused));
    assert_eq!(events.rest(), []);
    asker.done("mute", r#"{"seconds":0}"#);

    // what was heard last, as a file
    let answer = asker.done("snapshot", r#"{"stream":"stdin","seconds":3}"#);
    let name = answer.data.unwrap()["snapshot"].as_str().unwrap().to_owned();
    let clip = home.path().join("state").join(format!("{name}.wav"));
    let samples = await_for("the clip", SOON, || Some(hound::WavReader::open(&clip).ok()?.duration()));
    assert_eq!(samples, 3 * 16_000);

    asker.done("recalibrate", "{}");
    daemon.await_log(&["calibrating again, on request"], SOON);
    let counted = health(&healths, |health| health.requests_done >= 6);
    assert_eq!(counted.requests_refused, refused);

    // the file as it is now: what can be changed at once is, the rest is named
    std::fs::write(home.path().join("c.toml"), config.replace("= 20.0", "= 7.0").replace("true", "false"))
        .unwrap();
    let answer = asker.done("reload", "");
    assert_eq!(states.next("/stdin/state/budget", SOON).payload, "7");
    let changes = answer.data.unwrap()["changes"].as_str().unwrap().to_owned();
    assert!(changes.contains("in force now: detect.events_per_hour"), "{changes}");
    assert!(changes.contains("restart: snapshots.clip"), "{changes}");
    std::fs::write(home.path().join("c.toml"), "[detect]\nevents_per_hour = -3\n").unwrap();
    asker.refused("reload", "{}", "detect.events_per_hour is -3");

    drop(pipe);
    let (outcome, _) = daemon.stop(Duration::from_secs(20));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

#[test]
fn streams_of_several_threads_are_asked_as_one() {
    let broker = Broker::start();
    let states = broker.subscribe(&format!("{BASE}/+/state/budget"));
    let healths = broker.subscribe(&format!("{BASE}/health"));
    let asker = Asker { broker: &broker, answers: broker.subscribe(&format!("{BASE}/response/+")) };
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::machine_room(60.0, 8.0, 1).unwrap();
    let samples: Vec<i16> = scene.samples.iter().map(|x| (x * 32_767.0) as i16).collect();
    write_wav(&home.path().join("room.wav"), &samples, 16_000);
    let mut config = "[publish]\ncommands = [\"mute\", \"budget\", \"recalibrate\", \"reload\", \"ack-event\"]\nhealth_s = 1\n\
                      [model]\nthreads = 2\n[detect]\nevents_per_hour = 20.0\n"
        .to_owned();
    for id in ["a", "b", "c"] {
        config.push_str(&format!("[[source]]\nid = \"{id}\"\nfile = \"room.wav\"\n"));
    }
    let file = |text: &str| std::fs::write(home.path().join("c.toml"), text).unwrap();
    file(&config);
    let mut command = program(home.path());
    command.args(["--config", "c.toml", "--node", "hall", "--broker", &broker.url(), "--state-dir", "state"]);
    let daemon = Daemon::start(&mut command);
    daemon.await_log(&["2 threads share 3 streams"], LONG);
    for _ in 0..3 {
        assert_eq!(states.next("/state/budget", SOON).payload, "20");
    }
    let streams = |answer: Response| {
        let mut named: Vec<String> = serde_json::from_value(answer.data.unwrap()["streams"].clone()).unwrap();
        named.sort();
        named
    };
    assert_eq!(streams(asker.done("budget", r#"{"events_per_hour":9}"#)), ["a", "b", "c"]);
    assert_eq!(streams(asker.done("mute", r#"{"stream":"b","seconds":60}"#)), ["b"]);
    assert_eq!(streams(asker.done("recalibrate", "{}")), ["a", "b", "c"]);
    asker.refused("mute", r#"{"stream":"nowhere","seconds":60}"#, "no stream nowhere");
    asker.refused("ack-event", r#"{"id":"x","verdict":"normal"}"#, "no event of that id");
    asker.refused(
        "ack-event",
        r#"{"stream":"b","number":7,"verdict":"normal"}"#,
        "does not remember event 7",
    );
    for _ in 0..3 {
        assert_eq!(states.next("/state/budget", SOON).payload, "9");
    }
    file(&config.replace("20.0", "30.0"));
    let answer = asker.done("reload", "{}");
    assert!(answer.data.unwrap()["changes"].as_str().unwrap().contains("detect.events_per_hour"));
    for _ in 0..3 {
        assert_eq!(states.next("/state/budget", SOON).payload, "30");
    }
    let all = health(&healths, |health| health.streams.values().all(|stream| stream.samples_scored > 16_000));
    assert_eq!((all.streams.len(), all.requests_refused), (3, 3));
}
