//! A real Mosquitto, or NATS server, on a free loopback port, and a gate in front of it that the test opens and shuts.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cpc_stream::internal::publish::Health;

/// Waits until `done` gives a value, or fails with `what` after `limit`.
pub fn await_for<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The program of the NATS server.
const NATS: &str = "nats-server";

/// A Mosquitto without persistence, or a NATS server. It is killed when this goes.
pub struct Broker {
    port: u16,
    dir: tempfile::TempDir,
    /// More lines of Mosquitto's configuration; none for NATS.
    extra: Option<String>,
    child: Option<Child>,
}

impl Broker {
    /// Starts one and waits until it listens.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more lines of configuration, a second listener with other rules for example.
    pub fn start_with(extra: &str) -> Self {
        Self::on_a_free_port(Some(extra.to_owned()))
    }

    /// Starts a NATS server that speaks MQTT 3.1.1; none, and a line that says so, where it is not installed.
    pub fn nats() -> Option<Self> {
        let found = Command::new(NATS).arg("--version").stdout(Stdio::null()).status();
        if found.is_err() {
            println!("skipped: no nats-server on this machine (apt-get install nats-server)");
            return None;
        }
        Some(Self::on_a_free_port(None))
    }

    fn on_a_free_port(extra: Option<String>) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut broker = Self { port, dir: tempfile::tempdir().unwrap(), extra, child: None };
        broker.start_again();
        broker
    }

    /// Starts it on the same port: Mosquitto with nothing of what it knew, NATS with what it kept.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let child = match &self.extra {
            Some(extra) => self.mosquitto(extra),
            None => self.nats_server(),
        };
        self.child = Some(child);
        let address = self.address();
        await_for("the broker to listen", Duration::from_secs(20), || TcpStream::connect(address).ok());
    }

    fn nats_server(&self) -> Child {
        let config = self.dir.path().join("nats.conf");
        let text = format!(
            "server_name: here\nlisten: \"127.0.0.1:-1\"\njetstream {{ store_dir: \"{}\" }}\n\
             mqtt {{ listen: \"127.0.0.1:{}\" }}\n",
            self.dir.path().join("store").display(),
            self.port
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(self.dir.path().join("nats.log")).unwrap();
        let mut command = Command::new(NATS);
        command.arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().expect("nats-server starts")
    }

    fn mosquitto(&self, extra: &str) -> Child {
        let config = self.dir.path().join("mosquitto.conf");
        let text = format!(
            "per_listener_settings true\npersistence false\nmax_queued_messages 0\nuser root\n\
             listener {} 127.0.0.1\nallow_anonymous true\n{}\n",
            self.port, extra
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(self.dir.path().join("mosquitto.log")).unwrap();
        let path = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().map(PathBuf::from);
        let binary = path.into_iter().find(|path| path.exists()).unwrap_or_else(|| "mosquitto".into());
        Command::new(binary)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mosquitto starts (apt-get install mosquitto mosquitto-clients)")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The same as a configuration has it.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address())
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.child.take().unwrap().wait().unwrap();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGSTOP: connections stay open, nothing answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// SIGHUP: it reads its password files again.
    pub fn reload(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        signal(self.child.as_ref().expect("it runs"), name);
    }

    /// A `mosquitto_sub` on `topic` (QoS 1), which is subscribed when this returns.
    pub fn subscribe(&self, topic: &str) -> Subscriber {
        self.subscribe_as(topic, "%p")
    }

    /// The same with payloads in hex, for those that are no text.
    pub fn subscribe_hex(&self, topic: &str) -> Subscriber {
        self.subscribe_as(topic, "%x")
    }

    /// The same with the properties of MQTT 5 before the payload, as `mosquitto_sub -F` writes them.
    pub fn subscribe_v5(&self, topic: &str, properties: &str) -> Subscriber {
        self.subscribe_with(topic, &format!("{properties} %p"), &["-V", "5"])
    }

    fn subscribe_as(&self, topic: &str, payload: &str) -> Subscriber {
        self.subscribe_with(topic, payload, &[])
    }

    fn subscribe_with(&self, topic: &str, payload: &str, more: &[&str]) -> Subscriber {
        Subscriber::with(self.port, topic, payload, more)
    }

    /// Publishes a message (QoS 1, not retained).
    pub fn publish(&self, topic: &str, payload: &str) {
        self.publish_with(topic, payload, &[]);
    }

    /// The same with more arguments.
    pub fn publish_with(&self, topic: &str, payload: &str, more: &[&str]) {
        publish(self.port, topic, payload, more);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, "CONT");
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn publish(port: u16, topic: &str, payload: &str, more: &[&str]) {
    let port = port.to_string();
    let arguments = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-m", payload];
    assert!(Command::new("mosquitto_pub").args(arguments).args(more).status().unwrap().success());
}

/// Sends a signal by its name to a child of the test.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// A message as `mosquitto_sub` got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// It was kept by the broker and not fresh.
    pub retained: bool,
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: String,
}

/// A running `mosquitto_sub`.
pub struct Subscriber {
    child: Child,
    port: u16,
    lines: Receiver<ReceivedMessage>,
    early: Mutex<Vec<ReceivedMessage>>,
}

impl Subscriber {
    /// On `topic` of a broker on a loopback port, whichever it is.
    pub fn on_port(port: u16, topic: &str) -> Self {
        Self::with(port, topic, "%p", &[])
    }

    fn with(port: u16, topic: &str, payload: &str, more: &[&str]) -> Self {
        let probe = format!("probe/{port}");
        let mut child = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-t", topic, "-t", &probe])
            .args(["-F", &format!("%r\t%t\t{payload}")])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto_sub starts");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let mut parts = line.splitn(3, '\t').map(str::to_owned);
                let (Some(retained), Some(topic), Some(payload)) = (parts.next(), parts.next(), parts.next())
                else {
                    continue;
                };
                if sender.send(ReceivedMessage { retained: retained == "1", topic, payload }).is_err() {
                    break;
                }
            }
        });
        let subscriber = Self { child, port, lines, early: Mutex::new(Vec::new()) };
        let mut early = Vec::new();
        await_for("the subscription", Duration::from_secs(10), || {
            publish(port, &probe, "ready", &[]);
            // retained messages may come a round before the probe
            early.extend(subscriber.lines.try_iter());
            early.iter().any(|heard: &ReceivedMessage| heard.topic == probe).then_some(())
        });
        subscriber.early.lock().unwrap().extend(early.into_iter().filter(|heard| heard.topic != probe));
        subscriber
    }

    /// The next message whose topic ends in `suffix`, within `limit`; others are passed over.
    pub fn next(&self, suffix: &str, limit: Duration) -> ReceivedMessage {
        let by = Instant::now() + limit;
        loop {
            let early = {
                let mut early = self.early.lock().unwrap();
                (!early.is_empty()).then(|| early.remove(0))
            };
            let heard = early.unwrap_or_else(|| {
                let left = by.saturating_duration_since(Instant::now());
                self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {suffix} within {limit:?}"))
            });
            if heard.topic.ends_with(suffix) && !heard.topic.starts_with("probe/") {
                return heard;
            }
        }
    }

    /// The next health document that is as wanted, within a minute.
    pub fn health(&self, what: &str, wanted: impl Fn(&Health) -> bool) -> Health {
        let limit = Duration::from_secs(60);
        let by = Instant::now() + limit;
        loop {
            let document: Health = serde_json::from_str(&self.next("/health", limit).payload).unwrap();
            if wanted(&document) {
                return document;
            }
            assert!(Instant::now() < by, "{what}: {document:?}");
        }
    }

    /// What the broker had taken before this call and was not asked for: waits for a message that follows it.
    pub fn settled(&self) -> Vec<ReceivedMessage> {
        let probe = format!("probe/{}", self.port);
        publish(self.port, &probe, "settled", &[]);
        let mut heard = std::mem::take(&mut *self.early.lock().unwrap());
        loop {
            let limit = Duration::from_secs(30);
            let next = self.lines.recv_timeout(limit).unwrap_or_else(|_| panic!("no probe within {limit:?}"));
            if next.topic == probe && next.payload == "settled" {
                break;
            }
            heard.push(next);
        }
        heard.retain(|heard| !heard.topic.starts_with("probe/"));
        heard
    }

    /// What has come so far and was not asked for.
    pub fn rest(&self) -> Vec<ReceivedMessage> {
        let mut heard = std::mem::take(&mut *self.early.lock().unwrap());
        heard.extend(self.lines.try_iter());
        heard.retain(|heard| !heard.topic.starts_with("probe/"));
        heard
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A TCP door to a broker. Shut, it refuses at once and cuts what is open.
pub struct Gate {
    port: u16,
    open: Arc<AtomicBool>,
    links: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    /// An open door to `target`.
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, links) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
        let (is_open, all) = (open.clone(), links.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // the lock makes "shut" final: no link slips in behind it
                let mut links = all.lock().unwrap();
                let Some(server) = is_open.load(SeqCst).then(|| TcpStream::connect(target).ok()).flatten()
                else {
                    continue;
                };
                links.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                pump(client.try_clone().unwrap(), server.try_clone().unwrap());
                pump(server, client);
            }
        });
        Self { port, open, links }
    }

    /// The door's address as a configuration has it.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Lets connections through from now on.
    pub fn open(&self) {
        self.open.store(true, SeqCst);
    }

    /// Cuts all connections; new ones are closed at once.
    pub fn shut(&self) {
        let mut links = self.links.lock().unwrap();
        self.open.store(false, SeqCst);
        for link in links.drain(..) {
            let _ = link.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    use std::io::Read;
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count) = from.read(&mut buffer)
            && count > 0
            && to.write_all(&buffer[..count]).is_ok()
        {}
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
