//! The examples of the library run and find what they should.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::sound::write_wav;

/// The example of this name, which `cargo test` builds beside the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples").join(name)
}

fn output_of(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(example(name)).args(arguments).output().unwrap();
    let (text, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {text}{errors}");
    text
}

#[test]
fn wav_to_events() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("room.wav");
    // noise of 30 s at 44.1 kHz with a beep of 0.3 s at 24 s
    let sample = |i: u32| {
        let t = f64::from(i) / 44_100.0;
        let hash = i.wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(0x85EB_CA6B);
        let noise = f64::from(hash) / f64::from(u32::MAX) - 0.5;
        let beep = if (24.0..24.3).contains(&t) { (std::f64::consts::TAU * 2500.0 * t).sin() } else { 0.0 };
        ((0.03 * noise + 0.1 * beep) * 32_767.0) as i16
    };
    write_wav(&path, &(0..44_100 * 30).map(sample).collect::<Vec<i16>>(), 44_100);
    let text = output_of("wav_to_events", &[path.to_str().unwrap(), "20"]);
    let first: f64 = text.split_whitespace().next().unwrap().parse().unwrap();
    assert!((first - 24.0).abs() < 0.2, "{text}");
    assert!(text.contains("foreign sound") && text.ends_with("after the first 20 s\n"), "{text}");
}

#[test]
fn embeddings() {
    let text = output_of("embeddings", &[]);
    let rows: Vec<Vec<f32>> = text
        .lines()
        .skip(1)
        .map(|line| {
            let numbers: Vec<&str> = line.split_whitespace().rev().take(3).collect();
            numbers.iter().rev().map(|number| number.parse().unwrap()).collect()
        })
        .collect();
    assert_eq!(rows.len(), 3, "{text}");
    // each is most like itself, and a tone is more like another tone than like noise
    assert!((0..3).all(|i| (rows[i][i] - 1.0).abs() < 1e-3), "{text}");
    assert!(rows[0][1] > rows[0][2], "{text}");
}

#[test]
fn many_streams() {
    let text = output_of("many_streams", &["5", "34"]);
    let beep =
        text.lines().find(|line| line.starts_with("microphone 2: ")).unwrap_or_else(|| panic!("{text}"));
    let onset: f64 = beep.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!((onset - 29.0).abs() < 0.2, "{text}");
    assert!(text.contains("5 microphones, 34 s each"), "{text}");
}
