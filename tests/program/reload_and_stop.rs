//! P14: SIGTERM ends within 5 s; a bad configuration keeps the old one; a good one counts, and no sample is lost over it;
//! a second daemon on one folder is refused.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, program, run};
use crate::support::sound::{bytes, whistles};
use cpc_stream::internal::event::{Event, Phase};

const LONG: Duration = Duration::from_secs(60);
const PROMISED: Duration = Duration::from_secs(5);

#[test]
fn a_configuration_is_reloaded() {
    let home = tempfile::tempdir().unwrap();
    let file = |text: &str| std::fs::write(home.path().join("c.toml"), text).unwrap();
    let plain = "[detect]\nevents_per_hour = 60.0\ncalibrate_seconds = 12.0\nrepeat_after_s = 0.0\n";
    file(plain);
    let mut command = program(home.path());
    command.args(["--config", "c.toml", "--input", "-"]).stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let mut pipe = daemon.stdin();
    let sound = bytes(&whistles(62, 14));
    let pieces: Vec<&[u8]> = sound.chunks((sound.len() / 4 + 2) & !1).collect();
    let began = |daemon: &Daemon| daemon.said().iter().filter(|line| line.contains("\"new\"")).count();
    let count = |daemon: &Daemon, word: &str| daemon.log().iter().filter(|line| line.contains(word)).count();

    pipe.write_all(pieces[0]).unwrap();
    daemon.await_log(&["calibrated on"], LONG);
    file("[detect]\nevents_per_hours = 1.0\n");
    daemon.signal("HUP");
    let refused = daemon.await_log(&["events_per_hours", "stays as it was", "fix:"], LONG);
    assert!(refused.contains("line 2"), "{refused}");
    file("[detect]\nevents_per_hour = -1.0\n");
    daemon.signal("HUP");
    daemon.await_log(&["detect.events_per_hour is -1", "stays as it was"], LONG);

    pipe.write_all(pieces[1]).unwrap();
    await_for("events by the old configuration", LONG, || (began(&daemon) >= 3).then_some(()));
    file(&format!("{}[publish]\nhealth_s = 7\nprefix = \"other\"\n", plain.replace("60.0", "90.0")));
    daemon.signal("HUP");
    let line = daemon.await_log(&["was read again", "detect.events_per_hour"], LONG);
    assert!(line.contains("publish.health_s") && line.contains("restart: publish.prefix"), "{line}");
    pipe.write_all(pieces[2]).unwrap();
    // more than the budget: the detectors are made anew
    file(&format!("{}hang_ms = 300.0\n", plain.replace("60.0", "90.0")));
    daemon.signal("HUP");
    daemon.await_log(&["was read again", "detect.hang_ms"], LONG);
    daemon.signal("HUP");
    daemon.await_log(&["was read again", "nothing has changed"], LONG);
    pipe.write_all(pieces[3]).unwrap();
    drop(pipe);
    assert_eq!(count(&daemon, "calibrated on"), 1, "what is normal is known still");
    let outcome = daemon.finish(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains(&format!("{} samples scored, 0 shed", 62 * 16_000)),
        "{}",
        outcome.stderr
    );
    let events: Vec<Event> = outcome.events();
    let budgets: Vec<f64> = events.iter().map(|e| e.finding.budget_per_hour).collect();
    assert!(budgets.first() == Some(&60.0) && budgets.last() == Some(&90.0), "{budgets:?}");
    let new = events.iter().filter(|e| e.finding.phase == Phase::New).count();
    println!("{new} events of 12 whistles over 5 reloads, no sample lost");
    assert!(new >= 8, "{new} events");
}

#[test]
fn a_stop_takes_less_than_5_s_with_an_event_going_on() {
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command
        .args(["--input", "-", "--calibrate-seconds", "12", "--events-per-hour", "60"])
        .stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let mut pipe = daemon.stdin();
    // it ends in the middle of a whistle
    pipe.write_all(&bytes(&whistles(20, 14)[..19 * 16_000 + 5600])).unwrap();
    await_for("an event that goes on", LONG, || {
        let said = daemon.said();
        let last = said.last()?;
        last.contains("\"new\"").then_some(())
    });
    let (outcome, took) = daemon.stop(LONG);
    println!("stopped after {took:?} (promised {PROMISED:?})");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(took <= PROMISED);
    assert_eq!(outcome.events().last().unwrap().finding.phase, Phase::End, "the running event has ended");
}

#[test]
#[cfg(feature = "capture")]
fn a_second_daemon_on_the_folder_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["--device", "hw:33", "--state-dir", "shared"];
    let mut first = Daemon::start(program(home.path()).args(arguments).stdin(Stdio::null()));
    first.await_log(&["offline"], LONG);
    let second = run(home.path(), &arguments, LONG);
    assert_eq!(second.code, Some(2), "{}", second.stderr);
    assert!(
        second.stderr.contains("another process") && second.stderr.contains("--state-dir"),
        "{}",
        second.stderr
    );
    // what is learnt beside it would be lost, so that nobody listens for minutes
    let calibrate = run(home.path(), &[&["calibrate"], &arguments[..]].concat(), LONG);
    assert_eq!(calibrate.code, Some(2), "{}", calibrate.stderr);
    assert!(
        calibrate.stderr.contains("a daemon uses the state folder")
            && calibrate.stderr.contains("`recalibrate`"),
        "{}",
        calibrate.stderr
    );
    assert!(first.runs());
    let (_, took) = first.stop(LONG);
    assert!(took <= PROMISED, "{took:?}");
    let third = Daemon::start(program(home.path()).args(arguments).stdin(Stdio::null()));
    third.await_log(&["offline"], LONG);
}

/// As `timeout` of some shells sends it: to the process, and to its group.
#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    let daemon = Daemon::start(command.args(["--input", "-"]).stdin(Stdio::piped()));
    daemon.await_log(&["model "], LONG);
    daemon.signal("TERM");
    let (outcome, _) = daemon.stop(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("stopped: "), "{}", outcome.stderr);
}
