//! Told events leave pictures and clips where they are asked for, never more than the cap; by default they leave
//! nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::daemon::{Daemon, program};
use crate::support::sound::write_wav;
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::event::{Event, Phase};

const LIMIT: Duration = Duration::from_secs(120);
const CAP: u64 = 1 << 20;
/// Samples a frame.
const HOP: u64 = 160;

/// A minute of a room with planted sounds, as 16-bit samples at 16 kHz in `room.wav`.
fn home() -> (tempfile::TempDir, Vec<i16>) {
    let scene = Scene::machine_room(25.0, 6.0, 1).unwrap();
    let samples: Vec<i16> = scene.samples.iter().map(|x| (x * 32_767.0).round() as i16).collect();
    let home = tempfile::tempdir().unwrap();
    write_wav(&home.path().join("room.wav"), &samples, 16_000);
    (home, samples)
}

/// The last documents of the events that the program tells with these settings.
fn ended(home: &Path, environment: &[(&str, &str)]) -> (Vec<Event>, String) {
    let mut command = program(home);
    command
        .args(["--input", "room.wav", "--fast", "--calibrate-seconds", "20", "--events-per-hour", "20"])
        .args(["--state-dir", "kept"])
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    let outcome = Daemon::start(&mut command).finish(LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let ends: Vec<Event> =
        outcome.events().into_iter().filter(|event| event.finding.phase == Phase::End).collect();
    assert!(ends.len() >= 3, "{} events: {}", ends.len(), outcome.stderr);
    (ends, outcome.stderr)
}

/// Size of every file in the folder of snapshots, by its path.
fn files(home: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for stream in fs::read_dir(home.join("kept/events")).unwrap() {
        for file in fs::read_dir(stream.unwrap().path()).unwrap() {
            let file = file.unwrap();
            found.insert(file.path(), file.metadata().unwrap().len());
        }
    }
    found
}

/// Width and height of a picture that decodes, pixels.
fn size_of_picture(path: &Path) -> (u64, u64) {
    let file = BufReader::new(fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    (u64::from(reader.info().width), u64::from(reader.info().height))
}

#[test]
fn each_reported_event_leaves_a_picture_and_a_clip_and_the_oldest_go() {
    let (home, sound) = home();
    // what earlier runs left: the first is too much at once, the second when there is more
    let folder = home.path().join("kept/events/room");
    fs::create_dir_all(&folder).unwrap();
    let earlier =
        ["01AAAAAAAAAAAAAAAAAAAAAAAA.png", "01BBBBBBBBBBBBBBBBBBBBBBBB.wav"].map(|name| folder.join(name));
    earlier.iter().for_each(|path| fs::write(path, vec![0; CAP as usize - 50_000]).unwrap());

    let (events, log) = ended(
        home.path(),
        &[
            ("CPC_STREAM_SNAPSHOTS__SPECTROGRAM", "true"),
            ("CPC_STREAM_SNAPSHOTS__CLIP", "true"),
            ("CPC_STREAM_SNAPSHOTS__PRE_ROLL_S", "0.5"),
            ("CPC_STREAM_SNAPSHOTS__MAX_BYTES", &CAP.to_string()),
        ],
    );
    assert!(!log.contains("no snapshot"), "{log}");
    let files = files(home.path());
    assert!(files.values().sum::<u64>() <= CAP, "{files:?}");
    assert!(earlier.iter().all(|path| !files.contains_key(path)), "{files:?}");

    let mut checked = 0;
    for event in events.iter().rev() {
        let stem = event.snapshot.as_deref().unwrap();
        assert_eq!(stem, format!("events/room/{}", event.id));
        let path = home.path().join("kept").join(stem);
        let (picture, clip) = (path.with_extension("png"), path.with_extension("wav"));
        if !files.contains_key(&picture) {
            break;
        }
        let (onset, offset) = (event.finding.onset_sample, event.finding.offset_sample.unwrap());
        let from = onset.saturating_sub(8_000) / HOP * HOP;
        let to = (offset + 8_000).div_ceil(HOP) * HOP;
        let to = to.min(sound.len() as u64 / HOP * HOP);
        assert_eq!(size_of_picture(&picture), ((to - from) / HOP * 4, 256));
        let mut clip = hound::WavReader::open(clip).unwrap();
        let spec = clip.spec();
        assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (1, 16_000, 16));
        let heard: Vec<i16> = clip.samples().map(|x| x.unwrap()).collect();
        let expected = &sound[from as usize..to as usize];
        assert_eq!(heard.len(), expected.len());
        assert!(heard.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= 1), "another sound at {stem}");
        checked += 1;
    }
    // the newest are there, and all that are there were checked
    assert!(checked >= 2);
    assert_eq!(files.len(), 2 * checked);
}

#[test]
fn by_default_nothing_is_written() {
    let (home, _) = home();
    let (events, _) = ended(home.path(), &[]);
    assert!(events.iter().all(|event| event.snapshot.is_none()));
    let kept = home.path().join("kept");
    assert!(!kept.join("events").exists());
    let left = fs::read_dir(&kept).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}
