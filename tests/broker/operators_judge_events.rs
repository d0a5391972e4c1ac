//! Verdicts on events come over the broker, reach the detector and are answered.
#![cfg(feature = "mqtt")]

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, program};
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::event::Event;
use cpc_stream::internal::publish::{Response, ResponseStatus};

const LONG: Duration = Duration::from_secs(60);
const REQUEST: &str = "cpc-stream/hall/request/ack-event";

#[test]
fn a_verdict_request_is_executed_and_answered() {
    let scene = Scene::machine_room(40.0, 8.0, 1).unwrap();
    let broker = Broker::start();
    let events = broker.subscribe("cpc-stream/hall/+/event");
    let answers = broker.subscribe("cpc-stream/hall/response/ack-event");
    let home = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = program(home.path());
        command
            .args(["--input", "-", "--stdin-float", "--node", "hall", "--broker", &broker.url()])
            .args(["--calibrate-seconds", "30", "--events-per-hour", "20"])
            .stdin(Stdio::piped());
        let mut daemon = Daemon::start(&mut command);
        let pipe = daemon.stdin();
        (daemon, pipe)
    };
    let (daemon, mut pipe) = start();
    let bytes: Vec<u8> = scene.samples.iter().copied().flat_map(f32::to_le_bytes).collect();
    pipe.write_all(&bytes).unwrap();
    let event: Event = serde_json::from_str(&events.next("/event", LONG).payload).unwrap();

    let ask = |request: &str| -> Response {
        broker.publish(REQUEST, request);
        serde_json::from_str(&answers.next("/ack-event", Duration::from_secs(10)).payload).unwrap()
    };
    let by_id = ask(&format!(r#"{{"id":"{}","verdict":"normal","transaction":"t1"}}"#, event.id));
    assert_eq!((by_id.status, by_id.transaction.as_deref()), (ResponseStatus::Ok, Some("t1")), "{by_id:?}");
    let number = event.finding.number;
    let by_number = ask(&format!(r#"{{"stream":"{}","number":{number},"verdict":"anomaly"}}"#, event.stream));
    assert_eq!((by_number.status, by_number.error, by_number.transaction), (ResponseStatus::Ok, None, None));
    daemon.await_log(&["was judged", "Anomaly"], LONG);
    let about = by_id.data.unwrap();
    assert_eq!((about["id"].as_str(), about["detector_informed"].as_bool()), (Some(&*event.id), Some(true)));
    daemon.await_log(&[&format!("somebody asks on {REQUEST}, transaction \"t1\": {{")], LONG);

    for (request, why) in [
        (r#"{"id":"01J00000000000000000000000","verdict":"normal"}"#.to_owned(), "no event of that id"),
        (format!(r#"{{"stream":"{}","number":999,"verdict":"normal"}}"#, event.stream), "event 999"),
        (r#"{"stream":"nowhere","number":0,"verdict":"normal"}"#.to_owned(), "no stream nowhere"),
        (r#"{"stream":"nowhere","last":true,"verdict":"normal"}"#.to_owned(), "no event of a stream nowhere"),
        (r#"{"verdict":"normal"}"#.to_owned(), "names no event"),
        ("no json".to_owned(), "expected"),
        ("x".repeat(3000), "3000 bytes"),
    ] {
        let answer = ask(&request);
        assert_eq!(answer.status, ResponseStatus::Error);
        assert!(answer.error.as_deref().unwrap_or_default().contains(why), "{request}: {answer:?}");
    }
    daemon.await_log(&[&format!("a request on {REQUEST} was refused")], LONG);
    drop(pipe);
    daemon.stop(Duration::from_secs(20));

    // a run later no detector knows the event, and the event store has it
    let (daemon, pipe) = start();
    daemon.await_log(&["connected to the broker"], LONG);
    for named in [format!(r#""id":"{}""#, event.id), format!(r#""stream":"{}","last":true"#, event.stream)] {
        let later = ask(&format!(r#"{{{named},"verdict":"anomaly"}}"#));
        assert_eq!(later.status, ResponseStatus::Ok, "{later:?}");
        assert_eq!(later.data.unwrap()["detector_informed"], false);
    }
    daemon.await_log(&[&format!("event {} of an earlier time was judged: anomaly", event.id)], LONG);
    let (outcome, _) = daemon.stop(Duration::from_secs(20));
    drop(pipe);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}
