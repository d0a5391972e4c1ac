//! `docs/fleet.md` on a real broker: nodes side by side, who is there is known to who comes late, and a group of consumers
//! gets each event once, also when one of them dies.
#![cfg(feature = "mqtt")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::broker::{Broker, Subscriber};
use crate::support::daemon::{Daemon, program};
use crate::support::sound;
use cpc_stream::internal::event::Event;

const SOON: Duration = Duration::from_secs(30);
/// Without an event for so long, the sound that was sent is heard out.
const QUIET: Duration = Duration::from_secs(8);
const GROUP: &str = "$share/desk/acme/+/+/+/event";

fn node(home: &Path, broker: &Broker, site: &str, name: &str) -> Daemon {
    let home = home.join(format!("{site}-{name}"));
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("c.toml"), format!("[publish]\nprefix = \"acme/{site}\"\n")).unwrap();
    let mut command = program(&home);
    command
        .args(["--config", "c.toml", "--input", "-", "--node", name, "--broker", &broker.url()])
        .args(["--calibrate-seconds", "20", "--events-per-hour", "60", "--state-dir", "state"])
        // each whistle is told
        .env("CPC_STREAM_DETECT__REPEAT_AFTER_S", "0")
        .stdin(Stdio::piped());
    Daemon::start(&mut command)
}

fn events(of: &Subscriber) -> Vec<(String, Event)> {
    let event = |heard: crate::support::broker::ReceivedMessage| {
        (heard.topic, serde_json::from_str(&heard.payload).unwrap())
    };
    of.rest().into_iter().filter(|heard| heard.topic.ends_with("/event")).map(event).collect()
}

#[test]
fn nodes_side_by_side_and_a_group_of_consumers() {
    let (home, broker) = (tempfile::tempdir().unwrap(), Broker::start());
    let all = broker.subscribe("acme/#");
    let [first, second] = [broker.subscribe(GROUP), broker.subscribe(GROUP)];
    let mut nodes: Vec<Daemon> = [("lisbon", "hall"), ("lisbon", "yard"), ("porto", "attic")]
        .map(|(site, name)| node(home.path(), &broker, site, name))
        .into();
    let whistles = sound::bytes(&sound::whistles(60, 20));
    let mut pipes: Vec<_> = nodes.iter_mut().map(Daemon::stdin).collect();
    pipes.iter_mut().for_each(|pipe| pipe.write_all(&whistles).unwrap());

    // who comes late knows who is there
    let topics = ["acme/lisbon/hall/status", "acme/lisbon/yard/status", "acme/porto/attic/status"];
    for topic in topics {
        let status = broker.subscribe(topic).next("/status", SOON);
        assert!(status.retained && status.payload.contains("online"), "{status:?}");
    }
    let mut found: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    let mut shared: [Vec<Event>; 2] = Default::default();
    // until the sound so far is heard out: enough events, all of them shared, and none for a while
    let mut gather = |first: Option<&Subscriber>, second: &Subscriber, enough: usize| {
        let limit = Instant::now() + Duration::from_secs(180);
        let (mut last, mut since) = (0, Instant::now());
        loop {
            for (topic, event) in events(&all) {
                found.entry(topic).or_default().push(event);
            }
            shared[0].extend(first.into_iter().flat_map(events).map(|(_, event)| event));
            shared[1].extend(events(second).into_iter().map(|(_, event)| event));
            let told: usize = found.values().map(Vec::len).sum();
            if told != last {
                (last, since) = (told, Instant::now());
            }
            let both = shared.each_ref().map(Vec::len);
            if told >= enough && both.iter().sum::<usize>() >= told && since.elapsed() > QUIET {
                return (found.clone(), shared.clone());
            }
            assert!(Instant::now() < limit, "{told} events, {enough} wanted, {both:?} shared");
            thread::sleep(Duration::from_millis(50));
        }
    };
    let (told, divided) = gather(Some(&first), &second, 12);
    assert_eq!(told.len(), 3, "{:?}", told.keys());
    assert!(divided.iter().all(|events| !events.is_empty()), "one consumer had all the work");
    let before = told.values().map(Vec::len).sum::<usize>();

    drop(first);
    pipes.iter_mut().for_each(|pipe| pipe.write_all(&whistles).unwrap());
    let (told, divided) = gather(None, &second, before + 6);
    let mut ids: Vec<String> = divided.iter().flatten().map(document).collect();
    let mut expected: Vec<String> = told.values().flatten().map(document).collect();
    ids.sort();
    expected.sort();
    ids.dedup();
    assert_eq!(ids, expected, "each event comes to the group");
    for events in told.values() {
        assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq), "in order by stream");
    }

    // the last will of who is killed, and of nobody else
    // while its input goes on: who stops by itself says `stopped`
    nodes.remove(0).kill();
    let status = broker.subscribe("acme/lisbon/hall/status");
    let limit = Instant::now() + SOON;
    while !status.next("/status", SOON).payload.contains("offline") {
        assert!(Instant::now() < limit);
    }
    drop(pipes);
}

/// What tells one document of an event from the others.
fn document(event: &Event) -> String {
    format!("{} {:?} {}", event.id, event.finding.phase, event.seq)
}
