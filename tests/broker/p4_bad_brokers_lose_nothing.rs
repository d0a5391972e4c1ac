//! P4: whatever brokers and networks do, no event is lost, nothing wedges, and the log stays quiet.
#![cfg(feature = "mqtt")]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::broker::{Broker, Subscriber, await_for};
use crate::support::events::{event, this_binary};
use crate::support::proxy::{Mood, Proxy};
use crate::support::shim;
use cpc_stream::internal::event::Event;
use cpc_stream::internal::publish::{
    EventSender, Outgoing, Protocol, PublishConfig, Publisher, PublisherStatus,
};

const LONG: Duration = Duration::from_secs(60);
/// Far more than the promise: machines that run tests are busy.
const BACK: Duration = Duration::from_secs(15);

/// A publisher behind a proxy, with a steady stream of events.
struct Trial {
    what: &'static str,
    broker: Broker,
    proxy: Proxy,
    publisher: Publisher,
    status: Arc<PublisherStatus>,
    sent: Arc<Mutex<(u64, bool)>>,
    load: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Trial {
    fn start(what: &'static str, broker: Broker, change: impl FnOnce(&mut PublishConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let proxy = Proxy::to(broker.address());
        let mut config =
            PublishConfig { broker: Some(proxy.url()), keep_alive_s: 2, ..PublishConfig::default() };
        change(&mut config);
        let publisher = Publisher::start(&config, "node", dir.path()).unwrap();
        let (status, sent) = (publisher.status(), Arc::new(Mutex::new((0, false))));
        let (sender, shared) = (publisher.sender(), sent.clone());
        let load = thread::spawn(move || load(&sender, &shared));
        await_for("the first connection", LONG, || status.connected().then_some(()));
        Self { what, broker, proxy, publisher, status, sent, load, _dir: dir }
    }

    /// Waits until the loss of the link was noticed; how long that took.
    fn lost(&self, limit: Duration) -> Duration {
        let start = Instant::now();
        await_for("the loss to be noticed", limit, || (!self.status.connected()).then_some(()));
        start.elapsed()
    }

    /// Waits until the link is back and events are confirmed again.
    fn back(&self) -> Duration {
        let start = Instant::now();
        await_for("the link to be back", BACK, || self.status.connected().then_some(()));
        let took = start.elapsed();
        let acked = self.status.acked();
        await_for("receipts", BACK, || (self.status.acked() > acked).then_some(()));
        took
    }

    /// Ends the load; nothing may be missing of what was sent from number `from` on.
    fn finish(self, subscriber: &Subscriber, from: u64, figures: &str) {
        self.sent.lock().unwrap().1 = true;
        self.load.join().unwrap();
        let events = self.sent.lock().unwrap().0;
        await_for("all receipts", LONG, || (self.status.pending() == 0).then_some(()));
        let (mut next, mut repeats) = (from, 0);
        while next < events {
            let heard = subscriber.next("/event", LONG);
            assert!(!heard.retained);
            let seq = serde_json::from_str::<Event>(&heard.payload).unwrap().seq;
            assert!(seq <= next, "{}: {seq} came where {next} was due: lost", self.what);
            if seq == next { next += 1 } else { repeats += 1 }
        }
        let report = self.publisher.stop(Duration::from_secs(5));
        assert_eq!((report.accepted, report.acked, report.pending, report.dropped), (events, events, 0, 0));
        assert!(report.clean && report.refused == 0, "{report:?}");
        println!("P4 {}: 0 of {events} lost (promised 0), {repeats} repeats{figures}", self.what);
    }
}

/// An event every 2 ms until it is told to stop.
fn load(sender: &EventSender, sent: &Mutex<(u64, bool)>) {
    for seq in 0.. {
        assert!(sender.send_timeout(Outgoing::Event(Box::new(event("mic", seq))), LONG));
        let mut sent = sent.lock().unwrap();
        sent.0 = seq + 1;
        if sent.1 {
            break;
        }
        drop(sent);
        thread::sleep(Duration::from_millis(2));
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

const EVENTS: &str = "cpc-stream/node/+/event";

#[test]
fn killed_and_started_without_persistence() {
    let mut trial = Trial::start("kill -9 of the broker", Broker::start(), |_| ());
    let before = trial.broker.subscribe(EVENTS);
    await_for("load", LONG, || (trial.status.acked() > 100).then_some(()));
    trial.broker.kill();
    trial.lost(BACK);
    thread::sleep(Duration::from_millis(300));
    // what the dead broker had confirmed and not passed on is gone with it; the rest may not be
    let (acked, mut seen) = (trial.status.acked(), 0);
    for heard in before.rest() {
        seen = serde_json::from_str::<Event>(&heard.payload).unwrap().seq.max(seen);
    }
    drop(before);
    trial.proxy.set(Mood::Shut);
    trial.broker.start_again();
    let after = trial.broker.subscribe(EVENTS);
    trial.proxy.set(Mood::Fair);
    let back = trial.back();
    assert!(seen + 64 >= acked, "{seen} of {acked}");
    trial.finish(&after, acked.max(seen + 1), &format!(", back in {} (promised 5 s)", seconds(back)));
}

#[test]
fn stopped_dead_and_continued() {
    let trial = Trial::start("SIGSTOP", Broker::start(), |_| ());
    let subscriber = trial.broker.subscribe(EVENTS);
    let from = trial.sent.lock().unwrap().0;
    trial.broker.freeze();
    let found = trial.lost(Duration::from_secs(12));
    trial.broker.thaw();
    let back = trial.back();
    let figures = format!(", found in {} at a keep-alive of 2 s, back in {}", seconds(found), seconds(back));
    trial.finish(&subscriber, from, &figures);
}

fn half_open(keep_alive_s: u16, protocol: Protocol) {
    let set = |config: &mut PublishConfig| (config.keep_alive_s, config.protocol) = (keep_alive_s, protocol);
    let trial = Trial::start("half-open TCP", Broker::start(), set);
    let subscriber = trial.broker.subscribe(EVENTS);
    let from = trial.sent.lock().unwrap().0;
    trial.proxy.set(Mood::Mute);
    let found = trial.lost(Duration::from_secs(30));
    trial.proxy.cut();
    let back = trial.back();
    let figures = format!(
        ", found in {} at a keep-alive of {keep_alive_s} s (promised 25 s at 10 s), back in {} (promised 5 s)",
        seconds(found),
        seconds(back)
    );
    assert!(found <= Duration::from_secs(25), "{found:?}");
    trial.finish(&subscriber, from, &figures);
}

#[test]
fn half_open_links_are_found() {
    half_open(2, Protocol::V3);
}

/// With the settings that are built in; half a minute.
#[test]
#[ignore = "waits for 20 s"]
fn half_open_links_are_found_with_the_defaults() {
    half_open(PublishConfig::default().keep_alive_s, Protocol::V3);
    half_open(PublishConfig::default().keep_alive_s, Protocol::V5);
}

fn bad_days(protocol: Protocol) {
    let set = |config: &mut PublishConfig| {
        (config.keep_alive_s, config.protocol, config.backoff_max_s) = (5, protocol, 0.5);
    };
    let what = if protocol == Protocol::V3 { "bad days, MQTT 3.1.1" } else { "bad days, MQTT 5" };
    let trial = Trial::start(what, Broker::start(), set);
    let subscriber = trial.broker.subscribe(EVENTS);
    let from = trial.sent.lock().unwrap().0;
    let pass = |mood: Mood, for_ms: u64| {
        trial.proxy.set(mood);
        thread::sleep(Duration::from_millis(for_ms));
    };
    for _ in 0..4 {
        pass(Mood::Tear, 400);
        trial.back();
    }
    pass(Mood::MixedReceipts, 1_500);
    pass(Mood::Fair, 100);
    pass(Mood::LateReceipts(300), 2_000);
    pass(Mood::Slow(50), 1_500);
    pass(Mood::NoReceipts, 1_000);
    // receipts that were swallowed never come: only a new link helps, and it is asked for by the cut
    trial.proxy.cut();
    trial.back();
    trial.finish(&subscriber, from, "");
}

#[test]
fn torn_packets_and_receipts_that_are_late_mixed_or_lost() {
    bad_days(Protocol::V3);
}

#[test]
fn the_same_with_mqtt_5() {
    bad_days(Protocol::V5);
}

/// A broker that answers pings and never confirms: noticed after the time for receipts; half a minute.
#[test]
#[ignore = "waits for 20 s"]
fn receipts_that_never_come_are_noticed() {
    let trial = Trial::start("no PUBACK", Broker::start(), |_| ());
    let subscriber = trial.broker.subscribe(EVENTS);
    let from = trial.sent.lock().unwrap().0;
    trial.proxy.set(Mood::NoReceipts);
    let found = trial.lost(Duration::from_secs(40));
    trial.proxy.set(Mood::Fair);
    trial.back();
    assert!(found <= Duration::from_secs(25), "{found:?}");
    trial.finish(&subscriber, from, &format!(", found in {} (promised 25 s)", seconds(found)));
}

/// The child of the next tests: a publisher that logs to stderr and ends with its stdin.
#[test]
fn child() {
    let Ok(url) = std::env::var("CPC_TEST_BROKER") else { return };
    let log = std::io::stderr;
    tracing_subscriber::fmt().with_writer(log).with_ansi(false).init();
    let dir = tempfile::tempdir().unwrap();
    let password = std::env::var_os("CPC_TEST_PASSWORD").map(Into::into);
    let config = PublishConfig {
        broker: Some(url),
        username: password.is_some().then(|| "ear".to_owned()),
        password_file: password,
        ..PublishConfig::default()
    };
    let publisher = Publisher::start(&config, "node", dir.path()).unwrap();
    let (sender, status) = (publisher.sender(), publisher.status());
    let sent = Arc::new(Mutex::new((0, false)));
    let shared = sent.clone();
    let load = thread::spawn(move || load(&sender, &shared));
    let _ = std::io::stdin().read_line(&mut String::new());
    sent.lock().unwrap().1 = true;
    load.join().unwrap();
    await_for("all receipts", LONG, || (status.pending() == 0).then_some(()));
    let report = publisher.stop(Duration::from_secs(5));
    assert_eq!((report.pending, report.dropped, report.refused), (0, 0, 0));
    writeln!(std::io::stdout(), "\nsent {} acked {}", sent.lock().unwrap().0, report.acked).unwrap();
}

/// Starts the child; `trouble` runs for ten seconds before `mend`. The lines of its log in that time, and its figures.
fn child_in_trouble(variables: &[(&str, String)], mend: impl FnOnce()) -> (usize, u64) {
    let mut command = this_binary("p4_bad_brokers_lose_nothing::child");
    command.envs(variables.iter().map(|(name, value)| (name, value))).stderr(std::process::Stdio::piped());
    let mut daemon = crate::support::daemon::Daemon::start(&mut command);
    let stdin = daemon.stdin();
    thread::sleep(Duration::from_secs(10));
    let lines = daemon.log().iter().filter(|line| line.contains("broker")).count();
    mend();
    daemon.await_log(&["connected to the broker"], Duration::from_secs(30));
    drop(stdin);
    let outcome = daemon.finish(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let figures = outcome.stdout.lines().find_map(|line| line.strip_prefix("sent ")).unwrap();
    let (sent, acked) = figures.split_once(" acked ").unwrap();
    assert_eq!(sent, acked);
    (lines, sent.parse().unwrap())
}

#[test]
fn a_name_that_is_gone() {
    let (dir, broker) = (tempfile::tempdir().unwrap(), Broker::start());
    let gone = dir.path().join("gone");
    std::fs::write(&gone, "").unwrap();
    let variables = [
        ("CPC_TEST_BROKER", format!("mqtt://broker.test:{}", broker.address().port())),
        ("CPC_TEST_DNS", gone.display().to_string()),
        ("LD_PRELOAD", shim::build(dir.path()).display().to_string()),
    ];
    let (lines, sent) = child_in_trouble(&variables, || std::fs::remove_file(&gone).unwrap());
    println!("P4 DNS gone: 0 of {sent} lost (promised 0), {lines} log lines in 10 s (promised 1)");
    assert!((1..=2).contains(&lines), "a line at once, and the next after ten seconds: {lines}");
}

#[test]
fn a_wrong_password() {
    let (dir, free) = (tempfile::tempdir().unwrap(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let port = free.local_addr().unwrap().port();
    drop(free);
    let (users, password) = (dir.path().join("users"), dir.path().join("password"));
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-c", "-b", users.to_str().unwrap(), "ear", "right"])
        .status();
    assert!(made.unwrap().success());
    let broker = Broker::start_with(&format!(
        "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}",
        users.display()
    ));
    std::fs::write(&password, "wrong\n").unwrap();
    let variables = [
        ("CPC_TEST_BROKER", format!("mqtt://127.0.0.1:{port}")),
        ("CPC_TEST_PASSWORD", password.display().to_string()),
    ];
    // the password of a running daemon does not change: the broker's does
    let mend = || {
        let made = std::process::Command::new("mosquitto_passwd")
            .args(["-b", users.to_str().unwrap(), "ear", "wrong"])
            .status();
        assert!(made.unwrap().success());
        broker.reload();
    };
    let (lines, sent) = child_in_trouble(&variables, mend);
    println!("P4 wrong password: 0 of {sent} lost (promised 0), {lines} log lines in 10 s (promised 1)");
    assert!((1..=2).contains(&lines), "{lines}");
}
