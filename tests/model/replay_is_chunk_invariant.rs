//! The same sound gives the same events, however it is cut into pieces on its way in, and however many hops are stepped
//! together.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::daemon::{Daemon, program, run};
use crate::support::sound::{RATE, at_48_khz, is_of, planted, write_wav};
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::event::{Event, Finding};

const SETTINGS: [&str; 4] = ["--calibrate-seconds", "30", "--events-per-hour", "10"];

/// What was found, without names and times of the run.
fn findings(events: Vec<Event>) -> Vec<Finding> {
    let sequence: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(sequence, (0..events.len() as u64).collect::<Vec<_>>(), "documents are missing");
    events.into_iter().map(|event| event.finding).collect()
}

fn of_file(home: &Path, file: &Path, more: &[&str], limit: Duration) -> Vec<Finding> {
    let mut arguments = vec!["--input", file.to_str().unwrap(), "--fast"];
    arguments.extend(SETTINGS);
    arguments.extend(more);
    let outcome = run(home, &arguments, limit);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    findings(outcome.events())
}

/// What rounding does not change.
fn place(finding: &Finding) -> (u64, String, u64) {
    (finding.number, format!("{:?}", finding.phase), finding.onset_sample)
}

/// Raw PCM through a pipe, in pieces of all sizes, most of which end within a sample.
fn of_pipe(home: &Path, samples: &[i16], limit: Duration) -> Vec<Finding> {
    let rate = RATE.to_string();
    let mut command = program(home);
    command.args(["--input", "-", "--stdin-rate", &rate]).args(SETTINGS).stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let mut pipe = daemon.stdin();
    let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    let feeder = std::thread::spawn(move || {
        let (mut rest, mut random) = (bytes.as_slice(), 1u32);
        while !rest.is_empty() {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (piece, after) = rest.split_at((1 + (random >> 16) as usize % 20_011).min(rest.len()));
            pipe.write_all(piece).unwrap();
            rest = after;
        }
    });
    let outcome = daemon.finish(limit);
    feeder.join().unwrap();
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    findings(outcome.events())
}

fn check(scene: &Scene, limit: Duration) {
    let home = tempfile::tempdir().unwrap();
    let samples = at_48_khz(scene);
    let file = home.path().join("scene.wav");
    write_wav(&file, &samples, RATE);
    let whole = of_file(home.path(), &file, &[], limit);
    for name in ["crow", "door", "bell"] {
        let sound = planted(scene, name);
        assert!(whole.iter().any(|finding| is_of(finding, sound)), "the {name} was not heard: {whole:?}");
    }
    for chunk in ["7", "100", "1000"] {
        let found = of_file(home.path(), &file, &["--chunk-ms", chunk], limit);
        assert_eq!(found, whole, "in pieces of {chunk} ms");
    }
    assert_eq!(of_pipe(home.path(), &samples, limit), whole, "through a pipe");
    let together = of_file(home.path(), &file, &["--hop-batch", "8"], limit);
    let (a, b) = (together.iter().map(place), whole.iter().map(place));
    assert!(a.eq(b), "eight hops at a time: {together:?}, one at a time: {whole:?}");
}

#[test]
fn the_findings_do_not_depend_on_the_pieces() {
    check(&Scene::machine_room(32.0, 9.0, 3).unwrap(), Duration::from_secs(120));
}

/// The promise in full: ten minutes of sound, five times.
#[test]
#[ignore = "ten minutes of sound take minutes"]
fn ten_minutes_in_any_pieces_give_the_same_findings() {
    check(&Scene::machine_room(62.0, 89.5, 5).unwrap(), Duration::from_secs(900));
}
