//! `cpc-stream microphone`: a thin microphone. It needs no model; a daemon elsewhere analyses its sound.

use std::path::PathBuf;

use super::access::{AccessArgs, PcmArgs};
use crate::error::Result;

/// The choices of `--compress`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Compression {
    /// Not at all
    #[default]
    None,
    /// As frames of FLAC
    Flac,
}

impl Compression {
    #[cfg(feature = "mqtt")]
    fn coding(self) -> crate::capture::ChunkCoding {
        match self {
            Self::None => crate::capture::ChunkCoding::Pcm,
            Self::Flac => crate::capture::ChunkCoding::Flac,
        }
    }
}

/// The source, and the destination of its sound: every subscriber of the topic receives it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct MicrophoneArgs {
    /// Id of the microphone; sources name it in `mqtt`
    #[arg(long, value_name = "ID")]
    id: String,
    /// Broker: mqtt://host, mqtt://host:port or mqtt://user@host; mqtts:// for TLS. Or servers of NATS, several with commas:
    /// nats://host:4222, tls://host:4222
    #[arg(long, value_name = "URL")]
    broker: String,
    /// Input device: hw:0, plughw:CARD=…, default, or any name that `devices` lists
    #[arg(long, value_name = "NAME", conflicts_with = "input", required_unless_present = "input")]
    device: Option<String>,
    /// Audio file (WAV, FLAC, OGG, MP3 and more), given as a microphone would, or - for raw PCM on stdin
    #[arg(long, value_name = "FILE")]
    input: Option<String>,
    #[command(flatten)]
    pcm: PcmArgs,
    /// The channel to send, from 0 [default: the mean of all]
    #[arg(long, value_name = "N")]
    channel: Option<u16>,
    /// Send 32-bit floats instead of 16-bit integers
    #[arg(long)]
    float: bool,
    /// Compress the samples of a chunk without loss; whoever hears them has to be of this version at least
    #[arg(long, value_name = "CODING", value_enum, default_value_t, conflicts_with = "float")]
    compress: Compression,
    /// Length of a chunk, ms
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=100))]
    chunk_ms: u32,
    /// First level or levels of the topics
    #[arg(long, value_name = "PREFIX", default_value = "cpc-stream")]
    prefix: String,
    /// With NATS: how many seconds of sound wait here while the servers are away; the oldest goes first
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=3600))]
    buffer_s: u32,
    /// With NATS: file of credentials (.creds)
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
}

/// Sends until it is stopped or its input ends. A broker that is away is tried again for ever; with MQTT sound in the meantime is
/// dropped, with NATS it waits.
///
/// # Errors
/// A configuration error for a bad address, id or file; a device error for an input that can never be one.
#[cfg(feature = "mqtt")]
pub(super) fn run(args: &MicrophoneArgs) -> Result<()> {
    speaker::run(args)
}

/// This program was built without MQTT.
///
/// # Errors
/// Always a configuration error.
#[cfg(not(feature = "mqtt"))]
pub(super) fn run(args: &MicrophoneArgs) -> Result<()> {
    tracing::debug!(?args, "built without MQTT");
    Err(crate::error::Error::config(
        "this program was built without MQTT",
        "build it with the feature `mqtt`",
    ))
}

#[cfg(feature = "mqtt")]
mod sender;
#[cfg(feature = "mqtt")]
mod speaker;
