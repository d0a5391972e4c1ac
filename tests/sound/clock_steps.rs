//! P13: the clock is set an hour forward and back: durations stay true, ids ascend, and there is no burst.

use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::daemon::{Daemon, program};
use crate::support::meddle::Meddle;
use crate::support::sound::{bytes, whistles};
use cpc_stream::internal::event::{Event, Phase};

const HOUR: i64 = 3600;

#[test]
fn an_hour_forward_and_back() {
    let mut meddle = Meddle::new();
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command
        .args(["--input", "-", "--calibrate-seconds", "12", "--events-per-hour", "60"])
        // each whistle is told
        .env("CPC_STREAM_DETECT__REPEAT_AFTER_S", "0")
        .envs(meddle.env())
        .stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let mut pipe = daemon.stdin();
    let sound = bytes(&whistles(62, 14));
    let (steady, rest) = sound.split_at(26 * 32_000);
    let (forward, back) = rest.split_at(18 * 32_000);
    let told = |daemon: &Daemon| daemon.said().iter().filter(|line| line.contains("\"new\"")).count();
    pipe.write_all(steady).unwrap();
    let wait = |daemon: &Daemon, least: usize| {
        let by = Instant::now() + Duration::from_secs(60);
        while told(daemon) < least && Instant::now() < by {
            thread::sleep(Duration::from_millis(50));
        }
        assert!(told(daemon) >= least, "{} events\n{:?}", told(daemon), daemon.log());
    };
    wait(&daemon, 2);
    meddle.clock(HOUR);
    pipe.write_all(forward).unwrap();
    wait(&daemon, 5);
    meddle.clock(-HOUR);
    pipe.write_all(back).unwrap();
    drop(pipe);
    let outcome = daemon.finish(Duration::from_secs(60));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let events = outcome.events();
    let new: Vec<&Event> = events.iter().filter(|e| e.finding.phase == Phase::New).collect();
    // 12 whistles after the calibration
    assert!((9..=14).contains(&new.len()), "{} events of 12 whistles", new.len());
    assert!(new.windows(2).all(|pair| pair[0].id < pair[1].id), "ids ascend");
    assert!(events.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq), "no sequence number is missing");
    let emitted: Vec<i64> =
        new.iter().map(|e| e.emitted.parse::<jiff::Timestamp>().unwrap().as_second()).collect();
    let steps: Vec<i64> = emitted.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        steps.iter().any(|&s| s > 3000) && steps.iter().any(|&s| s < -3000),
        "the clock was stepped: {steps:?}"
    );
    let mut longest = 0.0f64;
    for end in events.iter().filter(|e| e.finding.phase == Phase::End) {
        let length = end.finding.offset_s.unwrap() - end.finding.onset_s;
        longest = longest.max(length);
        assert!((0.0..10.0).contains(&length), "{length} s");
    }
    println!(
        "{} events of 12 whistles over steps of +1 h and -2 h, ids in order, the longest event took {longest:.2} s",
        new.len()
    );
}
