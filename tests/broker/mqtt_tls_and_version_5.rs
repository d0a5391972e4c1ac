//! TLS with an own authority, client certificates and other names; MQTT 5 with its properties; secrets of systemd.
#![cfg(feature = "mqtt")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::broker::{Broker, await_for};
use crate::support::daemon::{Daemon, program, run};
use crate::support::events::event;
use cpc_stream::internal::publish::{Outgoing, Protocol, PublishConfig, Publisher, TlsConfig};

const LONG: Duration = Duration::from_secs(20);

fn openssl(folder: &Path, arguments: &str) {
    let words = arguments.split(' ').map(|word| word.replace('~', " "));
    let made =
        Command::new("openssl").args(words).current_dir(folder).output().expect("apt-get install openssl");
    assert!(made.status.success(), "{arguments}: {}", String::from_utf8_lossy(&made.stderr));
}

/// Two authorities (`ca`, `other`), the broker's certificate for `broker.example`, 127.0.0.1 and localhost, and ours.
fn certificates(folder: &Path) {
    for ca in ["ca", "other"] {
        openssl(
            folder,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={ca} -keyout {ca}.key \
                 -out {ca}.pem"
            ),
        );
    }
    for (name, ca, alternatives) in [
        ("broker", "ca", "DNS:localhost,IP:127.0.0.1"),
        ("renamed", "ca", "DNS:broker.example"),
        ("client", "ca", "DNS:hall"),
        ("stranger", "other", "DNS:hall"),
    ] {
        openssl(
            folder,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ),
        );
        std::fs::write(folder.join("ext"), format!("subjectAltName={alternatives}\n")).unwrap();
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 2 -extfile ext -out {name}.pem"
            ),
        );
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Secure {
    broker: Broker,
    port: u16,
    port_renamed: u16,
    certificates: tempfile::TempDir,
}

impl Secure {
    /// A broker with a plain listener for the test and two encrypted ones for us; the first asks for a certificate.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let (port, port_renamed) = (free_port(), free_port());
        let listener = |port: u16, name: &str, more: &str| {
            let at = folder.path().display();
            format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\ncafile {at}/ca.pem\ncertfile {at}/{name}.pem\nkeyfile \
                 {at}/{name}.key\n{more}"
            )
        };
        let first = listener(port, "broker", "require_certificate true\n");
        let broker = Broker::start_with(&(first + &listener(port_renamed, "renamed", "")));
        Self { broker, port, port_renamed, certificates: folder }
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.certificates.path().join(name))
    }
}

/// Whether an event gets through.
fn gets_through(secure: &Secure, url: String, protocol: Protocol, tls: TlsConfig) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let config = PublishConfig { broker: Some(url), protocol, tls, ..PublishConfig::default() };
    let subscriber = secure.broker.subscribe("cpc-stream/node/mic/event");
    let publisher = Publisher::start(&config, "node", dir.path()).unwrap();
    assert!(publisher.sender().try_send(Outgoing::Event(Box::new(event("mic", 7)))));
    let connected = (0..150).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        publisher.status().connected()
    });
    if connected {
        assert!(subscriber.next("/event", LONG).payload.contains("\"seq\":7"));
        await_for("the receipt", LONG, || (publisher.status().pending() == 0).then_some(()));
    }
    let report = publisher.stop(Duration::from_secs(1));
    assert_eq!((report.accepted, report.acked), (1, u64::from(connected)));
    connected
}

#[test]
fn whom_we_trust_and_who_we_are() {
    let secure = Secure::start();
    let url = |host: &str, port: u16| format!("mqtts://{host}:{port}");
    let known = TlsConfig {
        ca_file: secure.file("ca.pem"),
        cert_file: secure.file("client.pem"),
        key_file: secure.file("client.key"),
        server_name: None,
    };
    for (host, protocol) in [("127.0.0.1", Protocol::V3), ("localhost", Protocol::V5)] {
        assert!(gets_through(&secure, url(host, secure.port), protocol, known.clone()), "{host}");
    }
    let no_certificate = TlsConfig { cert_file: None, key_file: None, ..known.clone() };
    let stranger = TlsConfig {
        cert_file: secure.file("stranger.pem"),
        key_file: secure.file("stranger.key"),
        ..known.clone()
    };
    let other_authority = TlsConfig { ca_file: secure.file("other.pem"), ..known.clone() };
    for (what, tls) in
        [("no certificate", &no_certificate), ("a stranger's", &stranger), ("another CA", &other_authority)]
    {
        assert!(!gets_through(&secure, url("127.0.0.1", secure.port), Protocol::V3, tls.clone()), "{what}");
    }
    let renamed = TlsConfig { server_name: Some("broker.example".into()), ..no_certificate.clone() };
    let at = || url("127.0.0.1", secure.port_renamed);
    assert!(gets_through(&secure, at(), Protocol::V3, renamed), "the name that was given counts");
    assert!(
        !gets_through(&secure, at(), Protocol::V3, no_certificate),
        "the address is not in the certificate"
    );
}

#[test]
fn credentials_of_systemd_and_the_commands_that_use_them() {
    let secure = Secure::start();
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str| secure.file(name).unwrap().display().to_string();
    std::fs::write(
        home.path().join("c.toml"),
        format!(
            "node = \"hall\"\n[publish]\nbroker = \"mqtts://localhost:{}\"\n[publish.tls]\nca_file = \"{}\"\ncert_file = \
             \"credential:client.pem\"\nkey_file = \"credential:client.key\"\n",
            secure.port,
            file("ca.pem")
        ),
    )
    .unwrap();
    let without = run(home.path(), &["check", "--config", "c.toml", "--input", "-"], LONG);
    assert_eq!(without.code, Some(2), "{}", without.stderr);
    assert!(without.stderr.contains("credential:client.pem"), "{}", without.stderr);

    let status = secure.broker.subscribe("cpc-stream/hall/status");
    let mut command = program(home.path());
    command
        .args(["--config", "c.toml", "--input", "-"])
        .env("CREDENTIALS_DIRECTORY", secure.certificates.path())
        .stdin(Stdio::piped());
    let mut daemon = Daemon::start(&mut command);
    let pipe = daemon.stdin();
    assert_eq!(status.next("/status", LONG).payload, "online");

    // `watch` over TLS sees what is retained
    let watch =
        ["watch", "--broker", &format!("mqtts://localhost:{}", secure.port), "--count", "1", "--json"];
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let watch = [watch.as_slice(), &["--ca-file", &ca, "--cert-file", &cert, "--key-file", &key]].concat();
    let seen = run(home.path(), &watch, LONG);
    assert!(seen.stdout.contains("cpc-stream/hall/"), "{seen:?}");

    // a daemon that is killed says nothing: the broker says offline for it
    daemon.kill();
    drop(pipe);
    assert_eq!(status.next("/status", LONG).payload, "offline");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    std::fs::write(folder.path().join("text"), "no certificate\n").unwrap();
    let file = |name: &str| Some(folder.path().join(name));
    for (word, tls) in [
        ("missing.pem", TlsConfig { ca_file: file("missing.pem"), ..TlsConfig::default() }),
        ("text", TlsConfig { ca_file: file("text"), ..TlsConfig::default() }),
        (
            "client.pem",
            TlsConfig {
                ca_file: file("ca.pem"),
                cert_file: file("client.pem"),
                key_file: file("stranger.key"),
                ..TlsConfig::default()
            },
        ),
        (
            "server_name",
            TlsConfig {
                ca_file: file("ca.pem"),
                server_name: Some("no name".into()),
                ..TlsConfig::default()
            },
        ),
    ] {
        let config =
            PublishConfig { broker: Some("mqtts://localhost:1".into()), tls, ..PublishConfig::default() };
        let error = Publisher::start(&config, "node", folder.path()).map(drop).unwrap_err();
        assert_eq!(error.kind(), cpc_stream::internal::error::ErrorKind::Config);
        assert!(error.to_string().contains(word) && !error.fix().is_empty(), "{word}: {error}");
    }
}

#[test]
fn version_5_carries_properties_and_keeps_requests() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().unwrap();
    let config = PublishConfig {
        broker: Some(broker.url()),
        protocol: Protocol::V5,
        session_expiry_s: 60,
        message_expiry_s: 3600,
        commands: vec![cpc_stream::internal::publish::Command::Mute],
        ..PublishConfig::default()
    };
    // expiry left, then user properties
    let subscriber = broker.subscribe_v5("cpc-stream/node/mic/event", "%E %P");
    let start = || Publisher::start(&config, "node", dir.path()).unwrap();
    let publisher = start();
    assert!(publisher.sender().try_send(Outgoing::Event(Box::new(event("mic", 3)))));
    let heard = subscriber.next("/event", LONG).payload;
    let (expiry, rest) = heard.split_once(' ').unwrap();
    let expiry: u32 = expiry.parse().unwrap();
    assert!((3500..=3600).contains(&expiry), "{heard}");
    assert!(rest.starts_with("node:node schema:1 ") && rest.contains("\"seq\":3"), "{heard}");
    await_for("the receipt", LONG, || (publisher.status().pending() == 0).then_some(()));
    let _ = publisher.stop(Duration::from_secs(2));

    // the session outlives the daemon: what was asked meanwhile comes with the next start
    broker.publish("cpc-stream/node/request/mute", r#"{"seconds":60,"transaction":"late"}"#);
    let publisher = start();
    let request = publisher.requests().recv_timeout(LONG).unwrap();
    assert_eq!(request.transaction.as_deref(), Some("late"));
    let _ = publisher.stop(Duration::from_secs(2));
}

/// A broker that says how much it takes is believed: what can never be delivered does not hold up the rest.
#[test]
fn an_event_too_large_for_the_broker_is_given_up_and_counted() {
    let broker = Broker::start_with("max_packet_size 4000\n");
    let dir = tempfile::tempdir().unwrap();
    let config =
        PublishConfig { broker: Some(broker.url()), protocol: Protocol::V5, ..PublishConfig::default() };
    let subscriber = broker.subscribe("cpc-stream/node/mic/event");
    let publisher = Publisher::start(&config, "node", dir.path()).unwrap();
    let mut large = event("mic", 1);
    large.finding.surprise_per_k = vec![Some(1.25); 1000];
    for event in [event("mic", 0), large, event("mic", 2)] {
        assert!(publisher.sender().try_send(Outgoing::Event(Box::new(event))));
    }
    for seq in [0, 2] {
        assert!(subscriber.next("/event", LONG).payload.contains(&format!("\"seq\":{seq},")));
    }
    await_for("the books", LONG, || (publisher.status().pending() == 0).then_some(()));
    let report = publisher.stop(Duration::from_secs(2));
    assert_eq!((report.accepted, report.acked, report.dropped), (3, 2, 1));
}
