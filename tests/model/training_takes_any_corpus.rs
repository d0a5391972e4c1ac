//! A corpus with broken, empty, tiny, odd and long files trains; each of them is told in a line.

use std::path::Path;
use std::time::Duration;

use crate::support::daemon::lab;
use crate::support::sound::{teachable, write_wav};

const LIMIT: Duration = Duration::from_secs(600);
const SETTINGS: &str = "batch = 4\nanchors = 8\nhold_out = 0.2\nvalidate_windows = 4\n";

/// `seconds` of a sound at 8 kHz, the same minute again and again.
fn long_recording(path: &Path, seconds: usize) {
    let minute: Vec<i16> = (0..10).flat_map(teachable).step_by(2).collect();
    let samples: Vec<i16> = minute.iter().copied().cycle().take(8000 * seconds).collect();
    write_wav(path, &samples, 8000);
}

fn stereo(path: &Path) {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    for sample in teachable(4).into_iter().step_by(2) {
        file.write_sample(sample).unwrap();
        file.write_sample(sample / 2).unwrap();
    }
    file.finalize().unwrap();
}

fn trains(long_s: usize) {
    let home = tempfile::tempdir().unwrap();
    let corpus = home.path().join("corpus");
    std::fs::create_dir(&corpus).unwrap();
    for number in 0..8 {
        write_wav(&corpus.join(format!("{number:02}.wav")), &teachable(number), 16_000);
    }
    std::fs::copy("tests/fixtures/tone.flac", corpus.join("tone.flac")).unwrap();
    std::fs::copy("tests/fixtures/tone.ogg", corpus.join("tone.ogg")).unwrap();
    std::fs::write(corpus.join("broken.flac"), b"fLaC and then nothing that makes sense").unwrap();
    let whole = std::fs::read(corpus.join("03.wav")).unwrap();
    std::fs::write(corpus.join("torn.wav"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(corpus.join("empty.wav"), b"").unwrap();
    write_wav(&corpus.join("one.wav"), &[1000], 16_000);
    write_wav(&corpus.join("silence.wav"), &[0; 32_000], 16_000);
    std::fs::write(corpus.join("notes.txt"), "not audio").unwrap();
    stereo(&corpus.join("stereo.wav"));
    long_recording(&corpus.join("long.wav"), long_s);
    std::fs::write(home.path().join("small.toml"), SETTINGS).unwrap();
    let outcome = lab(
        home.path(),
        &["train", "--data", "corpus", "--out", "m.safetensors", "--config", "small.toml", "--steps", "6"],
        LIMIT,
    );
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
    for (file, word) in [
        ("broken.flac", "skipped"),
        ("empty.wav", "0 bytes"),
        ("one.wav", "1 samples of sound"),
        ("silence.wav", "0 samples of sound"),
        ("stereo.wav", "2 channels mixed to one"),
        ("stereo.wav", "8000 Hz resampled"),
        ("torn.wav", "damaged"),
    ] {
        let lines: Vec<&str> = outcome.stdout.lines().filter(|line| line.contains(file)).collect();
        assert!(lines.len() == 1 && lines[0].contains(word), "{file}: {lines:?}");
    }
    assert!(home.path().join("m.safetensors").exists());
}

#[test]
fn odd_files_are_told_in_a_line_each_and_the_rest_trains() {
    trains(120);
}

/// 5 hours in one file: 288 MB on disk for the moment, half a minute in a release build.
#[test]
#[ignore = "writes 288 MB"]
fn a_file_of_five_hours_trains() {
    trains(5 * 3600);
}
