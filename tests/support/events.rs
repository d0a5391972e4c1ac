//! Event documents for tests, and this test binary again as a child process.

use std::process::{Command, Stdio};

use cpc_stream::internal::event::{Detail, EVENT_SCHEMA, Event, Evidence, Finding, Kind, Phase, Tier};

/// An event document of `stream` whose number is `seq`.
pub fn event(stream: &str, seq: u64) -> Event {
    let finding = Finding {
        phase: Phase::New,
        number: seq,
        onset_sample: 16_000 * seq,
        onset_s: seq as f64,
        offset_sample: None,
        offset_s: None,
        emitted_s: seq as f64 + 0.5,
        reported_s: Some(seq as f64 + 0.5),
        peak_s: seq as f64 + 0.25,
        score: 6.5,
        score_mean: 4.25,
        p: 3e-7,
        tier: Tier::Alarm,
        severity: 50,
        evidence: Evidence::Surprise,
        kind: Kind::Foreign,
        detail: Detail::default(),
        summary: "foreign sound".into(),
        repeat_of: None,
        repeats: 0,
        surprise: 9.5,
        surprise_per_k: vec![None, Some(1.5)],
        novelty: 2.5,
        band_hz: None,
        level_dbfs: -20.5,
        background_dbfs: -60.0,
        level_change_db: 0.0,
        nearest: None,
        embedding: None,
        budget_per_hour: 0.5,
        calibration: "89abcdef".into(),
        regime: false,
    };
    Event {
        schema: EVENT_SCHEMA,
        id: format!("{stream}-{seq}"),
        boot: "01J00000000000000000000001".into(),
        seq,
        node: "node".into(),
        stream: stream.to_owned(),
        onset: "2026-01-02T03:04:05.5Z".into(),
        offset: None,
        emitted: "2026-01-02T03:04:06.25Z".into(),
        latency_ms: 12.5,
        model: "0123456789ab".into(),
        snapshot: None,
        label: None,
        similarity: None,
        heard: 0,
        finding,
    }
}

/// This test binary, to run only its test `name`, with stdin and stdout piped.
pub fn this_binary(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}
