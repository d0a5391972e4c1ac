//! The connection to the servers, with the streams and buckets there.

use std::time::Duration;

use async_nats::jetstream::kv::Store;
use async_nats::jetstream::stream::{self, Stream};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, Event};

use super::ClusterConfig;
use crate::error::{Error, Result};
use crate::mqtt::read_password;

/// How long an answer of the servers is waited for.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause before servers that are away are asked again.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How long events are kept for subscribers that are away.
const EVENTS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Within this time a second document of the same id is refused by the id alone.
const DUPLICATES: Duration = Duration::from_secs(120);

/// Names of everything that a cluster keeps on the servers.
#[derive(Debug, Clone)]
pub(super) struct Names {
    name: String,
    /// The MQTT prefix as levels of a subject.
    prefix: String,
    pub(super) sound: String,
}

impl Names {
    pub(super) fn new(config: &ClusterConfig, prefix: &str) -> Self {
        let sound = match config.sound_stream.as_str() {
            "" => format!("{}-sound", config.name),
            name => name.to_owned(),
        };
        Self { name: config.name.clone(), prefix: prefix.replace('/', "."), sound }
    }

    /// Sound of the microphone `mic`: the MQTT topic `PREFIX/mic/ID/audio`.
    pub(super) fn audio(&self, mic: &str) -> String {
        format!("{}.mic.{mic}.audio", self.prefix)
    }

    pub(super) fn events(&self) -> String {
        format!("{}-events", self.name)
    }

    /// Where documents of a stream are kept. Not the MQTT topic: an MQTT subscriber also sees what JetStream refuses.
    pub(super) fn event(&self, stream: &str) -> String {
        format!("cpcs.event.{}.{stream}", self.name)
    }

    pub(super) fn leases(&self) -> String {
        format!("{}-leases", self.name)
    }

    pub(super) fn states(&self) -> String {
        format!("{}-states", self.name)
    }
}

/// The connection, and handles of streams and buckets.
#[derive(Debug, Clone)]
pub(super) struct JetStream {
    client: Client,
    pub(super) context: Context,
    pub(super) names: Names,
    pub(super) sound: Stream,
    pub(super) events: Stream,
    pub(super) leases: Store,
    pub(super) states: Store,
}

/// Connects in the background, for ever.
///
/// # Errors
/// When an address or a file of the configuration cannot be read.
pub(super) async fn connect(config: &ClusterConfig, client_name: &str) -> Result<Client> {
    let mut options = ConnectOptions::new()
        .name(client_name)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .ping_interval(Duration::from_secs(2))
        .connection_timeout(Duration::from_secs(3))
        .request_timeout(Some(RESPONSE_TIMEOUT))
        .reconnect_delay_callback(|tries| Duration::from_millis(100 * (tries.min(20) as u64 + 1)))
        .event_callback(|event| async move {
            match event {
                Event::Connected => tracing::info!("cluster: connected to the servers"),
                Event::Disconnected => {
                    tracing::warn!("cluster: the servers are away; tried again until they are there");
                }
                Event::ServerError(error) => tracing::error!("cluster: the server says: {error}"),
                other => tracing::debug!("cluster: {other}"),
            }
        });
    let unreadable = |file: &std::path::Path, reason: String| {
        Error::config(format!("{}: {reason}", file.display()), "name a file that this user can read")
    };
    if let Some(file) = &config.credentials_file {
        options = options.credentials_file(file).await.map_err(|e| unreadable(file, e.to_string()))?;
    }
    if let Some(file) = &config.nkey_file {
        options = options.nkey(read_password(file)?);
    }
    if let (Some(user), Some(file)) = (&config.username, &config.password_file) {
        options = options.user_and_password(user.clone(), read_password(file)?);
    }
    if let Some(file) = &config.ca_file {
        options = options.add_root_certificates(file.clone());
    }
    let url = config.url.clone().unwrap_or_default();
    let addresses: Vec<&str> = url.split(',').map(str::trim).collect();
    options.connect(addresses).await.map_err(|e| {
        Error::config(
            format!("cluster.url = {url:?} cannot be used: {e}"),
            "write nats://HOST:4222, or tls://HOST:4222, several with commas",
        )
    })
}

impl JetStream {
    /// Opens streams and buckets; creates those that do not exist.
    ///
    /// # Errors
    /// Says what the servers refuse, or that they are away.
    pub(super) async fn open(client: &Client, config: &ClusterConfig, names: &Names) -> Result<Self, String> {
        let mut context = jetstream::new(client.clone());
        context.set_timeout(RESPONSE_TIMEOUT);
        let storage = |disk| if disk { stream::StorageType::File } else { stream::StorageType::Memory };
        let sound = stream::Config {
            name: names.sound.clone(),
            subjects: vec![names.audio("*")],
            max_age: Duration::from_secs(60 * u64::from(config.sound_minutes)),
            storage: storage(config.sound_on_disk),
            num_replicas: config.replicas,
            discard: stream::DiscardPolicy::Old,
            ..stream::Config::default()
        };
        let events = stream::Config {
            name: names.events(),
            subjects: vec![names.event("*")],
            max_age: EVENTS_KEPT,
            storage: storage(true),
            num_replicas: config.replicas,
            duplicate_window: DUPLICATES,
            ..stream::Config::default()
        };
        // a bucket is a stream of such a form; servers of version 2.9 do not answer what the client asks to make one
        let bucket = |bucket: &str, max_age: Duration, disk| stream::Config {
            name: format!("KV_{bucket}"),
            subjects: vec![format!("$KV.{bucket}.>")],
            max_messages_per_subject: 1,
            max_age,
            duplicate_window: if max_age.is_zero() { DUPLICATES } else { max_age },
            storage: storage(disk),
            num_replicas: config.replicas,
            discard: stream::DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..stream::Config::default()
        };
        let leases = bucket(&names.leases(), Duration::from_secs_f64(config.lease_s), false);
        let states = bucket(&names.states(), Duration::ZERO, true);
        Ok(Self {
            sound: open_stream(&context, sound).await?,
            events: open_stream(&context, events).await?,
            leases: open_bucket(&context, names.leases(), leases).await?,
            states: open_bucket(&context, names.states(), states).await?,
            client: client.clone(),
            context,
            names: names.clone(),
        })
    }

    /// Creates what is there no longer: what servers keep in memory alone is gone when they were away.
    ///
    /// # Errors
    /// Says what the servers refuse, or that they are away.
    pub(super) async fn renew(&self, config: &ClusterConfig) -> Result<(), String> {
        Self::open(&self.client, config, &self.names).await.map(drop)
    }
}

async fn open_stream(context: &Context, config: stream::Config) -> Result<Stream, String> {
    let name = config.name.clone();
    context.get_or_create_stream(config).await.map_err(|e| format!("the stream {name}: {e}"))
}

async fn open_bucket(context: &Context, name: String, config: stream::Config) -> Result<Store, String> {
    open_stream(context, config).await?;
    context.get_key_value(&name).await.map_err(|e| format!("the bucket {name}: {e}"))
}
