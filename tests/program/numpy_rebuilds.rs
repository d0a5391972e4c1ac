//! z and c of a recording, computed in numpy from the facts of `docs/representation.md`, are those of the program.

use std::f64::consts::TAU;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::daemon::lab;
use crate::support::sound::write_wav;

#[test]
fn numpy_gives_the_same_z_and_c() {
    if !Command::new("python3").args(["-c", "import numpy"]).output().is_ok_and(|told| told.status.success())
    {
        eprintln!("skipped: no python3 with numpy is here (apt-get install python3-numpy)");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let recording = home.path().join("recording.wav");
    let sample = |i: u32| {
        let t = f64::from(i) / 16_000.0;
        let noise = f64::from(i.wrapping_mul(2_654_435_761).rotate_left(9)) / f64::from(u32::MAX) - 0.5;
        ((0.4 * (TAU * (200.0 + 900.0 * t) * t).sin() + 0.1 * noise) * 32_000.0) as i16
    };
    write_wav(&recording, &(0..48_100).map(sample).collect::<Vec<i16>>(), 16_000);
    let encoded = lab(
        home.path(),
        &["encode", "recording.wav", "--out", "features.safetensors"],
        Duration::from_secs(60),
    );
    assert_eq!(encoded.code, Some(0), "{}", encoded.stderr);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let told = Command::new("python3")
        .arg(root.join("docs/rebuild.py"))
        .arg(root.join("models/cpc-edge.safetensors"))
        .args([&recording, &home.path().join("features.safetensors")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(
        told.status.success() && text.contains("c: largest difference"),
        "{text}{}",
        String::from_utf8_lossy(&told.stderr)
    );
}
