//! P8: hours of sound leave memory flat and every sample accounted for.
//!
//! Full form, a day, in half an hour: `CPC_TEST_HOURS=24 cargo test --release --test long_runs_stay_flat -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod support;

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cpc_stream::internal::event::Event;
use support::daemon::{Daemon, program};
use support::sound::{bytes, whistles};

/// Least squares slope.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let (xy, xx) =
        points.iter().fold((0.0, 0.0), |(xy, xx), p| (xy + (p.0 - mx) * (p.1 - my), xx + (p.0 - mx).powi(2)));
    xy / xx
}

#[test]
fn memory_is_flat_and_the_books_balance() {
    let hours: f64 = std::env::var("CPC_TEST_HOURS").map_or(0.25, |hours| hours.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let mut command = program(home.path());
    command
        .args(["--input", "-", "--calibrate-seconds", "60", "--events-per-hour", "4"])
        .stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let mut pipe = daemon.stdin();
    let quiet = bytes(&whistles(58, 120));
    let with_a_whistle = bytes(&whistles(58, 54));
    let (started, mut heard_s, mut points) = (Instant::now(), 0.0, Vec::new());
    for minute in 0.. {
        if heard_s >= hours * 3600.0 {
            break;
        }
        let piece = if minute % 20 == 19 { &with_a_whistle } else { &quiet };
        pipe.write_all(piece).unwrap();
        heard_s += 58.0;
        points.push((heard_s / 86_400.0, daemon.resident_mib()));
    }
    drop(pipe);
    let outcome = daemon.finish(Duration::from_secs(600));
    let speed = heard_s / started.elapsed().as_secs_f64();
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let settled = &points[points.len() / 3..];
    let (a_day, grown) = (slope(settled), settled.last().unwrap().1 - settled[0].1);
    println!(
        "{:.2} h at {speed:.0}x: memory {:.1} MiB, {grown:+.2} MiB since the first third, slope {a_day:+.2} MiB a day (promised < 1)",
        heard_s / 3600.0,
        settled.last().unwrap().1
    );
    let samples = (heard_s * 16_000.0) as u64;
    let line = outcome.stderr.lines().find(|line| line.contains("samples scored")).unwrap();
    let numbers: Vec<u64> =
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let [scored, shed, accepted, acked, pending, dropped] = numbers[numbers.len() - 6..] else {
        panic!("{line}")
    };
    assert_eq!(scored + shed, samples, "samples in = scored + shed: {line}");
    assert_eq!(accepted, acked + pending + dropped, "{line}");
    let events: Vec<Event> = outcome.events();
    assert_eq!(events.len() as u64, accepted);
    if hours >= 12.0 {
        assert!(a_day < 1.0, "memory grows");
        assert!(speed >= 50.0, "{speed}x");
    } else {
        // over minutes a slope a day means nothing: buffers of hours are still filling
        assert!(grown < 4.0, "{grown} MiB in {heard_s} s of sound");
    }
}
