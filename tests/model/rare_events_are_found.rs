//! Rare events in long backgrounds: found, and found better than others find them.

use std::time::Duration;

use crate::support::daemon::run;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(420);

/// `eval detect --slice` on synthetic sound: every baseline is there, and ours is ahead of each.
#[test]
fn ours_is_ahead_of_every_baseline() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["eval", "detect", "--slice", "--budgets", "10", "--draws", "20", "--out", "report"];
    let outcome = run(home.path(), &arguments, LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let folder = home.path().join("report");
    let text = std::fs::read_to_string(folder.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["streams"][0], 4);
    let detectors = report["detectors"].as_array().unwrap();
    let names: Vec<&str> = detectors.iter().map(|d| d["name"].as_str().unwrap()).collect();
    let others =
        ["energy", "spectral flux", "log-mel Mahalanobis", "log-mel kNN", "GMM on MFCC", "autoencoder"];
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
    assert!(at_budget["recall"].as_f64().unwrap() >= 0.5, "{at_budget}");
    for file in ["report.md", "roc.svg", "fan-1.svg"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.len() > 500, "{file}");
    }
}

/// The streams can be listened to, and the truth about them is written beside them.
#[test]
fn streams_and_their_truth_are_written() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["eval", "detect", "--slice", "--write-streams", "streams"];
    let outcome = run(home.path(), &arguments, LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let folder = home.path().join("streams");
    let truth = std::fs::read_to_string(folder.join("truth.csv")).unwrap();
    assert!(truth.starts_with("file,kind,label,ratio_db,onset_s,offset_s\n"));
    for kind in [",event,", ",control,join,", ",control,gain-step,", ",control,second-clip,"] {
        assert!(truth.contains(kind), "{kind} in {truth}");
    }
    let wav = hound::WavReader::open(folder.join("fan-1.wav")).unwrap();
    assert_eq!((wav.spec().sample_rate, wav.duration()), (16_000, 150 * 16_000));
}

#[test]
fn a_stream_without_room_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let outcome = run(home.path(), &["eval", "detect", "--seconds", "100"], LIMIT);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("streams of 100 s"), "{}", outcome.stderr);
}
