//! Rare events in long backgrounds: found, and found better than others find them.

use std::path::Path;
use std::time::Duration;

use crate::support::daemon::{Outcome, lab};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(420);

/// What `cpc-lab` said, which went well.
fn measured(home: &Path, arguments: &[&str]) -> Outcome {
    let outcome = lab(home, arguments, LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome
}

/// `eval detect --slice` on synthetic foreign sounds: every baseline is there, and ours is ahead of each.
#[test]
fn ours_is_ahead_of_every_baseline() {
    let home = tempfile::tempdir().unwrap();
    let arguments = [
        "eval",
        "detect",
        "--slice",
        "--families",
        "foreign",
        "--budgets",
        "10",
        "--draws",
        "20",
        "--out",
        "report",
    ];
    measured(home.path(), &arguments);
    let folder = home.path().join("report");
    let text = std::fs::read_to_string(folder.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["streams"][0]["streams"], 4);
    assert_eq!(report["streams"].as_array().unwrap().len(), 1, "one family");
    let detectors = report["detectors"].as_array().unwrap();
    let names: Vec<&str> = detectors.iter().map(|d| d["name"].as_str().unwrap()).collect();
    let others = [
        "energy",
        "spectral flux",
        "log-mel Mahalanobis 0.5 s",
        "log-mel Mahalanobis 2 s",
        "log-mel kNN",
        "GMM on MFCC",
        "autoencoder",
        "ridge 2 s",
        "nearest neighbour 1.2 s",
    ];
    assert!(others.iter().all(|name| names.contains(name)), "{names:?}");
    let figure = |d: &Value, what: &str| d[what]["value"].as_f64().unwrap();
    let ours = &detectors[0];
    assert!(figure(ours, "auc") > 0.9, "{text}");
    for other in &detectors[1..] {
        for what in ["auc", "pauc"] {
            let (a, b) = (figure(ours, what), figure(other, what));
            assert!(a >= b - 0.01, "{what}: {a} against {b} of {}", other["name"]);
        }
    }
    // half of the streams hold a gain step of 6 dB each 20 s: none is an event
    let at_budget = &ours["budgets"][0];
    let steps = at_budget["fired"].as_array().unwrap().iter().find(|f| f[0] == "gain-step").unwrap();
    assert!(steps[1].as_u64().unwrap() <= 1 && steps[2].as_u64().unwrap() >= 4, "{steps}");
    assert!(at_budget["recall"].as_f64().unwrap() >= 0.35, "{at_budget}");
    for file in ["report.md", "roc.svg", "foreign-fan-1.svg"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.len() > 500, "{file}");
    }
}

/// Ours alone on a stream of each family: figures by family, kind, background and collection, and every control.
#[test]
fn every_family_has_its_figures() {
    let home = tempfile::tempdir().unwrap();
    let arguments = [
        "eval",
        "detect",
        "--slice",
        "--ours-only",
        "--most-streams",
        "1",
        "--budgets",
        "10",
        "--draws",
        "5",
        "--out",
        "report",
    ];
    measured(home.path(), &arguments);
    let text = std::fs::read_to_string(home.path().join("report/report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let families = report["detectors"][0]["families"].as_array().unwrap();
    let names: Vec<&str> = families.iter().map(|f| f["family"].as_str().unwrap()).collect();
    assert_eq!(names, ["foreign", "context", "faults", "benign"]);
    let auc = |f: &Value| f["auc"]["value"].as_f64();
    let mean = families[..3].iter().map(|f| auc(f).unwrap()).sum::<f64>() / 3.0;
    let over = report["detectors"][0]["auc"]["value"].as_f64().unwrap();
    assert!((over - mean).abs() < 1e-9, "{over} for {mean}");
    assert!(auc(&families[3]).is_none(), "nothing happens in benign streams");
    for family in &families[..3] {
        let kinds = family["by_kind"].as_array().unwrap();
        let count: u64 = kinds.iter().map(|k| k["count"].as_u64().unwrap()).sum();
        let streams = report["streams"].as_array().unwrap();
        let own = streams.iter().find(|s| s["family"] == family["family"]).unwrap();
        assert_eq!(own["anomalies"].as_u64().unwrap(), count, "each is of one kind: {family}");
        assert!(count >= 4 && family["by_background"].as_array().unwrap().len() == 1, "{family}");
    }
    let fired = families[3]["budgets"][0]["fired"].as_array().unwrap();
    let of = |kind: &str| fired.iter().find(|f| f[0] == kind).unwrap()[2].as_u64().unwrap();
    for kind in ["gain-step", "swell", "microphone-colour", "weather"] {
        assert!(of(kind) >= 1, "{kind} in {fired:?}");
    }
    let markdown = std::fs::read_to_string(home.path().join("report/report.md")).unwrap();
    let of_streams = report["by_stream"].as_array().unwrap();
    let fan = of_streams.iter().find(|s| s["stream"] == "foreign fan 1").unwrap();
    // 60 s of calibration are 24 s of sound
    assert_eq!((of_streams.len(), fan["learnt_s"].as_f64()), (4, Some(24.0)), "{text}");
    for part in [
        "an hour, by stream |",
        "| faults, by kind |",
        "| context, by background |",
        "without the collection",
        "| swell |",
    ] {
        assert!(markdown.contains(part), "{part} in {markdown}");
    }
}

/// The streams can be listened to, and the truth about them is written beside them.
#[test]
fn streams_and_their_truth_are_written() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["eval", "detect", "--slice", "--write-streams", "streams"];
    measured(home.path(), &arguments);
    let folder = home.path().join("streams");
    let truth = std::fs::read_to_string(folder.join("truth.csv")).unwrap();
    let head = "file,family,collection,background,role,kind,label,ratio_db,onset_s,offset_s,known_from_s,\
                unclear_until_s\n";
    assert!(truth.starts_with(head), "{truth}");
    for what in [
        "foreign,synthetic,fan,event,foreign-sound,",
        "context,synthetic,rain,event,missing-beat,",
        "context,synthetic,fan,event,stop,",
        "faults,synthetic,fan,event,dry-bearing,",
        "faults,synthetic,motor slow,event,other-state,",
        "control,join,",
        "control,gain-step,",
        "control,second-clip,",
        "benign,synthetic,fan,control,weather,",
    ] {
        assert!(truth.contains(what), "{what} in {truth}");
    }
    let streams = std::fs::read_to_string(folder.join("streams.csv")).unwrap();
    let fan = streams.lines().find(|line| line.starts_with("foreign-fan-1.wav")).unwrap();
    // 40 s of recording: 60 s are learnt from 24 of it, 90 s tested on 16
    assert_eq!(fan, "foreign-fan-1.wav,foreign,synthetic,fan,,150.000,60.000,110.000");
    let wav = hound::WavReader::open(folder.join("foreign-fan-1.wav")).unwrap();
    assert_eq!((wav.spec().sample_rate, wav.duration()), (16_000, 150 * 16_000));
}

#[test]
fn a_stream_without_room_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let outcome = lab(home.path(), &["eval", "detect", "--seconds", "100"], LIMIT);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("streams of 100 s"), "{}", outcome.stderr);
}

#[test]
fn unknown_tensors_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let outcome = lab(home.path(), &["eval", "detect", "--leave-out", "esc50"], LIMIT);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("without `--data`"), "{}", outcome.stderr);
    let outcome = lab(home.path(), &["eval", "detect", "--families", "weather"], LIMIT);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("no family `weather`"), "{}", outcome.stderr);
}

/// The budget is counted hour by hour on recordings, and what is played again is told.
#[test]
fn false_alarms_are_counted_by_the_hour() {
    let home = tempfile::tempdir().unwrap();
    let arguments = [
        "eval",
        "budget",
        "--recordings",
        "--hours",
        "0.05",
        "--backgrounds",
        "1",
        "--minutes",
        "1",
        "--budgets",
        "12",
        "--json",
    ];
    let outcome = measured(home.path(), &arguments);
    let rows: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let hours = |count: &Value| count["hours"].as_f64().unwrap();
    assert_eq!(rows[0]["by_hour"].as_array().unwrap().len(), 1);
    assert!((hours(&rows[0]["by_hour"][0]) - 0.05).abs() < 1e-3, "{rows}");
    // of 40 s, 24 are learnt from and 16 are new
    assert!((hours(&rows[0]["new"]) - 16.0 / 3600.0).abs() < 1e-4, "{rows}");
}

/// Without repeats a recording that is short gives a short calibration.
#[test]
fn no_sound_is_learnt_from_twice() {
    let home = tempfile::tempdir().unwrap();
    let arguments = [
        "eval",
        "budget",
        "--recordings",
        "--no-repeats",
        "--hours",
        "0.02",
        "--backgrounds",
        "1",
        "--minutes",
        "2",
        "--budgets",
        "12",
        "--json",
    ];
    let outcome = measured(home.path(), &arguments);
    let rows: Value = serde_json::from_str(&outcome.stdout).unwrap();
    // of 40 s, 24 are learnt from, and the last 5 of them are left to settle
    assert_eq!(rows[0]["learnt_s"].as_array().unwrap(), &[Value::from(19.0)], "{rows}");
    measured(home.path(), &["eval", "detect", "--slice", "--no-repeats", "--write-streams", "streams"]);
    let streams = std::fs::read_to_string(home.path().join("streams/streams.csv")).unwrap();
    let fan = streams.lines().find(|line| line.starts_with("foreign-fan-1.wav")).unwrap();
    // 90 s are tested on the other 16
    assert_eq!(fan, "foreign-fan-1.wav,foreign,synthetic,fan,,114.000,24.000,74.000");
}
