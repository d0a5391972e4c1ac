//! A file gives its samples once, in order, whole: fast without loss, paced in real time.

use std::path::Path;
use std::time::{Duration, Instant};

use cpc_stream::internal::capture::{
    CaptureConfig, Notice, OpenSource, SourceChange, SourceConfig, assign_ids, open,
};
use cpc_stream::internal::ring::{Read, wait_any};
use crossbeam_channel::{Receiver, unbounded};
use hound::{SampleFormat, WavSpec, WavWriter};

const RATE: u32 = 16_000;

fn write_wav(path: &Path, channels: u16, frames: u32, sample: impl Fn(u32, u16) -> f32) {
    let spec =
        WavSpec { channels, sample_rate: RATE, bits_per_sample: 32, sample_format: SampleFormat::Float };
    let mut writer = WavWriter::create(path, spec).unwrap();
    for frame in 0..frames {
        (0..channels).for_each(|c| writer.write_sample(sample(frame, c)).unwrap());
    }
    writer.finalize().unwrap();
}

fn start(source: &SourceConfig, capture: &CaptureConfig) -> (OpenSource, Receiver<Notice>) {
    let (sender, notices) = unbounded();
    (open(source, capture, sender).unwrap(), notices)
}

/// Everything that all streams of `source` give until they close.
fn drain(source: &mut OpenSource) -> Vec<Vec<f32>> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut all = vec![Vec::new(); source.feeds.len()];
    let mut closed = vec![false; source.feeds.len()];
    let mut out = [0.0; 777];
    while closed.contains(&false) {
        assert!(Instant::now() < deadline);
        for (i, feed) in source.feeds.iter_mut().enumerate() {
            match feed.reader.read(&mut out) {
                Read::Samples(n) => all[i].extend_from_slice(&out[..n]),
                Read::Rate(rate) => assert_eq!(rate, RATE),
                Read::Gap { lost } => panic!("{lost} samples lost"),
                Read::Empty => {}
                Read::Closed => closed[i] = true,
            }
        }
        let _ = wait_any(source.feeds.iter().map(|f| &f.reader), Duration::from_millis(5));
    }
    all
}

fn end(notices: &Receiver<Notice>) -> (u64, Option<String>) {
    let all: Vec<SourceChange> = notices.iter().map(|n| n.change).collect();
    assert!(matches!(all[0], SourceChange::Online { .. }), "{all:?}");
    match all.last() {
        Some(SourceChange::Ended { frames, failure }) => (*frames, failure.clone()),
        _ => panic!("no end: {all:?}"),
    }
}

#[test]
fn a_fast_file_is_whole_in_every_channel_though_the_ring_is_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    write_wav(&path, 3, 100_000, |i, c| (i % 5000) as f32 + 0.25 * f32::from(c));
    let source = SourceConfig { channels: Some(vec![2, 0]), ..SourceConfig::from_file(&path, true) };
    let capture = CaptureConfig { ring_seconds: 0.1, ..CaptureConfig::default() };
    let (mut open, notices) = start(&source, &capture);
    assert_eq!(open.feeds.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["x_ch2", "x_ch0"]);
    let heard = drain(&mut open);
    for (stream, offset) in [(0, 0.5), (1, 0.0)] {
        assert_eq!(heard[stream].len(), 100_000);
        assert!(heard[stream].iter().enumerate().all(|(i, &x)| x == (i % 5000) as f32 + offset));
    }
    assert_eq!(end(&notices), (100_000, None));
}

#[test]
fn a_paced_file_runs_in_real_time_with_capture_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    write_wav(&path, 1, RATE, |i, _| (i % 5000) as f32);
    let begin = Instant::now();
    let (mut open, notices) = start(&SourceConfig::from_file(&path, false), &CaptureConfig::default());
    let reader = &mut open.feeds[0].reader;
    let mut out = [0.0; 160];
    let mut worst = Duration::ZERO;
    loop {
        match reader.read(&mut out) {
            Read::Samples(_) => {
                let captured = reader.captured_at().unwrap();
                worst = worst.max(Instant::now().saturating_duration_since(captured));
            }
            Read::Empty => {
                let _ = reader.wait(Duration::from_millis(100));
            }
            Read::Closed => break,
            Read::Rate(_) => {}
            Read::Gap { lost } => panic!("{lost} lost"),
        }
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(990), "1 s of sound in {took:?}");
    assert!(took < Duration::from_secs(3), "1 s of sound in {took:?}");
    assert!(worst < Duration::from_millis(500), "heard {worst:?} late");
    assert_eq!(end(&notices), (u64::from(RATE), None));
}

#[test]
fn nan_samples_become_silence_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    write_wav(&path, 1, 1000, |i, _| if i % 10 == 3 { f32::NAN } else { 0.5 });
    let (mut open, _notices) = start(&SourceConfig::from_file(&path, true), &CaptureConfig::default());
    let heard = drain(&mut open);
    assert!(heard[0].iter().enumerate().all(|(i, &x)| x == if i % 10 == 3 { 0.0 } else { 0.5 }));
    assert_eq!(open.counters.not_finite(), 100);
}

#[test]
fn several_files_play_at_once_and_a_stopped_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3).map(|i| folder.path().join(format!("{i}/x.wav"))).collect();
    let mut sources = Vec::new();
    for path in &paths {
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        write_wav(path, 1, 60 * RATE, |i, _| (i % 5000) as f32);
        sources.push(SourceConfig::from_file(path, false));
    }
    sources[1].fast = true;
    assign_ids(&mut sources).unwrap();
    let (sender, notices) = unbounded();
    let capture = CaptureConfig::default();
    let mut open: Vec<_> = sources.iter().map(|s| open(s, &capture, sender.clone()).unwrap()).collect();
    drop(sender);
    assert_eq!(open.iter().map(|o| &*o.id).collect::<Vec<_>>(), ["x", "x_2", "x_3"]);
    assert_eq!(drain(&mut open[1])[0].len(), 60 * RATE as usize);
    assert!(!open[0].handle.has_ended() && !open[2].handle.has_ended());
    let begin = Instant::now();
    for source in open {
        assert!(source.handle.stop());
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "a paced file stops at once");
    let ended: Vec<_> = notices.iter().filter(|n| matches!(n.change, SourceChange::Ended { .. })).collect();
    assert_eq!(ended.iter().map(|n| &*n.source).collect::<Vec<_>>(), ["x_2"]);
}

#[test]
fn a_file_that_cannot_be_played_is_refused_at_once() {
    let (sender, _) = unbounded();
    let missing = SourceConfig::from_file("/nowhere/x.wav", false);
    let Err(error) = open(&missing, &CaptureConfig::default(), sender.clone()) else { panic!("accepted") };
    assert!(error.to_string().contains("/nowhere/x.wav does not exist"), "{error}");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tone.flac");
    let source = SourceConfig { channels: Some(vec![5]), ..SourceConfig::from_file(fixture, false) };
    let Err(error) = open(&source, &CaptureConfig::default(), sender) else { panic!("accepted") };
    assert!(error.to_string().contains("channel 5"), "{error}");
}
