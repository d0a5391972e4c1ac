//! A sound planted before a microphone becomes an event at a real broker, in time.
#![cfg(all(feature = "capture", feature = "mqtt"))]

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::support::broker::{Broker, Subscriber};
use crate::support::daemon::{Daemon, program};
use crate::support::microphone::TestMicrophone;
use crate::support::sound::{RATE, at_48_khz, is_of, planted};
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::event::{Event, Phase};
use cpc_stream::internal::publish::{Availability, Health, Presence};
use jiff::Timestamp;

const LONG: Duration = Duration::from_secs(20);

/// The next event document of the planted sound in that phase.
fn event_of(subscriber: &Subscriber, wanted: impl Fn(&Event) -> bool, limit: Duration) -> Event {
    let by = std::time::Instant::now() + limit;
    loop {
        let left = by.saturating_duration_since(std::time::Instant::now());
        let heard = subscriber.next("/event", left);
        let event: Event = serde_json::from_str(&heard.payload).unwrap();
        assert!(!heard.retained, "events are never retained");
        if wanted(&event) {
            return event;
        }
    }
}

#[test]
fn a_door_before_the_microphone_is_an_event_at_the_broker() {
    let scene = Scene::machine_room(32.5, 8.0, 1).unwrap();
    let door = planted(&scene, "door");
    let microphone = TestMicrophone::start(&at_48_khz(&scene), RATE, 1);
    let broker = Broker::start();
    let everything = broker.subscribe("cpc-stream/#");
    let events = broker.subscribe("cpc-stream/hall/+/event");
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command
        .args(["--device", "hw:0", "--node", "hall", "--broker", &broker.url()])
        .args(["--calibrate-seconds", "30", "--events-per-hour", "20"])
        .envs(microphone.env())
        .stdin(Stdio::null());
    let daemon = Daemon::start(&mut command);

    assert_eq!(everything.next("hall/status", LONG).payload, "online");
    let available = everything.next("/availability", LONG);
    let presence: Availability = serde_json::from_str(&available.payload).unwrap();
    assert_eq!((presence.state, presence.reason), (Presence::Online, None));
    // sample 0 was captured when the device was opened
    daemon.await_log(&["48000 Hz 1 ch"], LONG);
    let opened = SystemTime::now();

    let new = event_of(
        &events,
        |e| e.finding.phase == Phase::New && is_of(&e.finding, door),
        Duration::from_secs(75),
    );
    let heard_at = opened.elapsed().unwrap().as_secs_f64();
    assert_eq!((new.node.as_str(), new.stream.as_str()), ("hall", "hw_0"));
    assert!(new.latency_ms.is_finite() && new.latency_ms >= 0.0, "{}", new.latency_ms);
    assert!(new.latency_ms < 2000.0, "decided {} ms after the sound", new.latency_ms);
    let planted_at = Timestamp::try_from(opened + Duration::from_secs_f64(door.onset_s)).unwrap();
    let told: Timestamp = new.onset.parse().unwrap();
    let error = told.duration_since(planted_at).as_secs_f64();
    assert!(error.abs() < 1.0, "onset is told as {told}, the door was planted at {planted_at}");
    println!(
        "door at {:.2} s: onset {:+.3} s, wall clock {error:+.3} s, latency {:.0} ms, at the subscriber {:.2} s after it",
        door.onset_s,
        new.finding.onset_s - door.onset_s,
        new.latency_ms,
        heard_at - door.onset_s,
    );

    let end = event_of(&events, |e| e.id == new.id && e.finding.phase == Phase::End, LONG);
    assert!(end.finding.offset_s.unwrap() > door.onset_s && end.offset.is_some());
    assert!(end.seq > new.seq && end.boot == new.boot);

    let (outcome, took) = daemon.stop(Duration::from_secs(15));
    let heard_s = opened.elapsed().unwrap().as_secs_f64();
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(took < Duration::from_secs(5), "the stop took {took:?}");

    let heard = everything.rest();
    let last = |suffix: &str| &heard.iter().rfind(|h| h.topic.ends_with(suffix)).expect(suffix).payload;
    assert_eq!(last("hall/status"), "stopped");
    let anomaly: Vec<&str> =
        heard.iter().filter(|h| h.topic.ends_with("/anomaly")).map(|h| h.payload.as_str()).collect();
    assert!(anomaly.contains(&"ON") && anomaly.last() == Some(&"OFF"), "{anomaly:?}");
    let seqs: Vec<u64> = heard
        .iter()
        .filter(|h| h.topic.ends_with("/event"))
        .map(|h| serde_json::from_str::<Event>(&h.payload).unwrap().seq)
        .collect();
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>(), "events are missing or out of order");

    let health: Health = serde_json::from_str(last("hall/health")).unwrap();
    let stream = &health.streams["hw_0"];
    assert_eq!(health.samples_in, health.samples_scored + health.samples_shed);
    assert_eq!(
        health.events_accepted,
        health.events_acked + health.events_pending + health.events_dropped,
        "{health:?}"
    );
    assert_eq!(health.events_refused, 0);
    let accounted = stream.samples_in as f64 / 16_000.0 + stream.lost_samples as f64 / f64::from(RATE);
    assert!((accounted - heard_s).abs() < 5.0, "{accounted} s of sound in {heard_s} s: {stream:?}");
}
