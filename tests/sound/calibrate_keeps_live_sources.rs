//! `calibrate` learns each source of a configuration at once, keeps what is live under the id of `run`, and says where it keeps nothing.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::support::daemon::run;

const LIMIT: Duration = Duration::from_secs(90);

/// Noise as 16-bit samples at 16 kHz.
fn noise(seed: u32, count: usize) -> Vec<i16> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 20) as i16 - 2048
    };
    (0..count).map(|_| next()).collect()
}

/// Gives 40 s of noise to whoever connects first.
fn speaker(seed: u32) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let bytes: Vec<u8> = noise(seed, 40 * 16_000).into_iter().flat_map(i16::to_le_bytes).collect();
        // the other side goes once it has learnt
        let _ = client.write_all(&bytes);
    });
    format!("tcp://{address}")
}

#[test]
fn live_sources_are_kept_and_files_are_not() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("room.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&file, spec).unwrap();
    noise(3, 15 * 16_000).into_iter().for_each(|x| wav.write_sample(x).unwrap());
    wav.finalize().unwrap();
    let config = home.path().join("c.toml");
    let text = format!(
        "state_dir = {:?}\n[detect]\ncalibrate_seconds = 10.0\n[[source]]\nid = \"yard\"\nurl = {:?}\n\
         [[source]]\nid = \"gate\"\nurl = {:?}\n[[source]]\nid = \"room\"\nfile = {file:?}\nfast = true\n",
        home.path().join("state"),
        speaker(1),
        speaker(2),
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let unknown = run(home.path(), &["calibrate", "--config", config, "--source", "attic"], LIMIT);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("attic") && unknown.stderr.contains("yard, gate, room"),
        "{}",
        unknown.stderr
    );

    let outcome = run(home.path(), &["calibrate", "--config", config], LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let kept = |id: &str| home.path().join(format!("state/calibration/{id}.json"));
    for id in ["yard", "gate"] {
        assert!(
            kept(id).exists() && outcome.stdout.contains(&format!("{id}: kept in ")),
            "{}",
            outcome.stdout
        );
    }
    assert!(!kept("room").exists());
    assert!(outcome.stdout.contains("room: nothing is kept"), "{}", outcome.stdout);
}
