//! `mqtt test` against real brokers: what works says how long it took, what does not says why, and no daemon is disturbed.
#![cfg(feature = "mqtt")]

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::broker::Broker;
use crate::support::daemon::{Daemon, Outcome, run};

const LIMIT: Duration = Duration::from_secs(30);
const DYNAMIC: &str = "mosquitto_dynamic_security.so";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The program's verdict, and the cause and the fix that it printed.
fn verdict(home: &Path, arguments: &[&str]) -> (Outcome, String, String) {
    let outcome = run(home, &[&["mqtt", "test"], arguments].concat(), LIMIT);
    let line = |start: &str| {
        let lines = outcome.stderr.lines().map(str::trim);
        lines.filter_map(|line| line.strip_prefix(start)).next_back().unwrap_or_default().to_owned()
    };
    let (cause, fix) = (line("error: "), line("fix: "));
    (outcome, cause, fix)
}

fn fails(home: &Path, arguments: &[&str], cause: &[&str], fix: &[&str]) {
    let (outcome, said, advice) = verdict(home, arguments);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert!(cause.iter().all(|word| said.contains(word)), "{cause:?} in {said}");
    assert!(fix.iter().all(|word| advice.contains(word)), "{fix:?} in {advice}");
    assert!(!outcome.stdout.contains("ok: "), "{}", outcome.stdout);
}

#[test]
fn a_broker_that_works_and_a_daemon_that_goes_on() {
    let broker = Broker::start();
    let home = tempfile::tempdir().unwrap();
    let status = broker.subscribe("cpc-stream/hall/#");
    let mut daemon = Daemon::of_a_pipe(home.path(), "", &broker.url());
    let pipe = daemon.stdin();
    assert_eq!(status.next("/status", LIMIT).payload, "online");
    let url = broker.url();
    for arguments in [
        vec!["--broker", &url, "--node", "hall"],
        vec!["--broker", &url, "--node", "hall", "--json"],
        vec!["--config", "v5.toml"],
    ] {
        std::fs::write(
            home.path().join("v5.toml"),
            format!("node = \"hall\"\n[publish]\nbroker = \"{url}\"\nprotocol = \"5\"\n"),
        )
        .unwrap();
        let (outcome, ..) = verdict(home.path(), &arguments);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        for step in [
            "resolved",
            "reached",
            "let in",
            "subscribed",
            "confirmed",
            "came back",
            "event path",
            "kept",
            "last will",
        ] {
            assert!(outcome.stdout.contains(step), "{step}: {}", outcome.stdout);
        }
        if arguments.contains(&"--json") {
            let said: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
            assert_eq!((said["ok"].as_bool(), said["steps"].as_array().unwrap().len()), (Some(true), 11));
            assert!(said["steps"].as_array().unwrap().iter().all(|step| step["ms"].as_f64().unwrap() >= 0.0));
        } else {
            assert!(outcome.stdout.contains("ok: a message to ourselves came back"), "{}", outcome.stdout);
        }
    }
    // the daemon was neither thrown out nor told to say anything
    let heard = status.rest();
    assert!(heard.iter().all(|heard| !heard.topic.ends_with("/status")), "{heard:?}");
    assert_eq!(heard.iter().filter(|heard| heard.topic == "cpc-stream/hall/test").count(), 3);
    assert!(daemon.runs());
    // and nothing is kept of it
    let kept = broker.subscribe("cpc-stream/hall/test").rest();
    assert!(kept.is_empty(), "{kept:?}");
    drop(pipe);
    daemon.finish(LIMIT);
}

#[test]
fn unreachable_and_silent_brokers_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let free = free_port();
    let at = format!("mqtt://127.0.0.1:{free}");
    let place = format!("127.0.0.1:{free}");
    fails(home.path(), &["--broker", &at], &["nothing listens", &place], &["start the broker"]);
    fails(
        home.path(),
        &["--broker", "mqtt://no-such-host.invalid"],
        &["no-such-host.invalid:1883", "not found"],
        &["spelling"],
    );
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("mqtt://{}", silent.local_addr().unwrap());
    fails(home.path(), &["--broker", &at], &["does not answer as a broker"], &["mqtts://"]);
    let (outcome, cause, fix) = verdict(home.path(), &[]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(cause.contains("no broker is named") && fix.contains("--broker"), "{cause} {fix}");
}

/// A plain broker for the test and a second door with users: `ear` may do all, `mute` may not write, `deaf` may not read.
fn guarded(folder: &Path) -> (Broker, String) {
    let passwords = folder.join("passwords");
    std::fs::write(&passwords, "").unwrap();
    for user in ["ear", "mute", "deaf"] {
        let made =
            Command::new("mosquitto_passwd").args(["-b"]).arg(&passwords).args([user, "right"]).output();
        assert!(made.expect("apt-get install mosquitto").status.success());
        std::fs::write(folder.join("right"), "right\n").unwrap();
        std::fs::write(folder.join("wrong"), "wrong\n").unwrap();
    }
    let rules = "user ear\ntopic readwrite cpc-stream/#\nuser mute\ntopic read cpc-stream/#\nuser deaf\n\
                 topic write cpc-stream/#\n";
    std::fs::write(folder.join("rules"), rules).unwrap();
    let port = free_port();
    let at = folder.display();
    let broker = Broker::start_with(&format!(
        "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {at}/passwords\nacl_file {at}/rules"
    ));
    (broker, format!("127.0.0.1:{port}"))
}

#[test]
fn users_passwords_and_rules() {
    let folder = tempfile::tempdir().unwrap();
    let (_broker, place) = guarded(folder.path());
    let home = folder.path();
    let url = |user: &str| format!("mqtt://{user}@{place}");
    let (ear, mute, deaf) = (url("ear"), url("mute"), url("deaf"));
    let (outcome, ..) = verdict(home, &["--broker", &ear, "--password-file", "right", "--node", "hall"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    fails(
        home,
        &["--broker", &ear, "--password-file", "wrong"],
        &["refuses the user \"ear\" or the password"],
        &["publish.password_file", "mosquitto_passwd"],
    );
    let nobody = format!("mqtt://{place}");
    fails(home, &["--broker", &nobody], &["without a user name"], &["publish.username"]);
    let (outcome, cause, _) = verdict(home, &["--broker", &ear, "--password-file", "missing"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(cause.contains("missing"), "{cause}");

    // with MQTT 3.1.1 this broker gives no reason: it closes the connection, or says nothing at all
    for (url, user, what) in
        [(&mute, "mute", "does not take a message"), (&deaf, "deaf", "did not give it back")]
    {
        fails(
            home,
            &["--broker", url, "--password-file", "right", "--node", "hall"],
            &["cpc-stream/hall/test", what],
            &[&format!("the user {user} to read and write cpc-stream/hall/#")],
        );
    }
    let five = format!(
        "node = \"hall\"\n[publish]\nprotocol = \"5\"\nbroker = \"{mute}\"\npassword_file = \"{}/right\"\n",
        home.display()
    );
    std::fs::write(home.join("five.toml"), five).unwrap();
    fails(
        home,
        &["--config", "five.toml"],
        &["does not take a message on cpc-stream/hall/test"],
        &["read and write"],
    );
}

/// The rules of Mosquitto's plugin are the ones that refuse a subscription itself.
#[test]
fn a_subscription_that_is_refused() {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let plugin = folders.iter().map(|folder| Path::new(folder).join(DYNAMIC)).find(|path| path.exists());
    let plugin = plugin.expect("Debian's mosquitto brings its plugin");
    let folder = tempfile::tempdir().unwrap();
    let rules = r#"{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true, "subscribe": false,
        "unsubscribe": true}, "clients": [], "groups": [{"groupname": "all", "roles": [], "clients": []}], "roles": [],
        "anonymousGroup": "all"}"#;
    std::fs::write(folder.path().join("rules.json"), rules).unwrap();
    let port = free_port();
    let _broker = Broker::start_with(&format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nplugin {}\nplugin_opt_config_file {}/rules.json",
        plugin.display(),
        folder.path().display()
    ));
    let url = format!("mqtt://127.0.0.1:{port}");
    for protocol in ["3.1.1", "5"] {
        let config = format!("node = \"hall\"\n[publish]\nprotocol = \"{protocol}\"\nbroker = \"{url}\"\n");
        std::fs::write(folder.path().join("c.toml"), config).unwrap();
        fails(
            folder.path(),
            &["--config", "c.toml"],
            &["no subscription to cpc-stream/hall/test", "refuses"],
            &["allow everybody to read and write cpc-stream/hall/#"],
        );
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let made = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let made = made.expect("apt-get install openssl");
    assert!(made.status.success(), "{arguments}: {}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn certificates_that_are_trusted_and_not() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    // a certificate that is its own authority
    for (name, subject) in [("broker", "localhost"), ("other", "elsewhere.example")] {
        openssl(
            home,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} -addext \
                 subjectAltName=DNS:{subject} -addext basicConstraints=critical,CA:FALSE -keyout {name}.key -out {name}.pem"
            ),
        );
    }
    let (port, port_other) = (free_port(), free_port());
    let listener = |port: u16, name: &str| {
        let at = home.display();
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\ncertfile {at}/{name}.pem\nkeyfile {at}/{name}.key\n"
        )
    };
    let broker = Broker::start_with(&(listener(port, "broker") + &listener(port_other, "other")));
    let url = format!("mqtts://localhost:{port}");
    let (outcome, ..) = verdict(home, &["--broker", &url, "--ca-file", "broker.pem"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("TLS"), "{}", outcome.stdout);
    fails(
        home,
        &["--broker", &url, "--ca-file", "other.pem"],
        &["signed by nobody whom this machine trusts"],
        &["publish.tls.ca_file"],
    );
    let url = format!("mqtts://localhost:{port_other}");
    fails(home, &["--broker", &url, "--ca-file", "other.pem"], &["for another name"], &["server_name"]);
    let url = broker.url().replace("mqtt://127.0.0.1", "mqtts://localhost");
    fails(home, &["--broker", &url, "--ca-file", "broker.pem"], &["localhost"], &[]);
    let url = format!("mqtt://localhost:{port}");
    fails(home, &["--broker", &url], &["localhost"], &["mqtts://"]);
}
