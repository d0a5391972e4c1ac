//! Where the sound of a microphone goes: to an MQTT broker, or to NATS with receipts.

use std::time::{Duration, Instant};

use super::args::MicrophoneArgs;
use crate::capture::{Chunk, ChunkCoding, MicTopics, PcmForm};
#[cfg(feature = "cluster")]
use crate::cluster::{ClusterConfig, SoundPiece, SoundPublisher};
use crate::error::{Error, Result};
use crate::mqtt::MqttClient;
use crate::mqtt::link::ConnectOptions;
use crate::publish::PublishConfig;

const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long the last sound may take to the broker, and to servers that acknowledge it.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
#[cfg(feature = "cluster")]
const LAST_RECEIPTS: Duration = Duration::from_secs(5);

/// A piece of sound: its session, its first frame in it, and whole frames.
pub(super) struct Piece {
    pub(super) pcm: PcmForm,
    pub(super) session: u32,
    pub(super) first: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) coding: ChunkCoding,
}

/// The connection.
pub(super) enum Sender {
    /// QoS 0: what cannot be sent now is dropped.
    Mqtt { client: MqttClient, topic: String, sent: u64, dropped: u64, unreported: u64 },
    /// With receipts: what cannot be sent now waits.
    #[cfg(feature = "cluster")]
    Nats(SoundPublisher),
}

impl MicrophoneArgs {
    fn publish(&self) -> PublishConfig {
        PublishConfig {
            broker: Some(self.broker.clone()),
            username: self.access.username.clone(),
            password_file: self.access.password_file.clone(),
            prefix: self.prefix.clone(),
            tls: self.access.tls(),
            ..PublishConfig::default()
        }
    }

    fn speaks_nats(&self) -> bool {
        ["nats://", "tls://"].iter().any(|scheme| self.broker.starts_with(scheme))
    }
}

impl Sender {
    /// Connects in the background, for ever.
    ///
    /// # Errors
    /// When an address or a file cannot be used.
    pub(super) fn start(args: &MicrophoneArgs) -> Result<Self> {
        if args.speaks_nats() {
            return Self::nats(args);
        }
        if args.credentials_file.is_some() {
            return Err(Error::config(
                "--credentials-file is for NATS, and --broker names an MQTT broker",
                "write --broker nats://HOST:4222, or --username with --password-file",
            ));
        }
        let publish = args.publish();
        publish.validate("microphone")?;
        let options = ConnectOptions {
            keep_alive: KEEP_ALIVE,
            ..publish.options(format!("cpc-stream-mic-{}", args.id))?
        };
        let client = MqttClient::start("mics", "microphone", options)?;
        let topic = MicTopics::new(&args.prefix).audio(&args.id);
        Ok(Self::Mqtt { client, topic, sent: 0, dropped: 0, unreported: 0 })
    }

    #[cfg(feature = "cluster")]
    fn nats(args: &MicrophoneArgs) -> Result<Self> {
        if args.access.cert_file.is_some() || args.access.server_name.is_some() {
            return Err(Error::config(
                "--cert-file, --key-file and --server-name are for MQTT, and --broker names NATS",
                "take them out; --credentials-file, or --username with --password-file, log in at NATS",
            ));
        }
        let config = ClusterConfig {
            url: Some(args.broker.clone()),
            username: args.access.username.clone(),
            password_file: args.access.password_file.clone(),
            credentials_file: args.credentials_file.clone(),
            ca_file: args.access.ca_file.clone(),
            ..ClusterConfig::default()
        };
        config.validate()?;
        // levels of the prefix are checked as those of a broker
        PublishConfig { broker: None, ..args.publish() }.validate("microphone")?;
        let buffer = Duration::from_secs(u64::from(args.buffer_s));
        SoundPublisher::start(&config, &args.prefix, &args.id, buffer).map(Self::Nats)
    }

    #[cfg(not(feature = "cluster"))]
    fn nats(args: &MicrophoneArgs) -> Result<Self> {
        Err(Error::config(
            format!("this program was built without the feature `cluster`, which {} needs", args.broker),
            "build it with `--features cluster`, or name the MQTT port of the servers",
        ))
    }

    /// Whether the broker is there.
    pub(super) fn is_up(&self) -> bool {
        match self {
            Self::Mqtt { client, .. } => client.is_up(),
            #[cfg(feature = "cluster")]
            Self::Nats(publisher) => publisher.is_up(),
        }
    }

    /// Sends a piece whose last frame was captured at `captured`.
    pub(super) fn send(&mut self, piece: Piece, captured: Instant) {
        let Piece { pcm, session, first, bytes, coding } = piece;
        match self {
            Self::Mqtt { client, topic, sent, dropped, unreported } => {
                let chunk = Chunk { pcm, session, first, delay_ms: 0, bytes: bytes.into() };
                if !client.publish_qos0(topic.clone(), chunk.write(coding)) {
                    (*dropped, *unreported) = (*dropped + 1, *unreported + 1);
                    return;
                }
                *sent += 1;
                let lost = std::mem::take(unreported);
                if lost > 0 {
                    tracing::warn!("{lost} chunks were dropped, since the broker was away");
                }
            }
            #[cfg(feature = "cluster")]
            Self::Nats(publisher) => {
                publisher.publish(SoundPiece { pcm, session, first, bytes, coding, captured });
            }
        }
        #[cfg(not(feature = "cluster"))]
        let _ = captured;
    }

    /// Sends what waits, for a bounded time, and says what became of the sound.
    pub(super) fn finish(&mut self) {
        match self {
            Self::Mqtt { client, sent, dropped, .. } => {
                client.stop(STOP_TIMEOUT);
                tracing::info!("{sent} chunks were sent, {dropped} dropped");
            }
            #[cfg(feature = "cluster")]
            Self::Nats(publisher) => {
                publisher.finish(LAST_RECEIPTS);
                let figures = publisher.figures();
                tracing::info!(
                    "{:.2} s of sound are stored, {:.2} s were dropped, {:.2} s still waited",
                    figures.stored_s,
                    figures.dropped_s,
                    figures.waiting_s
                );
            }
        }
    }
}
