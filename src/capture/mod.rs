//! Sources of sound: devices, files, a pipe, lines of a network and microphones on a broker, all behind [`open`].
//!
//! A source yields one stream (all channels mixed) or one stream a listed channel. Each stream is a ring
//! ([`crate::ring`]) of mono samples at the rate of the source; whoever reads it gets samples, gaps and rate changes in
//! order, and resamples. Changes of the source itself (online, offline, xrun, ended) arrive as a [`Notice`] on a
//! channel.
//!
//! ```text
//! cpal's thread ── Intake ── ring ─▶ reader      device: a supervisor thread opens, watches, reopens
//! file thread ──── Intake ── ring ─▶ reader      paced like a microphone, or as fast as the reader
//! stdin thread ─── Intake ── ring ─▶ reader      raw PCM or a container, as fast as it comes
//! wire thread ──── Intake ── ring ─▶ reader      raw PCM by TCP or UDP, or from ffmpeg; opened for ever, as a device is
//! mic thread ───── Intake ── ring ─▶ reader      chunks over MQTT, put in order ([`MqttAudioInput`])
//! ```
//!
//! A missing device, at start or later, is not an error: the source is offline and is tried again every 1–2 s for ever.
//! On its return the gap is marked by time; if it returns with another rate, the ring says so
//! ([`crate::ring::Read::Rate`]).

mod config;
mod counters;
#[cfg_attr(not(feature = "capture"), path = "no_device.rs")]
mod device;
mod device_driver;
mod driver;
mod file;
mod flow;
mod ids;
mod intake;
mod kinds;
mod link;
mod mic;
#[cfg_attr(not(feature = "capture"), expect(dead_code, reason = "only devices have names"))]
mod names;
mod pcm;
mod rate;
mod refused;
mod source;
#[cfg_attr(not(feature = "capture"), expect(dead_code, reason = "only devices have names"))]
mod stable;
mod stdin;
mod timeline;
mod wire;

pub use config::{CaptureConfig, RtspTransport, SourceConfig};
pub use counters::{ChunkCounters, SourceCounters};
pub use device::list_inputs;
pub use ids::assign_ids;
pub use intake::{ChannelSelection, Intake, Pcm};
pub use link::{Notice, SourceChange, xruns};
pub use mic::{
    CHUNK_HEADER, CHUNK_MAGIC, CHUNK_VERSION, Chunk, ChunkCoding, LARGEST_CHUNK, MicTopics, MqttAudioInput,
};
pub use names::{InputInfo, suggest};
pub use pcm::{PcmForm, PcmFormat, decode};
pub use refused::refuse;
pub use source::{OpenSource, SourceHandle, StreamFeed, open, open_with};
pub(crate) use wire::{AS_FFMPEG, become_ffmpeg, guard_children};

/// Each kind of source: the key of [`SourceConfig`] that asks for it, and its driver.
const KINDS: [(&str, driver::MakeDriver); 5] = [
    ("device", device_driver::driver),
    ("file", file::driver),
    ("stdin", stdin::driver),
    ("url", wire::driver),
    ("mqtt", mic::driver),
];
