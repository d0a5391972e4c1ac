//! P7: a device that gives more or fewer samples than it says is found out and taken at its true rate; one whose format
//! cannot be read is opened through ALSA's converter.
#![cfg(feature = "capture")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::daemon::{Daemon, program};
use crate::support::microphone::{Nature, TestMicrophone};

const LONG: Duration = Duration::from_secs(30);

fn hears(nature: Nature) -> (TestMicrophone, tempfile::TempDir, Daemon) {
    let sound: Vec<i16> =
        (0..48_000 * 40u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as i16 - 2048).collect();
    let microphone = TestMicrophone::with(&sound, 48_000, 1, nature);
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command
        .args(["--device", "hw:0", "--calibrate-seconds", "600"])
        .envs(microphone.env())
        .stdin(Stdio::null());
    let daemon = Daemon::start(&mut command);
    daemon.await_log(&["48000 Hz"], LONG);
    (microphone, home, daemon)
}

/// Seconds of sound that were scored, by the last line of the log.
fn scored(daemon: Daemon) -> f64 {
    let (outcome, _) = daemon.stop(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let line = outcome.stderr.lines().find(|line| line.contains("samples scored")).unwrap().to_owned();
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "samples").unwrap();
    words[at - 1].parse::<f64>().unwrap() / 16_000.0
}

#[test]
fn a_device_that_is_2_percent_slow_is_taken_at_its_true_rate() {
    let (_microphone, _home, daemon) = hears(Nature { truth: 47_000, ..Nature::PLAIN });
    let opened = Instant::now();
    let line = daemon.await_log(&["says 48000 Hz", "gives 47000"], LONG);
    let took = opened.elapsed();
    println!("found out after {took:?} (promised: never trusted beyond 0.5 %): {line}");
    daemon.await_log(&["the rate is 47000 Hz now"], LONG);
    std::thread::sleep(Duration::from_secs(6));
    let heard = opened.elapsed().as_secs_f64();
    let error = scored(daemon) / heard - 1.0;
    // the first seconds, at the wrong rate, are 2 % short; the start and the end cost some more
    assert!(error.abs() < 0.08, "sound is {:.1} % off the clock", 100.0 * error);
}

#[test]
fn a_device_that_is_a_little_off_is_left_alone() {
    let (_microphone, _home, daemon) = hears(Nature { truth: 48_100, ..Nature::PLAIN });
    std::thread::sleep(Duration::from_secs(12));
    assert!(!daemon.log().iter().any(|line| line.contains("gives")), "{:?}", daemon.log());
}

#[test]
fn samples_of_24_bits_in_3_bytes_come_through_the_converter() {
    let (_microphone, _home, daemon) = hears(Nature { packed: true, ..Nature::PLAIN });
    daemon.await_log(&["plughw:CARD=0,DEV=0", "48000 Hz"], LONG);
    std::thread::sleep(Duration::from_secs(4));
    let seconds = scored(daemon);
    assert!(seconds > 2.0, "{seconds} s were scored");
}
