//! The documents as other programs read them, held still.

use super::*;
use crate::event::{Detail, Event, Finding, Kind, Nearest, Phase, samples};
use crate::publish::{ClusterStreamHealth, Gap, GapReason, StreamProgress};

const HEALTH: &str = r#"{"time":"2026-01-02T03:04:05Z","version":"0.1.0","boot":"01J00000000000000000000001","uptime_s":60.5,"samples_in":100,"samples_scored":90,"samples_shed":10,"events_accepted":9,"events_acked":5,"events_pending":3,"events_dropped":1,"events_refused":2,"requests_done":11,"requests_refused":12,"broker":{"connected":false,"faults":["x"],"reason":"refused","since":"2026-01-02T03:04:00Z"},"outbox":{"pending":3,"bytes":1234,"dropped":1,"degraded":false,"removed":true,"corrupt_files":2},"snapshots_written":6,"snapshots_dropped":4,"hop_p50_us":310.0,"hop_p99_us":800.5,"delays":{"heard":{"p50_us":25000.0,"p99_us":31000.0,"p999_us":40000.5},"step":{"p50_us":90.0,"p99_us":120.0,"p999_us":300.0},"commit":{"p50_us":1500.0,"p99_us":4000.0,"p999_us":9000.0}},"load_percent":3.5,"rss_bytes":1000000,"streams":{"mic":{"overruns":1,"xruns":2,"lost_samples":320,"lost_percent":1.25,"samples_in":100,"samples_scored":90,"samples_shed":10,"not_finite":4,"model_resets":12,"bytes_refused":13,"measured_hz":48000,"configured_hz":16000,"input":{"state":"clipping","faint":1,"offset":2,"clipping":3,"stuck":4,"silent":5,"invalid":6},"capped":7,"known":8,"repeats":12,"muted":11,"learning_failed":12,"regimes":10,"threshold":3.556,"budget_per_hour":2.5}},"cluster":{"connected":true,"stored":1,"repeated":2,"fenced":3,"taken":4,"lost":5,"inexact":6,"snapshots":7,"snapshot_bytes":8,"streams":{"mic":{"owner":"w1","lag_s":0.5,"snapshot_age_s":null}}}}"#;
const SCORE: &str = r#"{"t_s":12.5,"time":"2026-01-02T03:04:05Z","surprise":1.25,"novelty":0.5,"level_dbfs":-40.5,"p":0.001,"score":3.0,"state":"watching"}"#;
const CALIBRATING: &str = r#"{"t_s":1.5,"time":"2026-01-02T03:04:05Z","surprise":null,"novelty":null,"level_dbfs":-40.5,"p":null,"score":null,"state":"calibrating","learning":{"fraction":0.42,"until":"2026-01-02T03:09:05.000Z"}}"#;
const GAP: &str = r#"{"schema":1,"phase":"gap","id":"01J00000000000000000000002","stream":"mic","dropped":12,"from":"2026-01-02T03:04:05Z","until":"2026-01-02T04:04:05Z","reason":"size"}"#;

fn holds<T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug>(value: &T, golden: &str) {
    assert_eq!(serde_json::to_string(value).unwrap(), golden);
    assert_eq!(&serde_json::from_str::<T>(golden).unwrap(), value);
}

fn delay(p50_us: f64, p99_us: f64, p999_us: f64) -> Delay {
    Delay { p50_us, p99_us, p999_us, ..Delay::default() }
}

#[test]
fn event_document() {
    let event: Event = serde_json::from_str(samples::DOCUMENT).unwrap();
    assert_eq!(serde_json::to_string_pretty(&event).unwrap() + "\n", samples::DOCUMENT);
}

#[test]
fn event_document_of_the_end() {
    let mut finding = Finding {
        phase: Phase::End,
        offset_sample: Some(56_000),
        offset_s: Some(3.5),
        kind: Kind::Late,
        detail: Detail { due_s: Some(1.25), offset_ms: Some(120.5), ..Detail::default() },
        repeat_of: Some(1),
        repeats: 4,
        nearest: Some(Nearest { number: 2, cosine: 0.75 }),
        regime: true,
        ..samples::finding(3)
    };
    finding.summarise();
    finding.grade();
    let event = Event {
        offset: Some("2026-01-02T03:04:06Z".into()),
        snapshot: Some("a".into()),
        label: Some("door".into()),
        similarity: Some(0.5),
        heard: 2,
        finding,
        ..samples::event("mic", 7)
    };
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "phase": "end", "seq": 7, "number": 3, "offset": "2026-01-02T03:04:06Z", "offset_sample": 56_000, "offset_s": 3.5,
        "kind": "late", "detail": {"due_s": 1.25, "offset_ms": 120.5}, "repeat_of": 1, "repeats": 4,
        "summary": "a beat came 120 ms late, due at 1.25 s; heard 4 times before", "severity": 47,
        "nearest": {"number": 2, "cosine": 0.75}, "regime": true, "snapshot": "a", "label": "door", "similarity": 0.5, "heard": 2,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&document[key], value, "{key}");
    }
}

#[test]
fn event_documents_without_a_kind_are_read() {
    let mut old: serde_json::Value = serde_json::from_str(samples::DOCUMENT).unwrap();
    for key in ["kind", "summary", "reported_s"] {
        assert!(old.as_object_mut().unwrap().remove(key).is_some(), "{key}");
    }
    let Finding { kind, detail, summary, repeat_of, repeats, .. } =
        serde_json::from_value::<Event>(old).unwrap().finding;
    assert_eq!((kind, detail, summary.as_str()), (Kind::Foreign, Detail::default(), ""));
    assert_eq!((repeat_of, repeats), (None, 0));
}

#[test]
fn health_document() {
    let stream = StreamHealth {
        overruns: 1,
        xruns: 2,
        lost_samples: 320,
        lost_percent: 1.25,
        samples_in: 100,
        samples_scored: 90,
        samples_shed: 10,
        not_finite: 4,
        model_resets: 12,
        bytes_refused: 13,
        measured_hz: Some(48_000),
        configured_hz: Some(16_000),
        input: InputHealth {
            state: "clipping".into(),
            faint: 1,
            offset: 2,
            clipping: 3,
            stuck: 4,
            silent: 5,
            invalid: 6,
        },
        capped: 7,
        known: 8,
        repeats: 12,
        muted: 11,
        learning_failed: 12,
        regimes: 10,
        threshold: Some(3.556),
        budget_per_hour: Some(2.5),
        chunks: None,
    };
    let of_cluster =
        ClusterStreamHealth { owner: Some("w1".to_owned()), lag_s: Some(0.5), snapshot_age_s: None };
    let health = Health {
        time: "2026-01-02T03:04:05Z".into(),
        version: "0.1.0".into(),
        boot: "01J00000000000000000000001".into(),
        uptime_s: 60.5,
        samples_in: 100,
        samples_scored: 90,
        samples_shed: 10,
        events_accepted: 9,
        events_acked: 5,
        events_pending: 3,
        events_dropped: 1,
        events_refused: 2,
        requests_done: 11,
        requests_refused: 12,
        broker: BrokerHealth {
            connected: false,
            faults: vec!["x".into()],
            reason: Some("refused".into()),
            since: Some("2026-01-02T03:04:00Z".into()),
            away_s: 0.0,
        },
        outbox: OutboxHealth {
            pending: 3,
            bytes: 1234,
            dropped: 1,
            degraded: false,
            removed: true,
            corrupt_files: 2,
        },
        snapshots_written: 6,
        snapshots_dropped: 4,
        hop_spread: crate::telemetry::DurationHistogram::default(),
        hop_p50_us: 310.0,
        hop_p99_us: 800.5,
        delays: Delays {
            heard: delay(25000.0, 31000.0, 40000.5),
            step: delay(90.0, 120.0, 300.0),
            commit: delay(1500.0, 4000.0, 9000.0),
        },
        load_percent: 3.5,
        rss_bytes: 1_000_000,
        streams: BTreeMap::from([("mic".to_owned(), stream)]),
        cluster: Some(ClusterHealth {
            connected: true,
            stored: 1,
            repeated: 2,
            fenced: 3,
            taken: 4,
            lost: 5,
            inexact: 6,
            snapshots: 7,
            snapshot_bytes: 8,
            streams: BTreeMap::from([("mic".to_owned(), of_cluster)]),
        }),
    };
    holds(&health, HEALTH);
}

#[test]
fn score_documents() {
    let watching = Score {
        t_s: 12.5,
        time: "2026-01-02T03:04:05Z".into(),
        surprise: Some(1.25),
        novelty: Some(0.5),
        level_dbfs: -40.5,
        p: Some(1e-3),
        score: Some(3.0),
        state: Watching::Watching,
        learning: None,
    };
    holds(&watching, SCORE);
    let state = Watching::Calibrating;
    let far = Some(CalibrationProgress { fraction: 0.42, until: Some("2026-01-02T03:09:05.000Z".into()) });
    let learning = Score {
        t_s: 1.5,
        surprise: None,
        novelty: None,
        p: None,
        score: None,
        state,
        learning: far,
        ..watching
    };
    holds(&learning, CALIBRATING);
    let progress = StreamProgress { state, fraction: Some(0.42), until: None };
    holds(&progress, r#"{"state":"calibrating","fraction":0.42,"until":null}"#);
    holds(&Watching::Relearning, r#""relearning""#);
}

#[test]
fn gap_document() {
    let times = ("2026-01-02T03:04:05Z".to_owned(), "2026-01-02T04:04:05Z".to_owned());
    let gap = Gap {
        id: "01J00000000000000000000002".into(),
        ..Gap::new("mic", 12, times.0, times.1, GapReason::Size)
    };
    holds(&gap, GAP);
}

#[test]
fn availability_anomaly_and_status() {
    holds(&Availability::online(), r#"{"state":"online","reason":null}"#);
    holds(&Availability::offline("unplugged"), r#"{"state":"offline","reason":"unplugged"}"#);
    assert_eq!((anomaly(true), anomaly(false)), ("ON", "OFF"));
    let words = [Status::Online, Status::Offline, Status::Stopped].map(Status::as_str);
    assert_eq!(words, ["online", "offline", "stopped"]);
}
