//! `watch` prints what a daemon says, and a broker that is not there is a plain failure.
#![cfg(feature = "mqtt")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::broker::{Broker, await_for};
use crate::support::events::{event, this_binary};
use cpc_stream::internal::cli::AccessArgs;
use cpc_stream::internal::cli::watch::{WatchArgs, run};
use cpc_stream::internal::error::ErrorKind;
use cpc_stream::internal::publish::{Outgoing, PublishConfig, Publisher};

const BROKER: &str = "CPC_TEST_BROKER";
const LONG: Duration = Duration::from_secs(20);

fn arguments(broker: &str) -> WatchArgs {
    WatchArgs {
        broker: broker.to_owned(),
        node: None,
        prefix: "cpc-stream".into(),
        access: AccessArgs::default(),
        scores: false,
        json: std::env::var_os("CPC_TEST_JSON").is_some(),
        count: Some(2),
    }
}

#[test]
fn child() {
    let Ok(url) = std::env::var(BROKER) else { return };
    run(&arguments(&url)).unwrap();
}

#[test]
fn lines_for_people_and_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let config = PublishConfig { broker: Some(broker.url()), ..PublishConfig::default() };
    let publisher = Publisher::start(&config, "hall", dir.path()).unwrap();
    let status = publisher.status();
    await_for("a connection", LONG, || status.connected().then_some(()));
    for (seq, as_json) in [(0, false), (1, true)] {
        let mut command = this_binary("watch_shows_what_comes::child");
        command.env(BROKER, broker.url());
        if as_json {
            command.env("CPC_TEST_JSON", "1");
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // the retained status shows that the subscription stands
        let first = lines.find(|line| line.contains("status")).unwrap();
        assert!(first.contains("online"), "{first}");
        assert!(publisher.sender().try_send(Outgoing::Event(Box::new(event("mic", seq)))));
        let second = lines.find(|line| line.contains("event")).unwrap();
        assert!(second.contains("hall/mic") && second.contains(&format!("mic-{seq}")), "{second}");
        if as_json {
            let line: serde_json::Value = serde_json::from_str(&second).unwrap();
            assert_eq!((&line["retained"], &line["payload"]["seq"]), (&false.into(), &seq.into()));
        }
        assert!(child.wait().unwrap().success(), "it ends after --count lines");
    }
}

#[test]
fn a_broker_that_is_not_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let start = Instant::now();
    let error = run(&arguments(&format!("mqtt://{free}"))).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(7));
    assert_eq!((error.kind(), error.kind().exit_code()), (ErrorKind::Broker, 5));
    assert!(
        error.to_string().contains(&free.port().to_string()) && error.fix().contains("listens"),
        "{error}"
    );

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    let error = run(&arguments(&format!("mqtt://{}", silent.local_addr().unwrap()))).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(7));
    assert_eq!(error.kind(), ErrorKind::Broker);

    let error = run(&arguments("http://broker")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
