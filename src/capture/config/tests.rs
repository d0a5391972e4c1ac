use super::*;
use crate::error::ErrorKind;

fn parse(text: &str) -> SourceConfig {
    toml::from_str(text).unwrap()
}

#[test]
fn all_source_kinds_round_trip() {
    for text in [
        "device = \"hw:0\"\nchannels = [0, 1]\nid = \"kitchen\"",
        "file = \"a/x.wav\"\nfast = true",
        "stdin = { rate = 8000, channels = 2, format = \"f32le\" }",
        "url = \"rtsp://cam/live\"\nrtsp_transport = \"udp\"",
        "url = \"udp://0.0.0.0:5004\"\npcm = { rate = 48000, channels = 2, format = \"s16le\" }",
    ] {
        let source = parse(text);
        source.validate().unwrap();
        assert_eq!(parse(&toml::to_string(&source).unwrap()), source);
    }
    assert_eq!(parse("stdin = {}").stdin, Some(PcmForm::default()));
}

#[test]
fn contradictions_are_refused_with_a_fix() {
    for (text, cause, kind) in [
        ("", "exactly one", ErrorKind::Config),
        ("device = \"hw:0\"\nfile = \"x.wav\"", "exactly one", ErrorKind::Config),
        ("device = \"hw:0\"\nid = \"a/b\"", "a/b", ErrorKind::Config),
        ("device = \"hw:0\"\nchannels = []", "no channel", ErrorKind::Config),
        ("device = \"hw:0\"\nchannels = [1, 1]", "twice", ErrorKind::Config),
        ("device = \"hw:0\"\nfast = true", "fast", ErrorKind::Config),
        ("device = \" \"", "empty", ErrorKind::Device),
        ("stdin = { channels = 0 }", "makes no sense", ErrorKind::Config),
        ("stdin = { rate = 1 }", "makes no sense", ErrorKind::Config),
        ("url = \"udp://[::]:1\"\npcm = { rate = 1 }", "makes no sense", ErrorKind::Config),
        ("url = \"udp://[::]\"", "no port", ErrorKind::Config),
        ("url = \"udp://[::]:1\"\nstdin = {}", "exactly one", ErrorKind::Config),
        ("stdin = {}\npcm = {}", "without `url`", ErrorKind::Config),
        ("url = \"udp://[::]:1\"\nrtsp_transport = \"udp\"", "without an rtsp", ErrorKind::Config),
    ] {
        let error = parse(text).validate().unwrap_err();
        assert!(error.to_string().contains(cause), "{error}");
        assert_eq!(error.kind(), kind, "{text}");
    }
    assert!(toml::from_str::<SourceConfig>("devise = \"hw:0\"").is_err());
    assert!(toml::from_str::<CaptureConfig>("ring = 1").is_err());
}

#[test]
fn capture_settings_have_ranges() {
    CaptureConfig::default().validate().unwrap();
    for broken in [
        CaptureConfig { ring_seconds: f64::NAN, ..CaptureConfig::default() },
        CaptureConfig { period_ms: 1, ..CaptureConfig::default() },
        CaptureConfig { chunk_ms: 0, ..CaptureConfig::default() },
        CaptureConfig { rate_hz: Some(100), ..CaptureConfig::default() },
    ] {
        assert!(broken.validate().is_err(), "{broken:?}");
    }
}
