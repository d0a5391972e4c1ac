//! A real nats-server with JetStream and MQTT on free loopback ports.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt;

use super::broker::{Subscriber, await_for, signal};

/// A server. It is killed when this goes.
pub struct Nats {
    name: String,
    port: u16,
    mqtt: u16,
    /// Its own port for other servers, and those of all.
    routes: Option<(u16, Vec<u16>)>,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Nats {
    /// Starts one and waits until it listens.
    pub fn start() -> Self {
        let mut server = Self::stopped();
        server.start_again();
        server
    }

    /// One that is not started yet.
    pub fn stopped() -> Self {
        let (port, mqtt) = (free_port(), free_port());
        let folder = tempfile::tempdir().unwrap();
        Self { name: "n1".to_owned(), port, mqtt, routes: None, folder, child: None }
    }

    /// Starts three that know each other.
    pub fn three() -> Vec<Self> {
        let routes = [free_port(), free_port(), free_port()];
        let mut all: Vec<Self> = routes.iter().map(|_| Self::stopped()).collect();
        for ((number, own), server) in (1..).zip(routes).zip(&mut all) {
            server.name = format!("n{number}");
            server.routes = Some((own, routes.to_vec()));
        }
        all.iter_mut().for_each(Self::start_again);
        all
    }

    /// Starts it on the same ports, with what it kept on the disk.
    pub fn start_again(&mut self) {
        let config = self.folder.path().join("nats.conf");
        let store = self.folder.path().join("store");
        let mut text = format!(
            "listen: 127.0.0.1:{}\nserver_name: {}\njetstream {{ store_dir: {store:?} }}\nmqtt {{ listen: \"127.0.0.1:{}\" }}\n",
            self.port, self.name, self.mqtt
        );
        if let Some((own, all)) = &self.routes {
            let all: Vec<String> = all.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
            writeln!(text, "cluster {{ name: c, listen: 127.0.0.1:{own}, routes: {all:?} }}").unwrap();
        }
        std::fs::write(&config, text).unwrap();
        let path = ["/usr/sbin/nats-server", "/usr/bin/nats-server"].into_iter().map(PathBuf::from);
        let binary = path.into_iter().find(|path| path.exists()).unwrap_or_else(|| "nats-server".into());
        let child = Command::new(binary)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts (apt-get install nats-server)");
        self.child = Some(child);
        for port in [self.port, self.mqtt] {
            await_for("nats-server to listen", Duration::from_secs(10), || {
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        signal(self.child.as_ref().unwrap(), "STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        signal(self.child.as_ref().unwrap(), "CONT");
    }

    /// Where workers find it.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Where a proxy finds it.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Port of its MQTT.
    pub fn mqtt_port(&self) -> u16 {
        self.mqtt
    }

    /// Where MQTT clients find it.
    pub fn mqtt_url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.mqtt)
    }

    /// A `mosquitto_sub` on `topic` of its MQTT, which is subscribed when this returns.
    pub fn subscribe(&self, topic: &str) -> Subscriber {
        Subscriber::on_port(self.mqtt, topic)
    }

    /// A connection of the test.
    pub async fn context(&self) -> Context {
        context_of(&self.url()).await
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, "CONT");
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A connection of the test to servers, several with commas.
pub async fn context_of(urls: &str) -> Context {
    let urls: Vec<&str> = urls.split(',').collect();
    let mut context = jetstream::new(async_nats::connect(urls).await.unwrap());
    context.set_timeout(Duration::from_secs(2));
    context
}

/// The stream `name`. Servers of which one is dead may take a while to answer.
pub async fn stream_of(context: &Context, name: &str) -> jetstream::stream::Stream {
    for _ in 0..20 {
        if let Ok(stream) = context.get_stream(name).await {
            return stream;
        }
    }
    context.get_stream(name).await.unwrap()
}

/// Everything that the stream `name` keeps: subjects and payloads, in its order.
pub async fn all_of(context: &Context, name: &str) -> Vec<(String, Vec<u8>)> {
    let read = |message: &jetstream::Message| (message.subject.to_string(), message.payload.to_vec());
    each_of(context, name, read).await
}

/// When the server took each message of the stream `name`, since 1970.
pub async fn times_of(context: &Context, name: &str) -> Vec<Duration> {
    let read = |message: &jetstream::Message| {
        Duration::from_nanos(message.info().unwrap().published.unix_timestamp_nanos() as u64)
    };
    each_of(context, name, read).await
}

async fn each_of<T>(context: &Context, name: &str, read: impl Fn(&jetstream::Message) -> T) -> Vec<T> {
    // a consumer may be put on a server that has died, from which no answer comes
    for _ in 0..20 {
        let stream = stream_of(context, name).await;
        let count = stream.cached_info().state.messages as usize;
        let config =
            pull::OrderedConfig { deliver_policy: DeliverPolicy::All, ..pull::OrderedConfig::default() };
        let Ok(consumer) = stream.create_consumer(config).await else { continue };
        let messages = consumer.messages().await.unwrap();
        let all = messages.take(count).map(|message| read(&message.unwrap())).collect();
        if let Ok(all) = tokio::time::timeout(Duration::from_secs(10), all).await {
            return all;
        }
    }
    panic!("the messages of {name} are not delivered");
}
