//! Configuration of the daemon.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{SnapshotConfig, StreamLimit};
use crate::capture::{CaptureConfig, SourceConfig};
use crate::cluster::ClusterConfig;
use crate::detect::DetectConfig;
use crate::error::{Error, Result};
use crate::event_store::EventsConfig;
use crate::kernels::Precision;
use crate::model::{self, Stepping};
use crate::mqtt::slug;
use crate::publish::{HomeAssistantConfig, PublishConfig};
use crate::serve::HttpConfig;
use crate::telemetry::{LogConfig, physical_cores};

/// The whole configuration of the daemon. `config/default.toml` documents every key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Node id in topics and events: letters, digits, `_`, `-`. Empty: the name of the host.
    pub node: String,
    /// Folder of outbox, calibrations and snapshots. Empty: `$STATE_DIRECTORY`, else `$XDG_STATE_HOME/cpc-stream`, else
    /// `~/.local/state/cpc-stream`.
    pub state_dir: PathBuf,
    /// The model.
    pub model: ModelConfig,
    /// Where sound comes from.
    pub source: Vec<SourceConfig>,
    /// How sound is taken in.
    pub capture: CaptureConfig,
    /// Detection.
    pub detect: DetectConfig,
    /// Where events go.
    pub publish: PublishConfig,
    /// Whether this node shares microphones with others by way of NATS JetStream.
    pub cluster: ClusterConfig,
    /// Home Assistant discovery.
    pub homeassistant: HomeAssistantConfig,
    /// The page, metrics and probes.
    pub http: HttpConfig,
    /// How many events are kept for review.
    pub events: EventsConfig,
    /// Snapshots of reported events.
    pub snapshots: SnapshotConfig,
    /// The form of the log.
    pub log: LogConfig,
}

/// Which model runs, and on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// A model file. Empty: the built-in `cpc-edge`.
    pub path: PathBuf,
    /// Threads that share the streams, each from the ring to the detector, 0 to 256; 0 takes as many as there are cores, less
    /// one, and one at least. There are never more than streams. With a GPU there is one; what takes over on the processor
    /// shares its steps.
    pub threads: usize,
    /// The most streams, `auto` or 1 to 10,000. Sources beyond them are refused: they give no sound, and the reason is logged.
    pub max_streams: StreamLimit,
    /// Its device: `cpu`, `cuda` or `cuda:N`. Where the GPU is missing, or is lost, the CPU takes over.
    pub device: String,
    /// Numbers that products of the model are made of: `f32`, `bf16`; `int8`, `w8a8`, `int7` on a processor, `tf32` on
    /// a GPU. `auto` measures at the start which of a processor is the fastest with scores near those in f32.
    pub precision: Precision,
    /// Hops of a stream that wait for each other and are stepped together, 1 to 32.
    pub hop_batch: usize,
    /// Milliseconds between two looks at the sound of all streams, 0 to 20, where all of it comes at its own pace; 0 looks
    /// as soon as there is any.
    pub tick_ms: u32,
}

impl ModelConfig {
    /// The model file; none for the built-in model.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        (!self.path.as_os_str().is_empty()).then_some(self.path.as_path())
    }
}

impl ModelConfig {
    /// How hops are computed.
    #[must_use]
    pub fn stepping(&self) -> Stepping {
        Stepping::Kernels { precision: self.precision, threads: self.threads() }
    }

    /// Time between two looks at the sound of all streams.
    #[must_use]
    pub fn tick(&self) -> Duration {
        Duration::from_millis(u64::from(self.tick_ms))
    }

    /// Threads to take, counted from 1.
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.threads {
            0 => physical_cores().saturating_sub(1).max(1),
            threads => threads,
        }
    }

    /// Threads that `streams` streams share.
    #[must_use]
    pub fn shards(&self, streams: usize) -> usize {
        self.threads().min(streams).max(1)
    }

    /// Refuses what cannot run.
    fn validate(&self) -> Result<()> {
        if self.threads > 256 {
            return Err(Error::config(
                format!("model.threads is {}, expected 0 to 256", self.threads),
                "set threads in [model] to the cores that may analyse sound; 0 takes all but one",
            ));
        }
        if let StreamLimit::Streams(streams) = self.max_streams
            && !(1..=10_000).contains(&streams)
        {
            return Err(Error::config(
                format!("model.max_streams is {streams}, expected \"auto\" or 1 to 10000"),
                "set max_streams in [model] to \"auto\" or to the most streams that this machine may take",
            ));
        }
        if !(1..=32).contains(&self.hop_batch) {
            return Err(Error::config(
                format!("model.hop_batch is {}, expected 1 to 32", self.hop_batch),
                "set hop_batch in [model] to the hops of 10 ms that may wait for each other; 1 for none",
            ));
        }
        if self.tick_ms > 20 {
            return Err(Error::config(
                format!("model.tick_ms is {}, expected 0 to 20", self.tick_ms),
                "set tick_ms in [model] to the milliseconds for which sound of many streams may gather; 0 for none",
            ));
        }
        let gpu = model::check_device(&self.device).map_err(|e| e.context("model.device"))?;
        match (gpu, self.precision) {
            (Some(_), precision) if precision.is_integer() || precision == Precision::Auto => {
                Err(Error::config(
                    format!("model.precision is {precision}, which GPUs are not given here"),
                    "take f32, tf32 or bf16 with a GPU",
                ))
            }
            (None, Precision::Tf32) => Err(Error::config(
                "model.precision is tf32, which only GPUs have",
                "take f32, bf16, int8, w8a8, int7 or auto with the device cpu",
            )),
            _ => Ok(()),
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            threads: 0,
            max_streams: StreamLimit::Auto,
            device: "cpu".to_owned(),
            precision: Precision::F32,
            hop_batch: 1,
            tick_ms: 5,
        }
    }
}

impl Config {
    /// Address of the page for people elsewhere, where it is known.
    #[must_use]
    pub fn page_url(&self) -> Option<String> {
        let said = self.homeassistant.page_url.trim();
        if said.is_empty() { self.http.url() } else { Some(said.to_owned()) }
    }

    /// Checks every part.
    ///
    /// # Errors
    /// Names the first key that cannot work and what would.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.capture.validate()?;
        self.detect.validate()?;
        self.publish.validate(&self.node_id())?;
        self.homeassistant.validate()?;
        self.http.validate()?;
        self.events.validate()?;
        self.snapshots.validate()?;
        for source in &self.source {
            source.validate()?;
        }
        self.cluster.validate()?;
        self.check_cluster()?;
        self.check_microphones()
    }

    /// A cluster needs a program with the feature, and workers that compute alike.
    fn check_cluster(&self) -> Result<()> {
        if !self.cluster.is_on() {
            return Ok(());
        }
        if self.model.precision == Precision::Auto {
            return Err(Error::config(
                "model.precision is auto, but the workers of a cluster must compute alike",
                "name one precision, the same for all workers",
            ));
        }
        if cfg!(not(feature = "cluster")) {
            return Err(Error::config(
                "cluster.url is set, but this program was built without the feature `cluster`",
                "take [cluster] out, or build with `--features cluster`",
            ));
        }
        Ok(())
    }

    /// Microphones that publish their sound need a broker, and those that are shared must be the same everywhere.
    fn check_microphones(&self) -> Result<()> {
        let mut mics = self.source.iter().filter(|source| source.mqtt.is_some()).peekable();
        if mics.peek().is_some() && self.publish.broker.is_none() && !self.cluster.is_on() {
            return Err(Error::config(
                "a source has `mqtt`, but no broker is configured",
                "set `broker` in [publish] to the broker to which the microphone publishes",
            ));
        }
        if !self.cluster.is_on() {
            return Ok(());
        }
        if mics.peek().is_none() {
            return Err(Error::config(
                "[cluster] is set, but no source has `mqtt`",
                "list the shared microphones, each as [[source]] with mqtt = \"ID\"; or take the table out",
            ));
        }
        let mut shared = HashSet::new();
        if let Some(twice) =
            self.source.iter().filter_map(|s| s.mqtt.as_ref()).find(|mic| !shared.insert(*mic))
        {
            return Err(Error::config(
                format!("two sources share the microphone {twice:?}, and workers hear each microphone once"),
                "leave one of the two [[source]] out",
            ));
        }
        match mics.find(|source| source.stream_ids().len() > 1) {
            Some(source) => Err(Error::config(
                format!(
                    "the shared microphone {} has several channels that are streams of their own",
                    source.id()
                ),
                "leave `channels` out, or name one channel",
            )),
            None => Ok(()),
        }
    }

    /// The node id: as configured, else the host's name as an id ([`slug`]).
    #[must_use]
    pub fn node_id(&self) -> String {
        if !self.node.is_empty() {
            return self.node.clone();
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        slug(host.trim(), '-', "cpc-stream")
    }

    /// The state folder.
    ///
    /// # Errors
    /// When neither the configuration nor the environment names one.
    pub fn state_folder(&self) -> Result<PathBuf> {
        if !self.state_dir.as_os_str().is_empty() {
            return Ok(self.state_dir.clone());
        }
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        variable("STATE_DIRECTORY")
            .or_else(|| variable("XDG_STATE_HOME").map(|dir| dir.join("cpc-stream")))
            .or_else(|| variable("HOME").map(|home| home.join(".local/state/cpc-stream")))
            .ok_or_else(|| {
                Error::config(
                    "no folder for the state: STATE_DIRECTORY, XDG_STATE_HOME and HOME are all unset",
                    "give one with `--state-dir DIR`",
                )
            })
    }
}
