//! Arguments of `microphone`.

use std::path::PathBuf;

use crate::cli::access::{AccessArgs, PcmArgs};

/// The choices of `--compress`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Compression {
    /// Not at all
    #[default]
    None,
    /// As frames of FLAC
    Flac,
}

impl Compression {
    #[cfg(feature = "mqtt")]
    pub(super) fn coding(self) -> crate::capture::ChunkCoding {
        match self {
            Self::None => crate::capture::ChunkCoding::Pcm,
            Self::Flac => crate::capture::ChunkCoding::Flac,
        }
    }
}

/// The source, and the destination of its sound: every subscriber of the topic receives it.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct MicrophoneArgs {
    /// Id of the microphone; sources name it in `mqtt`
    #[arg(long, value_name = "ID")]
    pub(super) id: String,
    /// Broker: mqtt://host, mqtt://host:port or mqtt://user@host; mqtts:// for TLS. Or servers of NATS, several with commas:
    /// nats://host:4222, tls://host:4222
    #[arg(long, value_name = "URL")]
    pub(super) broker: String,
    /// Input device: hw:0, plughw:CARD=…, default, or any name that `devices` lists
    #[arg(long, value_name = "NAME", conflicts_with = "input", required_unless_present = "input")]
    pub(super) device: Option<String>,
    /// Audio file (WAV, FLAC, OGG, MP3 and more), given as a microphone would, or - for raw PCM on stdin
    #[arg(long, value_name = "FILE")]
    pub(super) input: Option<String>,
    #[command(flatten)]
    pub(super) pcm: PcmArgs,
    /// The channel to send, from 0 [default: the mean of all]
    #[arg(long, value_name = "N")]
    pub(super) channel: Option<u16>,
    /// Send 32-bit floats instead of 16-bit integers
    #[arg(long)]
    pub(super) float: bool,
    /// Compress the samples of a chunk without loss; whoever hears them has to be of this version at least
    #[arg(long, value_name = "CODING", value_enum, default_value_t, conflicts_with = "float")]
    pub(super) compress: Compression,
    /// Length of a chunk, ms
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=100))]
    pub(super) chunk_ms: u32,
    /// First level or levels of the topics
    #[arg(long, value_name = "PREFIX", default_value = "cpc-stream")]
    pub(super) prefix: String,
    /// With NATS: how many seconds of sound wait here while the servers are away; the oldest goes first
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(super) buffer_s: u32,
    /// With NATS: file of credentials (.creds)
    #[arg(long, value_name = "FILE")]
    pub(super) credentials_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) access: AccessArgs,
}
