//! Configuration of sources.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::pcm::PcmForm;
use crate::error::{Error, Result};
use crate::realtime::MAX_PRIORITY;
use crate::ring::RATES;

/// One source: exactly one of `device`, `file`, `stdin`, `url` and `mqtt`.
///
/// ```toml
/// device = "hw:0"
/// channels = [0, 1]   # two streams; without it, one stream that mixes all channels
/// id = "kitchen"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceConfig {
    /// An ALSA capture device: `hw:0`, `hw:0,0`, `plughw:CARD=Mic`, `default`, any PCM that `cpc-stream devices` lists,
    /// or a name that survives replugging: `usb:VENDOR:PRODUCT[:SERIAL]`, `bus:PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// An audio file (WAV, FLAC, OGG, MP3, M4A, AIFF, CAF and more).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Raw PCM on the standard input, in this form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<PcmForm>,
    /// Sound that comes over a network: raw PCM by `tcp://HOST:PORT` (we dial), `tcp-listen://ADDRESS:PORT` or
    /// `udp://ADDRESS:PORT`; what ffmpeg reads by an `rtsp`, `rtsps`, `rtmp`, `http` or `https` URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The form of the PCM of a `url`; ffmpeg is told to make it. Default: 16,000 Hz, one channel, `s16le`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcm: Option<PcmForm>,
    /// Transport of the sound of a camera, where `url` is an RTSP one. Default: `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtsp_transport: Option<RtspTransport>,
    /// The id of a microphone that publishes its sound over the broker of `[publish]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<String>,
    /// Name of the stream in topics and records: letters, digits, `_` and `-`. Default: made from the device or
    /// file name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Channels, numbered from 0; each becomes a stream of its own. Default: one stream, the mean of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<u16>>,
    /// Read a file as fast as it is analysed rather than paced like a microphone.
    pub fast: bool,
}

/// Transport of a camera's RTP packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtspTransport {
    /// Within the connection: nothing is lost.
    #[default]
    Tcp,
    /// As datagrams: for cameras without the other.
    Udp,
}

impl RtspTransport {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl SourceConfig {
    /// A source that captures from the device `name`.
    pub fn from_device(name: impl Into<String>) -> Self {
        Self { device: Some(name.into()), ..Self::default() }
    }

    /// A source that replays the file at `path`, paced like a microphone unless `fast`.
    pub fn from_file(path: impl Into<PathBuf>, fast: bool) -> Self {
        Self { file: Some(path.into()), fast, ..Self::default() }
    }

    /// A source that reads raw PCM from the standard input.
    #[must_use]
    pub fn from_stdin(form: PcmForm) -> Self {
        Self { stdin: Some(form), ..Self::default() }
    }

    /// A source on a network.
    pub fn from_url(url: impl Into<String>) -> Self {
        Self { url: Some(url.into()), ..Self::default() }
    }

    /// A microphone that publishes its sound.
    pub fn from_mqtt(id: impl Into<String>) -> Self {
        Self { mqtt: Some(id.into()), ..Self::default() }
    }
}

/// How sound is captured; the same for all sources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureConfig {
    /// Room between a source and the analysis, in seconds (at 48 kHz for devices): how long the analysis may
    /// stall before samples are lost. 0.1 to 60.
    pub ring_seconds: f64,
    /// Length of a device's period in ms, 5 to 200: every so often samples arrive. ALSA buffers two of them.
    pub period_ms: u32,
    /// Length of the pieces in which a paced file arrives, in ms, 1 to 10,000.
    pub chunk_ms: u32,
    /// Rate to prefer where a device offers several, in Hz. Default: 48,000, else the nearest that is resampled
    /// well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_hz: Option<u32>,
    /// Refuse to start while a device is missing, rather than wait for it.
    pub must_exist: bool,
    /// Real-time priority of the audio threads, 1 to 99; `inference` has one less. 0: none. Where it is not allowed there
    /// is a warning.
    pub realtime_priority: u8,
    /// Keep the process out of the swap. Where it is not allowed there is a warning.
    pub lock_memory: bool,
    /// Where the kernel lists sound cards, for names that survive replugging.
    pub sysfs: PathBuf,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            ring_seconds: 4.0,
            period_ms: 20,
            chunk_ms: 20,
            rate_hz: None,
            must_exist: false,
            realtime_priority: 0,
            lock_memory: false,
            sysfs: "/sys".into(),
        }
    }
}

impl CaptureConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// A config error that names the key, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let range = |key: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::config(
                format!("capture.{key} = {value} is not between {low} and {high}"),
                format!("set capture.{key} to a value between {low} and {high}"),
            ))
        };
        range("ring_seconds", self.ring_seconds, 0.1, 60.0)?;
        range("period_ms", f64::from(self.period_ms), 5.0, 200.0)?;
        range("chunk_ms", f64::from(self.chunk_ms), 1.0, 10_000.0)?;
        range("realtime_priority", f64::from(self.realtime_priority), 0.0, f64::from(MAX_PRIORITY))?;
        match self.rate_hz {
            Some(rate) => {
                range("rate_hz", f64::from(rate), f64::from(*RATES.start()), f64::from(*RATES.end()))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
