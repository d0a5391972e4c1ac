//! The whole daemon under load: where the time goes between a sound and its score.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::Value;

use super::super::args::{Output, stdout};
use super::super::health::get;
use super::args::BenchArgs;
use crate::error::{Error, Result};
use crate::publish::{Delay, Delays};
use crate::telemetry::Column;

/// Rate of the microphones, as most have it.
const RATE: u32 = 48_000;
/// Seconds from which normal is learnt.
const LEARNT_S: f64 = 10.0;
/// Seconds of a row, and those before it, once all streams are watched, that are not counted.
const SECONDS: f64 = 30.0;
const WARM_UP_S: f64 = 5.0;
/// Seconds that learning what is normal may take: for any, and for each stream.
const LEARNING_S: [f64; 2] = [60.0, 3.0];
/// A sound that does not belong there comes every so many seconds.
const EVERY_S: usize = 5;
/// How long a daemon may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Those of a row.
const COLUMNS: [Column; 9] = [
    ("streams", 7, false),
    ("heard", 24, false),
    ("step", 24, false),
    ("commit", 24, false),
    ("load %", 7, false),
    ("CPU %", 6, false),
    ("memory", 9, false),
    ("lost", 6, false),
    ("events", 7, false),
];

#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) streams: usize,
    period_ms: u32,
    hogs: usize,
    realtime_priority: u8,
    #[serde(flatten)]
    pub(super) delays: Delays,
    /// Time of a hop of all streams over the time that a hop lasts.
    load_percent: f64,
    /// Processor time of all threads over the time that went by.
    pub(super) cpu_percent: f64,
    pub(super) rss_mib: f64,
    pub(super) samples_lost: u64,
    events: u64,
}

/// A daemon that is killed when it is not needed any more.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures the daemon with each number of microphones.
///
/// # Errors
/// When it does not come up, or does not answer.
pub(super) fn run(args: &BenchArgs) -> Result<()> {
    let rows = rows(args)?;
    if args.json {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "rows": rows }));
        return stdout().line(format_args!("{}", text.map_err(|e| Error::internal(e.to_string()))?));
    }
    stdout().prose(format_args!(
        "ms: median, 99 and 99.9 of 100. heard: from the capture of a hop's last sample to its score (ring, resampler, \
         step, detector); step: the model, all streams; commit: from an event to its place on the disk. A microphone's \
         period ({} ms here) comes before.",
        args.period_ms
    ))
}

/// Measures the daemon with each number of microphones, and shows each row unless JSON is asked for.
///
/// # Errors
/// As [`run`].
pub(super) fn rows(args: &BenchArgs) -> Result<Vec<Row>> {
    let folder = std::env::temp_dir().join(format!("cpc-stream-bench-{}", std::process::id()));
    let io = |e: std::io::Error| Error::internal(format!("{}: {e}", folder.display()));
    fs::create_dir_all(&folder).map_err(io)?;
    let rows = measure_all(args, &folder);
    fs::remove_dir_all(&folder).map_err(io)?;
    rows
}

fn measure_all(args: &BenchArgs, folder: &Path) -> Result<Vec<Row>> {
    let mut out = stdout();
    if !args.json {
        out.head(&COLUMNS)?;
    }
    let sound = folder.join("sound.wav");
    let seconds = args.seconds.unwrap_or(SECONDS).max(1.0);
    let most = args.streams.iter().copied().max().unwrap_or(0);
    write_sound(&sound, learning_s(most) + WARM_UP_S + seconds + 20.0)?;
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..args.hogs)
        .map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let rows = args.streams.iter().map(|&streams| {
        let row = measure(args, folder, &sound, streams, seconds)?;
        if !args.json {
            show(&mut out, &row)?;
        }
        Ok(row)
    });
    let rows = rows.collect();
    stop.store(true, Ordering::Relaxed);
    for hog in hogs {
        let _ = hog.join();
    }
    rows
}

fn show(out: &mut Output, row: &Row) -> Result<()> {
    let triple = |d: Delay| format!("{:.1} {:.1} {:.1}", d.p50_us / 1e3, d.p99_us / 1e3, d.p999_us / 1e3);
    let step = row.delays.step;
    let cells = [
        row.streams.to_string(),
        triple(row.delays.heard),
        format!("{:.2} {:.2} {:.2}", step.p50_us / 1e3, step.p99_us / 1e3, step.p999_us / 1e3),
        triple(row.delays.commit),
        format!("{:.1}", row.load_percent),
        format!("{:.1}", row.cpu_percent),
        format!("{:.1} MiB", row.rss_mib),
        row.samples_lost.to_string(),
        row.events.to_string(),
    ];
    out.row(&COLUMNS, &cells)
}

fn measure(args: &BenchArgs, folder: &Path, sound: &Path, streams: usize, seconds: f64) -> Result<Row> {
    let io = |e: std::io::Error| Error::internal(format!("{}: {e}", folder.display()));
    let free =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).map_err(io)?;
    let file = folder.join("config.toml");
    fs::write(&file, configuration(args, sound, streams, free)).map_err(io)?;
    let state = folder.join(format!("state-{streams}"));
    let daemon = Command::new(std::env::current_exe().map_err(io)?)
        .arg("--config")
        .arg(&file)
        .arg("--state-dir")
        .arg(&state)
        .env("RUST_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let mut daemon = Daemon(daemon.map_err(io)?);
    let begun = Instant::now();
    while get(free, "/api/v1/overview", None).is_err() {
        if let Some(status) = daemon.0.try_wait().map_err(io)? {
            return Err(Error::internal(format!("the daemon stopped ({status}); see what it said above")));
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::internal(format!("the daemon did not answer within {PATIENCE:?}")));
        }
        thread::sleep(Duration::from_millis(100));
    }
    await_learning(free, streams)?;
    thread::sleep(Duration::from_secs_f64(WARM_UP_S));
    let lost_before = lost(&get(free, "/api/v1/overview", None)?["health"]);
    let (cpu, since) = (processor_time(daemon.0.id()), Instant::now());
    thread::sleep(Duration::from_secs_f64(seconds));
    let cpu_percent =
        100.0 * (processor_time(daemon.0.id()) - cpu).as_secs_f64() / since.elapsed().as_secs_f64();
    let answer = get(free, "/api/v1/overview", None)?;
    let health = &answer["health"];
    Ok(Row {
        streams,
        period_ms: args.period_ms,
        hogs: args.hogs,
        realtime_priority: args.realtime_priority,
        delays: serde_json::from_value(health["delays"].clone())
            .map_err(|e| Error::internal(format!("the daemon tells no delays: {e}")))?,
        load_percent: health["load_percent"].as_f64().unwrap_or(f64::NAN),
        cpu_percent,
        rss_mib: health["rss_bytes"].as_f64().unwrap_or(f64::NAN) / f64::from(1 << 20),
        samples_lost: lost(health).saturating_sub(lost_before),
        events: health["events_accepted"].as_u64().unwrap_or(0),
    })
}

/// The longest that `streams` streams may take to learn what is normal, in seconds.
fn learning_s(streams: usize) -> f64 {
    LEARNT_S + LEARNING_S[0] + streams as f64 * LEARNING_S[1]
}

/// Waits until all streams are watched: calibration sound arrives in real time, and calibrations are work of their own.
fn await_learning(http: SocketAddr, streams: usize) -> Result<()> {
    let (begun, most) = (Instant::now(), Duration::from_secs_f64(learning_s(streams)));
    loop {
        let answer = get(http, "/api/v1/overview", None)?;
        let all = answer["health"]["streams"].as_object();
        let watched = all.map_or(0, |all| all.values().filter(|s| !s["threshold"].is_null()).count());
        if watched == streams {
            return Ok(());
        }
        if begun.elapsed() > most {
            return Err(Error::config(
                format!("{watched} of {streams} streams learnt what is normal within {most:.0?}"),
                "that is too many for this machine: choose fewer",
            ));
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// Samples of all streams that were not scored.
fn lost(health: &Value) -> u64 {
    let of = |stream: &Value, key: &str| stream[key].as_u64().unwrap_or(0);
    let streams = health["streams"].as_object().into_iter().flatten();
    streams.map(|(_, stream)| of(stream, "lost_samples") + of(stream, "samples_shed")).sum()
}

fn configuration(args: &BenchArgs, sound: &Path, streams: usize, http: SocketAddr) -> String {
    // no broker listens at that port: events go to the outbox and wait there
    let mut text = format!(
        "node = \"bench\"\n[publish]\nbroker = \"mqtt://127.0.0.1:9\"\n[http]\nlisten = \"{http}\"\n[model]\nmax_streams = 10000\nthreads = {}\ndevice = \"{}\"\nprecision = \"{}\"\nhop_batch = {}\ntick_ms = {}\n",
        args.threads,
        args.device,
        args.precision.first().copied().unwrap_or_default(),
        args.hop_batch,
        args.tick_ms
    );
    if let Some(model) = &args.model {
        let _ = writeln!(text, "path = {:?}", fs::canonicalize(model).unwrap_or_else(|_| model.clone()));
    }
    let _ = writeln!(
        text,
        "[capture]\nchunk_ms = {}\nrealtime_priority = {}",
        args.period_ms, args.realtime_priority
    );
    let _ = writeln!(text, "[detect]\ncalibrate_seconds = {LEARNT_S:.1}\nevents_per_hour = 600.0");
    for stream in 0..streams {
        let _ = writeln!(text, "[[source]]\nid = \"s{stream}\"\nfile = {sound:?}");
    }
    text
}

/// Noise, with a louder piece of it every few seconds.
fn write_sound(path: &Path, seconds: f64) -> Result<()> {
    let wrong = |e: hound::Error| Error::internal(format!("{}: {e}", path.display()));
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).map_err(wrong)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for i in 0..(seconds * f64::from(RATE)) as usize {
        let (second, within) = (i / RATE as usize, i % RATE as usize);
        let loud = second as f64 > LEARNT_S && second % EVERY_S == 0 && within < RATE as usize / 2;
        let most = if loud { 12_000 } else { 1_000 };
        file.write_sample(rng.random_range(-most..most) as i16).map_err(wrong)?;
    }
    file.finalize().map_err(wrong)
}

/// Processor time of all threads of a process so far.
fn processor_time(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
