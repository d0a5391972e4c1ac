//! `score` finds in recordings what the daemon would have told of them, whatever interrupts it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, Outcome, program, run};
use crate::support::sound::{RATE, at_48_khz, write_wav};
use cpc_stream::internal::cli::demo::{Planted, Scene};
use cpc_stream::internal::event::{Finding, Phase, Tier};
use serde::Deserialize;

const LIMIT: Duration = Duration::from_secs(240);

#[derive(Deserialize)]
struct Line {
    file: String,
    #[serde(flatten)]
    finding: Finding,
}

#[derive(Deserialize)]
struct Row {
    file: String,
    t_s: f64,
    surprise: Option<f64>,
    novelty: Option<f64>,
    score: f64,
    p: f64,
}

/// A machine that runs, `quiet_s` undisturbed, and then six sounds, `spacing_s` apart; at 48 kHz or 16 kHz.
fn record(path: &Path, (quiet_s, spacing_s, seed): (f64, f64, u64), rate: u32) -> Scene {
    let scene = Scene::machine_room(quiet_s, spacing_s, seed).unwrap();
    if rate == RATE {
        write_wav(path, &at_48_khz(&scene), RATE);
    } else {
        let samples: Vec<i16> = scene.samples.iter().map(|x| (x * 32_767.0).round() as i16).collect();
        write_wav(path, &samples, rate);
    }
    scene
}

fn score(home: &Path, arguments: &[&str]) -> Outcome {
    run(home, &[&["score"], arguments].concat(), LIMIT)
}

fn succeed(home: &Path, arguments: &[&str]) -> Outcome {
    let outcome = score(home, arguments);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome
}

fn lines(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rows(path: &Path) -> Vec<Row> {
    csv::Reader::from_path(path).unwrap().into_deserialize().map(Result::unwrap).collect()
}

#[test]
fn events_and_frames_of_each_recording_are_those_of_a_stream_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir_all(home.join("night/inner")).unwrap();
    let one = record(&home.join("night/b.wav"), (32.0, 5.0, 3), 16_000);
    let two = record(&home.join("night/inner/a, loud.WAV"), (32.0, 5.0, 4), RATE);
    let settings = ["--calibrate-seconds", "30", "--events-per-hour", "10"];
    let files = ["night", "night/b.wav", "--out", "e.jsonl", "--frames", "f.csv"];
    let outcome = succeed(home, &[files.as_slice(), &settings].concat());
    assert!(outcome.stdout.contains("× real time"), "{}", outcome.stdout);
    assert!(!home.join("e.jsonl.part").exists());

    let scenes = [("night/b.wav", &one), ("night/inner/a, loud.WAV", &two)];
    let events = lines(&home.join("e.jsonl"));
    for key in ["file", "onset_s", "offset_s", "emitted_s", "score", "p", "tier"] {
        let text = std::fs::read_to_string(home.join("e.jsonl")).unwrap();
        assert!(text.lines().all(|line| line.contains(&format!("\"{key}\":"))), "{key}");
    }
    let order: Vec<_> = events.iter().map(|e| (&e.file, e.finding.onset_sample)).collect();
    assert!(order.is_sorted(), "{order:?}");
    for (file, scene) in scenes {
        let found: Vec<&Finding> = events.iter().filter(|e| e.file == file).map(|e| &e.finding).collect();
        let told = |planted: &&Planted| found.iter().any(|f| planted.explains(f.onset_s));
        assert!(scene.planted.iter().filter(told).count() >= 5, "{file}: {found:?}");
        for finding in &found {
            let offset = finding.offset_s.unwrap();
            assert_eq!(finding.phase, Phase::End);
            assert!(finding.onset_s < finding.emitted_s && finding.onset_s < offset, "{finding:?}");
            assert!(finding.onset_s > 30.0 && offset <= scene.seconds(), "{finding:?}");
            assert!((finding.score + finding.p.log10()).abs() < 1e-9, "{finding:?}");
            assert!(finding.emitted_s - finding.onset_s < 1.0, "it is told when it begins");
            assert_eq!(finding.reported_s, Some(finding.emitted_s));
        }
        assert!(found.iter().any(|f| f.tier == Tier::Severe), "{found:?}");
        agrees_with_the_daemon(home, file, &settings, &found);
    }

    let text = std::fs::read_to_string(home.join("f.csv")).unwrap();
    assert!(text.starts_with("file,t_s,surprise,novelty,score,p\n"), "{text:.80}");
    let all = rows(&home.join("f.csv"));
    for (file, scene) in scenes {
        let own: Vec<&Row> = all.iter().filter(|row| row.file == file).collect();
        assert_eq!(own.len(), (10.0 * scene.seconds()).floor() as usize, "{file}");
        for (i, row) in own.iter().enumerate() {
            assert!((row.t_s - 0.1 * (i + 1) as f64).abs() < 1e-9, "row {i}: {}", row.t_s);
            assert!((row.score + row.p.log10()).abs() < 1e-4, "{}: {}, {}", row.t_s, row.score, row.p);
            // what is learnt from is scored as well, but for the second in which contexts settle; a window fills anew
            // when the learning ends
            let whole = row.t_s > 1.05 && !(31.0..31.2).contains(&row.t_s);
            assert!((row.surprise.is_some() && row.novelty.is_some()) || !whole, "{}", row.t_s);
            let empty = row.novelty.is_none() && (row.score, row.p) == (0.0, 1.0);
            assert_eq!(empty, row.t_s < 1.05, "{}", row.t_s);
        }
        for event in events.iter().filter(|e| e.file == file).map(|e| &e.finding) {
            let within = |row: &&&Row| row.t_s > event.onset_s && row.t_s < event.offset_s.unwrap() + 0.1;
            let highest = own.iter().filter(within).map(|row| row.score).fold(0.0, f64::max);
            assert!((highest - event.score).abs() < 1e-4, "{highest} in frames of {event:?}");
        }
        let learnt = own.iter().filter(|row| row.t_s < 30.0);
        let calm = learnt.filter(|row| row.score < 3.0).count();
        assert!(calm > 285, "{calm} of 300 rows are calm where the machine runs alone");
    }
}

/// The daemon, which hears hop by hop, tells the same events.
fn agrees_with_the_daemon(home: &Path, file: &str, settings: &[&str], found: &[&Finding]) {
    let outcome = run(home, &[&["--input", file, "--fast"], settings].concat(), LIMIT);
    let told: Vec<Finding> = outcome.events().into_iter().map(|event| event.finding).collect();
    let told: Vec<&Finding> = told.iter().filter(|f| f.phase == Phase::New).collect();
    assert_eq!(told.len(), found.len(), "{told:?}");
    for (live, ours) in told.iter().zip(found) {
        // rounding of matrix products may move a frame
        assert!((live.onset_s - ours.onset_s).abs() < 0.05, "{live:?}\n{ours:?}");
        assert!((live.emitted_s - ours.emitted_s).abs() < 0.05, "{live:?}\n{ours:?}");
    }
}

/// How many recordings are finished in the folder of a run.
fn finished(home: &Path) -> usize {
    let entries = std::fs::read_dir(home.join("e.jsonl.part")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "json")).count()
}

#[test]
fn whatever_interrupts_it_and_however_many_threads_the_outputs_are_the_same() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("in")).unwrap();
    for seed in 0..9 {
        record(&home.join(format!("in/{seed}.wav")), (12.5, 1.5, seed), 16_000);
    }
    let with = |out: &'static str, frames: &'static str, threads: &'static str| {
        let settings = ["--calibrate-seconds", "10", "--events-per-hour", "60"];
        [&["score", "in", "--out", out, "--frames", frames, "--threads", threads], settings.as_slice()]
            .concat()
    };
    let read = |name: &str| std::fs::read(home.join(name)).unwrap();
    for (out, frames, threads) in [("whole.jsonl", "whole.csv", "1"), ("many.jsonl", "many.csv", "4")] {
        let outcome = run(home, &with(out, frames, threads), LIMIT);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    }
    assert!(lines(&home.join("whole.jsonl")).len() >= 9);
    assert!(read("many.jsonl") == read("whole.jsonl") && read("many.csv") == read("whole.csv"));

    // one more recording is finished, and several are not
    let begin = || {
        let until = finished(home) + 1;
        let mut command = program(home);
        let running = Daemon::start(command.args(with("e.jsonl", "f.csv", "1")).stdin(Stdio::null()));
        await_for("a finished recording", LIMIT, || (finished(home) >= until).then_some(()));
        running
    };
    begin().kill();
    assert!(!home.join("e.jsonl").exists() && !home.join("f.csv").exists(), "half an output");
    let (stopped, _) = begin().stop(LIMIT);
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert!(stopped.stdout.contains("the same command goes on"), "{}", stopped.stdout);
    assert!(!home.join("e.jsonl").exists());
    // half a share is no share
    let work = home.join("e.jsonl.part");
    let share = std::fs::read_dir(&work).unwrap().map(|e| e.unwrap().path());
    let share = share.filter(|p| p.with_extension("json").exists()).find(|p| p.extension().unwrap() == "csv");
    std::fs::write(share.unwrap(), "torn").unwrap();
    let before = finished(home) - 1;
    let outcome = run(home, &with("e.jsonl", "f.csv", "2"), LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout.contains(&format!("({before} of them before)")), "{}", outcome.stdout);
    assert!(read("e.jsonl") == read("whole.jsonl") && read("f.csv") == read("whole.csv"));
    assert!(!work.exists());

    // a finished output gives way to the next one
    record(&home.join("in/0.wav"), (12.5, 1.5, 9), 16_000);
    let outcome = run(home, &with("e.jsonl", "f.csv", "2"), LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(read("f.csv") != read("whole.csv"));
    assert!(outcome.stdout.contains("over an older one"), "{}", outcome.stdout);
}

#[test]
fn unscorable_recordings_are_reported_and_skipped() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    record(&home.join("good.wav"), (12.5, 1.5, 1), 16_000);
    write_wav(&home.join("short.wav"), &[100; 5 * 16_000], 16_000);
    write_wav(&home.join("middling.wav"), &[100; 30 * 16_000], 16_000);
    write_wav(&home.join("silent.wav"), &[0; 30 * 16_000], 16_000);
    std::fs::write(home.join("empty.wav"), b"").unwrap();
    std::fs::write(home.join("text.wav"), b"no sound at all").unwrap();
    std::fs::create_dir(home.join("hollow")).unwrap();
    let bad = ["empty.wav", "text.wav", "nowhere.wav", "hollow", "short.wav", "silent.wav"];
    let settings = ["--out", "e.jsonl", "--calibrate-seconds", "10"];
    let outcome = succeed(home, &[bad.as_slice(), &["good.wav"], &settings].concat());
    for file in bad {
        let told = outcome.stderr.lines().filter(|l| l.starts_with("left out: ") && l.contains(file)).count();
        assert_eq!(told, 1, "{file} in\n{}", outcome.stderr);
    }
    assert!(outcome.stdout.contains("from 1 file, 6 left out"), "{}", outcome.stdout);
    let events = lines(&home.join("e.jsonl"));
    assert!(!events.is_empty() && events.iter().all(|event| event.file == "good.wav"));

    let outcome = score(home, &[bad.as_slice(), &["--out", "none.jsonl"]].concat());
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("fix:"), "{}", outcome.stderr);
    assert!(!home.join("none.jsonl").exists() && !home.join("none.jsonl.part").exists());
    let outcome = score(home, &["middling.wav", "--out", "none.jsonl"]);
    assert!(outcome.stderr.contains("`--calibrate-seconds 15`"), "{}", outcome.stderr);

    for wrong in [
        ["--out", "nowhere/e.jsonl", "--threads", "1"],
        ["--out", "good.wav", "--threads", "1"],
        ["--out", "g.jsonl", "--frames", "./g.jsonl"],
        ["--out", "g.jsonl", "--threads", "0"],
        ["--out", "g.jsonl", "--calibrate-seconds", "9"],
        ["--out", "g.jsonl", "--calibrate-seconds", "3601"],
    ] {
        let outcome = score(home, &[["good.wav"].as_slice(), &wrong].concat());
        assert_eq!(outcome.code, Some(2), "{wrong:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("fix:"), "{wrong:?}: {}", outcome.stderr);
    }
    assert!(!home.join("g.jsonl").exists() && !home.join("g.jsonl.part").exists());
}

/// Cuts a scene of a machine into files of `each_s` seconds, named as recorders name them.
fn record_short(
    folder: &Path,
    (quiet_s, spacing_s, seed): (f64, f64, u64),
    each_s: usize,
) -> (Scene, Vec<String>) {
    std::fs::create_dir_all(folder).unwrap();
    let scene = Scene::machine_room(quiet_s, spacing_s, seed).unwrap();
    let samples: Vec<i16> = scene.samples.iter().map(|x| (x * 32_767.0).round() as i16).collect();
    let names = samples.chunks(each_s * 16_000).enumerate().map(|(number, piece)| {
        let name = format!("20260301_{:02}{:02}00.WAV", number / 60, number % 60);
        write_wav(&folder.join(&name), piece, 16_000);
        name
    });
    let names = names.collect();
    (scene, names)
}

#[test]
fn short_files_of_a_folder_are_learnt_as_one_and_the_rest_is_scored() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let each_s = 12;
    let (scene, names) = record_short(&home.join("mic/a"), (48.0, 6.0, 3), each_s);
    record_short(&home.join("mic/b"), (48.0, 6.0, 4), each_s);
    let one = record_short(&home.join("mic/short"), (12.0, 6.0, 5), each_s).1;
    for name in &one[1..] {
        std::fs::remove_file(home.join("mic/short").join(name)).unwrap();
    }
    let settings = ["--calibrate-seconds", "30", "--events-per-hour", "10", "--frames", "f.csv"];
    let across = ["mic", "--out", "e.jsonl", "--calibrate-across"];

    let alone = score(home, &[["mic", "--out", "x.jsonl"].as_slice(), &settings].concat());
    assert_ne!(alone.code, Some(0));
    assert!(alone.stderr.contains("--calibrate-across"), "{}", alone.stderr);

    let mut results = Vec::new();
    for threads in ["1", "3"] {
        let outcome = succeed(home, &[across.as_slice(), &settings, &["--threads", threads]].concat());
        assert!(outcome.stderr.contains("left out: mic/short: "), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("30 s to learn from"), "{}", outcome.stderr);
        results.push(["e.jsonl", "f.csv"].map(|file| std::fs::read(home.join(file)).unwrap()));
    }
    assert!(results[0] == results[1], "the same whatever the number of threads");

    let events = lines(&home.join("e.jsonl"));
    // two files of 12 s are less than 30 s, so that at least the first three were learnt from
    let taught: Vec<String> = names[..3].iter().map(|name| format!("mic/a/{name}")).collect();
    assert!(events.iter().all(|event| !taught.contains(&event.file)), "no event of what was learnt from");
    let found = |planted: &&Planted| {
        events.iter().any(|event| {
            let place = names.iter().position(|name| event.file == format!("mic/a/{name}"));
            place.is_some_and(|place| planted.explains((place * each_s) as f64 + event.finding.onset_s))
        })
    };
    let count = scene.planted.iter().filter(found).count();
    assert!(count >= 3, "{count} of {} planted sounds", scene.planted.len());
    let scored: std::collections::BTreeSet<String> =
        rows(&home.join("f.csv")).into_iter().map(|row| row.file).collect();
    assert!(names[..names.len() - 1].iter().all(|name| scored.contains(&format!("mic/a/{name}"))));
    assert!(scored.iter().all(|file| !file.starts_with("mic/short")));
}

#[test]
fn files_of_three_seconds_teach_together_and_shorter_ones_are_refused_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let settings = ["--calibrate-across", "--calibrate-seconds", "10", "--events-per-hour", "60"];
    let (_, names) = record_short(&home.join("three"), (36.0, 6.0, 3), 3);
    let files = ["three", "--out", "e.jsonl", "--frames", "f.csv"];
    let outcome = succeed(home, &[files.as_slice(), &settings].concat());
    assert!(!outcome.stderr.contains("begins anew"), "{}", outcome.stderr);
    // 9 files have 9 s between them that come after the first two of each
    let scored = |name: &String| {
        let file = format!("three/{name}");
        rows(&home.join("f.csv")).iter().any(|row| row.file == file && row.score > 0.0)
    };
    assert!(names[9..names.len() - 1].iter().all(scored), "{names:?}");

    record_short(&home.join("two"), (36.0, 6.0, 3), 2);
    for across in [&settings[..], &settings[1..]] {
        let outcome = score(home, &[["two", "--out", "x.jsonl"].as_slice(), across].concat());
        assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("begins anew"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("2.5 s are the least"), "{}", outcome.stderr);
    }

    let outcome = score(home, &["nosuch", "--out", "x.jsonl"]);
    assert!(outcome.code == Some(3) && outcome.stderr.contains("check the path"), "{}", outcome.stderr);
}
