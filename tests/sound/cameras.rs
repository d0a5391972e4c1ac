//! Cameras: one whose pictures are slow is online at once, since audio alone is asked for; one without sound is told as
//! such; the sound comes by TCP or UDP.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::camera::Camera;
use cpc_stream::internal::capture::{CaptureConfig, RtspTransport, SourceChange, SourceConfig, open};
use cpc_stream::internal::ring::Read;
use crossbeam_channel::unbounded;

const LIMIT: Duration = Duration::from_secs(20);
#[test]
fn a_camera_is_online_at_once_and_one_without_sound_says_so() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("no ffmpeg here: cameras were not tried");
        return;
    }
    let camera = Camera::start();
    let port = camera.port;
    for (url, transport) in [
        (format!("rtsp://127.0.0.1:{port}/cam"), RtspTransport::Tcp),
        (format!("rtsp://127.0.0.1:{port}/cam"), RtspTransport::Udp),
        (format!("rtsp://me:secret@127.0.0.1:{port}/cam"), RtspTransport::Tcp),
    ] {
        let (sender, notices) = unbounded();
        let source = SourceConfig { rtsp_transport: Some(transport), ..SourceConfig::from_url(&url) };
        let mut source = open(&source, &CaptureConfig::default(), sender).unwrap();
        let (begun, mut samples, mut out) = (Instant::now(), 0, [0.0; 1000]);
        while samples < 16_000 {
            assert!(begun.elapsed() < LIMIT, "{url} {transport:?}: {samples} samples");
            match source.feeds[0].reader.read(&mut out) {
                Read::Samples(count) => samples += count,
                _ => thread::sleep(Duration::from_millis(10)),
            }
        }
        let changes: Vec<SourceChange> = notices.try_iter().map(|notice| notice.change).collect();
        assert!(matches!(&changes[..], [SourceChange::Online { .. }]), "{url} {transport:?}: {changes:?}");
    }
    let (sender, notices) = unbounded();
    let _source = open(
        &SourceConfig::from_url(format!("rtsp://127.0.0.1:{port}/mute")),
        &CaptureConfig::default(),
        sender,
    )
    .unwrap();
    let SourceChange::Offline { reason } = notices.recv_timeout(LIMIT).unwrap().change else {
        panic!("it has no sound")
    };
    assert!(reason.contains("no sound in it"), "{reason}");
}
