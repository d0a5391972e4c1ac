use std::time::{Duration, Instant};

use super::*;
use crate::error::ErrorKind;

pub(super) use crate::event::samples::event;

fn without_a_reader_a_stop_is_requested() -> PublishConfig {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    PublishConfig { broker: Some(format!("mqtt://127.0.0.1:{port}")), ..PublishConfig::default() }
}

#[cfg(feature = "mqtt")]
#[test]
fn events_are_kept_where_no_broker_is() {
    let dir = tempfile::tempdir().unwrap();
    let config = without_a_reader_a_stop_is_requested();
    for run in 1..=2 {
        let publisher = Publisher::start(&config, "node", dir.path()).unwrap();
        for seq in 0..300 {
            assert!(publisher.sender().try_send(Outgoing::Event(Box::new(event("mic", seq)))));
        }
        assert!(publisher.flush_durable(Duration::from_secs(20)));
        assert_eq!(publisher.status().pending(), 300 * run);
        let start = Instant::now();
        let report = publisher.stop(Duration::from_secs(5));
        assert!(start.elapsed() < Duration::from_secs(3), "a broker that is away is not waited for");
        assert_eq!(
            (report.accepted, report.pending, report.acked, report.refused),
            (300 * run, 300 * run, 0, 0)
        );
        assert!(report.clean);
    }
}

#[cfg(feature = "mqtt")]
#[test]
fn a_disk_that_refuses_degrades_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("outbox.redb");
    std::fs::create_dir(&blocked).unwrap();
    let publisher = Publisher::start(&without_a_reader_a_stop_is_requested(), "node", dir.path()).unwrap();
    let (sender, status) = (publisher.sender(), publisher.status());
    for seq in 0..20 {
        assert!(sender.try_send(Outgoing::Event(Box::new(event("mic", seq)))));
    }
    assert!(!publisher.flush_durable(Duration::from_millis(700)));
    assert!(status.degraded() && status.accepted() == 0);
    std::fs::remove_dir(&blocked).unwrap();
    assert!(publisher.flush_durable(Duration::from_secs(20)));
    assert!(!status.degraded());
    let report = publisher.stop(Duration::ZERO);
    assert_eq!((report.accepted, report.pending, report.refused), (20, 20, 0));
}

#[test]
fn a_start_that_cannot_succeed_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let start = |config: &PublishConfig, node: &str| Publisher::start(config, node, dir.path()).map(drop);
    let away = without_a_reader_a_stop_is_requested();
    let bad = PublishConfig { broker: Some("http://x".into()), ..PublishConfig::default() };
    let secret = PublishConfig {
        username: Some("ear".into()),
        password_file: Some(dir.path().join("missing")),
        ..away.clone()
    };
    for (config, node) in [(&away, "no/de"), (&bad, "node"), (&secret, "node")] {
        let error = start(config, node).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    let _first =
        Outbox::open(dir.path(), OutboxLimits { max_bytes: 1 << 20, max_age: Duration::from_secs(60) })
            .unwrap();
    let error = start(&away, "node").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn sending_never_waits_and_refused_messages_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = Publisher::start(&PublishConfig::default(), "node", dir.path()).unwrap();
    let (sender, status) = (publisher.sender(), publisher.status());
    let report = publisher.stop(Duration::from_secs(1));
    assert!(report.clean);
    let start = Instant::now();
    for _ in 0..2000 {
        sender.try_send(Outgoing::Anomaly { stream: "mic".into(), on: true });
    }
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(status.refused(), 2000);
}
