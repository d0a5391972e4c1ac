//! What the microphone hears arrives sample by sample, and what it misses is a gap of the right length.
//!
//! libasound reads its configuration from the environment once, so every test runs its body in a child process:
//! this same program with one of the ignored `child_…` tests.

#![cfg(feature = "capture")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::microphone::TestMicrophone;
use cpc_stream::internal::capture::{
    CaptureConfig, Notice, OpenSource, SourceChange, SourceConfig, list_inputs, open,
};
use cpc_stream::internal::ring::Read;
use crossbeam_channel::{Receiver, unbounded};

const RATE: u32 = 48_000;
/// Frames a period, as asked for by default: 20 ms.
const PERIOD: i64 = 960;
const PLUG: &str = "CPC_STREAM_TEST_PLUG";
const CAPTURING: &str = "child: capturing";

/// The sound of the test: noise that tells its own place.
fn sound(index: i64) -> i16 {
    let x = (index as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 48) as i16
}

fn spawn(microphone: &TestMicrophone, child: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture", "--test-threads=1"])
        .envs(microphone.env())
        .env(PLUG, microphone.plug())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// False where someone runs the ignored tests by hand.
fn is_child() -> bool {
    std::env::var_os(PLUG).is_some()
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn microphone() -> TestMicrophone {
    let samples: Vec<i16> = (0..i64::from(RATE) * 20).map(sound).collect();
    TestMicrophone::start(&samples, RATE, 1)
}

/// Reads a device and checks every sample against the sound that was played.
struct Listener {
    source: OpenSource,
    notices: Receiver<Notice>,
    /// Place of the next sample in the sound, by the ring's clock.
    clock: i64,
    /// Where the sound really is, relative to the clock, since the last gap.
    slip: i64,
    gaps: Vec<(i64, i64)>,
    after_gap: bool,
}

impl Listener {
    fn open() -> Self {
        let (sender, notices) = unbounded();
        let source = open(&SourceConfig::from_device("hw:0"), &CaptureConfig::default(), sender).unwrap();
        Self { source, notices, clock: 0, slip: 0, gaps: Vec::new(), after_gap: false }
    }

    fn hear_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(25);
        let mut out = [0.0; 960];
        while !done(self) {
            assert!(Instant::now() < deadline, "{what}: not within 25 s");
            match self.source.feeds[0].reader.read(&mut out) {
                Read::Samples(n) => self.check(&out[..n]),
                Read::Gap { lost } => {
                    self.clock += lost as i64;
                    self.gaps.push((lost as i64, 0));
                    self.after_gap = true;
                }
                Read::Rate(rate) => assert_eq!(rate, RATE),
                Read::Empty => {
                    let _ = self.source.feeds[0].reader.wait(Duration::from_millis(20));
                }
                Read::Closed => panic!("{what}: the stream was closed"),
            }
        }
    }

    fn check(&mut self, samples: &[f32]) {
        let here = |slip: i64, clock: i64| {
            samples.iter().zip(clock + slip..).all(|(x, i)| (x * 32_768.0) as i16 == sound(i))
        };
        if self.after_gap {
            let (slip, clock) = (self.slip, self.clock);
            let found = (0..=PERIOD).flat_map(|d| [slip + d, slip - d]).find(|&s| here(s, clock));
            let found =
                found.unwrap_or_else(|| panic!("the gap before {clock} is off by more than a period"));
            if let Some(gap) = self.gaps.last_mut() {
                gap.1 = found - slip;
            }
            (self.slip, self.after_gap) = (found, false);
        }
        assert!(here(self.slip, self.clock), "wrong samples at {}", self.clock);
        self.clock += samples.len() as i64;
    }

    fn notice(&self, within: Duration, wanted: impl Fn(&SourceChange) -> bool) -> Duration {
        let start = Instant::now();
        while let Ok(notice) = self.notices.recv_timeout(within.saturating_sub(start.elapsed())) {
            if wanted(&notice.change) {
                return start.elapsed();
            }
        }
        panic!("no such notice within {within:?}");
    }
}

#[test]
fn two_seconds_arrive_bit_exact_with_their_capture_time() {
    let microphone = microphone();
    finish(spawn(&microphone, "capture_hears_the_device::child_hears_two_seconds"));
}

#[test]
#[ignore = "the child process of two_seconds_arrive_bit_exact_with_their_capture_time"]
fn child_hears_two_seconds() {
    if !is_child() {
        return;
    }
    let mut listener = Listener::open();
    listener.hear_until("two seconds", |l| l.clock >= i64::from(2 * RATE));
    assert_eq!(listener.gaps, [], "samples were lost on a machine with nothing to do");
    let age = listener.source.feeds[0].reader.captured_at().unwrap();
    let distance = Instant::now().max(age).duration_since(Instant::now().min(age));
    assert!(distance < Duration::from_millis(60), "the next sample is captured {distance:?} from now");
    let SourceChange::Online { description } = listener.notices.recv().unwrap().change else {
        panic!("not online")
    };
    assert_eq!(description, "hw:CARD=0,DEV=0 \"Test microphone, USB Audio\" 48000 Hz 1 ch i16 period 960");
    let counters = listener.source.feeds[0].reader.counters();
    assert!(listener.source.handle.stop());
    assert!(counters.pushed() >= counters.read() && counters.lost() == 0);
}

#[test]
fn a_pulled_plug_is_offline_and_a_replugged_one_captures_on() {
    let microphone = microphone();
    finish(spawn(&microphone, "capture_hears_the_device::child_loses_its_microphone"));
}

#[test]
#[ignore = "the child process of a_pulled_plug_is_offline_and_a_replugged_one_captures_on"]
fn child_loses_its_microphone() {
    if !is_child() {
        return;
    }
    let plug = std::env::var_os(PLUG).unwrap();
    let mut listener = Listener::open();
    listener.hear_until("the first sound", |l| l.clock >= 24_000);
    for round in 1..=2 {
        std::fs::write(&plug, "").unwrap();
        let away = Instant::now();
        listener.notice(Duration::from_secs(2), |c| matches!(c, SourceChange::Offline { .. }));
        std::thread::sleep(Duration::from_millis(1300));
        std::fs::remove_file(&plug).unwrap();
        let back = listener.notice(Duration::from_secs(3), |c| matches!(c, SourceChange::Online { .. }));
        let away = away.elapsed();
        listener.hear_until("sound after the return", |l| {
            l.gaps.len() == round && !l.after_gap && l.source.feeds[0].reader.is_empty()
        });
        let (lost, error) = listener.gaps[round - 1];
        println!("away {away:?}, back after {back:?}, gap {lost} samples, off by {error}");
        assert!(error.abs() <= PERIOD);
        let seconds = lost as f64 / f64::from(RATE);
        assert!((seconds - away.as_secs_f64()).abs() < 0.5, "{seconds} s for {away:?}");
        let more = listener.clock + 4800;
        listener.hear_until("more sound", |l| l.clock >= more);
    }
    assert_eq!(listener.source.counters.opened(), 3);
}

#[test]
fn a_stopped_process_has_a_gap_of_the_right_length() {
    let microphone = microphone();
    let mut child = spawn(&microphone, "capture_hears_the_device::child_is_stopped");
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(CAPTURING) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the child ended early");
    }
    let signal = |name: &str| {
        let done = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
        assert!(done.success());
    };
    signal("-STOP");
    std::thread::sleep(Duration::from_secs(5));
    signal("-CONT");
    finish(child);
}

#[test]
#[ignore = "the child process of a_stopped_process_has_a_gap_of_the_right_length"]
fn child_is_stopped() {
    if !is_child() {
        return;
    }
    let mut listener = Listener::open();
    listener.hear_until("the first sound", |l| l.clock >= 24_000);
    // before the line: the stop may come right after it
    let asked = Instant::now();
    println!("{CAPTURING}");
    // a busy machine may overrun by itself before or after: what matters is the long gap
    let is_long = |gap: &&(i64, i64)| gap.0 >= 200_000;
    listener.hear_until("the gap", |l| l.gaps.iter().any(|gap| is_long(&gap)) && !l.after_gap);
    listener.notice(Duration::from_secs(2), |c| matches!(c, SourceChange::Xrun { .. }));
    let &(lost, error) = listener.gaps.iter().find(is_long).unwrap();
    println!("stopped: a gap of {lost} samples, off by {error} (promised: by {PERIOD} at most)");
    assert!(error.abs() <= PERIOD, "a gap of {lost} is off by {error}");
    let seconds = lost as f64 / f64::from(RATE);
    assert!(seconds <= asked.elapsed().as_secs_f64() + 0.1, "{lost} lost in {:?}", asked.elapsed());
    let more = listener.clock + 24_000;
    listener.hear_until("more sound", |l| l.clock >= more);
    assert!(listener.source.counters.xruns() >= 1);
    assert_eq!(listener.source.counters.opened(), 1, "an xrun is no reason to reopen");
}

#[test]
fn a_wrong_name_is_answered_with_near_matches() {
    let microphone = microphone();
    finish(spawn(&microphone, "capture_hears_the_device::child_asks_for_wrong_names"));
}

#[test]
#[ignore = "the child process of a_wrong_name_is_answered_with_near_matches"]
fn child_asks_for_wrong_names() {
    if !is_child() {
        return;
    }
    let inputs = list_inputs().unwrap();
    let input = inputs.iter().find(|i| i.id == "hw:CARD=0,DEV=0").unwrap();
    assert_eq!(
        (input.description.as_str(), input.forms.as_str()),
        ("Test microphone, USB Audio", "48000 Hz, 1 ch, i16")
    );

    let strict = CaptureConfig { must_exist: true, ..CaptureConfig::default() };
    for (name, settings) in [("hw0", CaptureConfig::default()), ("hw:7", strict)] {
        let (sender, _) = unbounded();
        let Err(error) = open(&SourceConfig::from_device(name), &settings, sender) else {
            panic!("{name} was accepted")
        };
        assert!(error.to_string().contains("near matches: hw:CARD=0,DEV=0"), "{error}");
        assert!(error.fix().contains("cpc-stream devices"));
        assert_eq!(error.kind().exit_code(), 3);
    }

    let (sender, notices) = unbounded();
    let source = open(&SourceConfig::from_device("hw:7"), &CaptureConfig::default(), sender).unwrap();
    let SourceChange::Offline { reason } = notices.recv_timeout(Duration::from_secs(5)).unwrap().change
    else {
        panic!("not offline")
    };
    assert!(reason.contains("near matches: hw:CARD=0,DEV=0"), "{reason}");
    let start = Instant::now();
    assert!(source.handle.stop());
    assert!(start.elapsed() < Duration::from_secs(1), "a waiting source stops at once");

    let third = SourceConfig { channels: Some(vec![0, 2]), ..SourceConfig::from_device("hw:0") };
    let (sender, notices) = unbounded();
    let _source = open(&third, &CaptureConfig::default(), sender).unwrap();
    let SourceChange::Offline { reason } = notices.recv_timeout(Duration::from_secs(5)).unwrap().change
    else {
        panic!("not offline")
    };
    assert!(reason.contains("channel 2 is wanted, but the device has 1"), "{reason}");
}
