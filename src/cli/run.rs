//! `run`, the daemon; and `check`, the same without listening.

use std::path::PathBuf;

use figment::value::{Dict, Value};
use serde::Serialize;
use serde_json::json;

use super::access::PcmArgs;
use super::args::{SetThreads, hang_up_flag, open_model, stdout, stop_flag, use_threads};
use crate::capture::{self, SourceConfig};
use crate::config::{Config, Loaded, load};
use crate::corpus::check_regular;
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::model::Manifest;
use crate::publish::StdoutForm;
use crate::runtime::{self, Control};
use crate::telemetry::init_logs;

/// Sources, and the destination of events.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct RunArgs {
    /// Input device: hw:0, plughw:CARD=…, default, or any name that `devices` lists; may be repeated.
    #[arg(long, value_name = "NAME")]
    device: Vec<String>,
    /// Audio file to replay (WAV, FLAC, OGG, MP3 and more), or - for raw PCM or such a file on stdin; may be repeated.
    #[arg(long, value_name = "FILE")]
    input: Vec<String>,
    /// Sound from a network: tcp://HOST:PORT, tcp-listen://ADDRESS:PORT or udp://ADDRESS:PORT for raw PCM (16 kHz, mono,
    /// 16 bits; other forms by the configuration), or an rtsp, rtmp or http URL for ffmpeg; may be repeated.
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// Replay files as fast as they are analysed, not as a microphone would give them.
    #[arg(long)]
    fast: bool,
    /// Channels, from 0, each a stream of its own; without it, all channels are mixed into one.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    channel: Option<Vec<u16>>,
    #[command(flatten)]
    pcm: PcmArgs,
    /// Broker: mqtt://host[:port], mqtts:// for TLS. Without one, events go to stdout: text on a terminal, else JSON lines.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Serve the page, metrics and probes here: a port for this machine only, or ADDRESS:PORT.
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Node id in topics and events.
    #[arg(long, value_name = "ID")]
    node: Option<String>,
    /// Model file; the built-in model if left out.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Folder of outbox and calibrations.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The false-alarm budget: how many events an hour normal sound may cause.
    #[arg(long, value_name = "N")]
    events_per_hour: Option<f64>,
    /// Seconds of sound from which normal is learnt before anything is reported.
    #[arg(long, value_name = "S")]
    calibrate_seconds: Option<f64>,
    /// Length of the pieces in which a replayed file arrives, ms.
    #[arg(long, value_name = "MS")]
    chunk_ms: Option<u32>,
    /// Refuse to start while a device is missing, rather than wait for it.
    #[arg(long)]
    must_exist: bool,
    /// Threads that analyse sound, each with streams of its own; 0 takes all cores but one.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Numbers that products of the model are made of: f32, bf16, int8, w8a8, int7, tf32 (GPU) or auto, the fastest with
    /// scores within 0.02 nats of f32.
    #[arg(long, value_name = "NAME")]
    precision: Option<Precision>,
    /// Hops of 10 ms of a stream that wait for each other and are stepped together: less work for a wide model, later
    /// scores.
    #[arg(long, value_name = "N")]
    hop_batch: Option<usize>,
}

/// Arguments of the daemon.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct DaemonArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Write events to stdout as JSON lines also on a terminal, where they are text.
    #[arg(long)]
    json: bool,
}

impl DaemonArgs {
    fn load(&self) -> Result<Config> {
        let mut config = self.run.load()?.config;
        if self.json {
            config.publish.stdout = StdoutForm::Json;
        }
        Ok(config)
    }
}

/// Arguments of the check.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Print a JSON object in place of a line; a failure too, with its cause and fix.
    #[arg(long)]
    json: bool,
}

impl RunArgs {
    /// The configuration with these flags on top.
    pub(super) fn load(&self) -> Result<Loaded> {
        let mut loaded = load(self.config.as_deref(), self.flags()?)?;
        let files = loaded.config.source.iter_mut().filter(|source| source.file.is_some());
        files.for_each(|source| source.fast |= self.fast);
        Ok(loaded)
    }

    fn flags(&self) -> Result<Dict> {
        let mut flags = Dict::new();
        let mut set = |section: &str, key: &str, value: Option<Value>| {
            let Some(value) = value else { return };
            if section.is_empty() {
                flags.insert(key.to_owned(), value);
            } else if let Value::Dict(_, keys) =
                flags.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()))
            {
                keys.insert(key.to_owned(), value);
            }
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|p| Value::from(p.display().to_string()));
        set("", "node", self.node.clone().map(Value::from));
        set("", "state_dir", path(&self.state_dir));
        set("model", "path", path(&self.model));
        set("model", "threads", self.threads.map(Value::from));
        set("model", "precision", self.precision.map(|precision| Value::from(precision.to_string())));
        set("model", "hop_batch", self.hop_batch.map(Value::from));
        set("publish", "broker", self.broker.clone().map(Value::from));
        set("http", "listen", self.http.clone().map(Value::from));
        set("detect", "events_per_hour", self.events_per_hour.map(Value::from));
        set("detect", "calibrate_seconds", self.calibrate_seconds.map(Value::from));
        set("capture", "chunk_ms", self.chunk_ms.map(Value::from));
        set("capture", "must_exist", self.must_exist.then(|| Value::from(true)));
        let sources = self.sources();
        if !sources.is_empty() {
            set("", "source", Some(value(&sources)?));
        }
        Ok(flags)
    }

    fn sources(&self) -> Vec<SourceConfig> {
        let pcm = self.pcm.form();
        let devices = self.device.iter().map(SourceConfig::from_device);
        let inputs = self.input.iter().map(|input| match input.as_str() {
            "-" => SourceConfig::from_stdin(pcm),
            file => SourceConfig::from_file(file, self.fast),
        });
        let urls = self.url.iter().map(SourceConfig::from_url);
        devices
            .chain(inputs)
            .chain(urls)
            .map(|source| SourceConfig { channels: self.channel.clone(), ..source })
            .collect()
    }
}

fn value(of: &impl Serialize) -> Result<Value> {
    Value::serialize(of).map_err(|e| Error::internal(format!("flags cannot be read: {e}")))
}

/// Listens until stopped.
///
/// # Errors
/// When it cannot start; see the daemon.
pub(super) fn run(args: &DaemonArgs, set: SetThreads) -> Result<()> {
    let config = args.load()?;
    init_logs("info", config.log.format);
    check_files(&config)?;
    use_threads(1, set)?;
    let (stop, hang_up) = (stop_flag()?, hang_up_flag()?);
    let load = || args.load();
    runtime::run(&config, &Control { stop: &stop, hang_up: &hang_up, load: &load })
}

/// A named pipe given as a file would be waited for, for ever and deaf to signals.
fn check_files(config: &Config) -> Result<()> {
    config.source.iter().filter_map(|source| source.file.as_ref()).try_for_each(|file| check_regular(file))
}

/// Checks the configuration and the files that it names, the model among them; devices and the broker are not tried.
///
/// # Errors
/// Checks everything that `run` would refuse to start with.
pub(super) fn check(args: &CheckArgs) -> Result<()> {
    let found = look(&args.run);
    if !args.json {
        let (config, manifest) = found?;
        let count = config.source.len();
        return stdout().prose(format_args!(
            "ok: node {}, {count} source{}, model {} ({}), {}",
            config.node_id(),
            if count == 1 { "" } else { "s" },
            manifest.name,
            manifest.short_hash(),
            config
                .publish
                .broker
                .as_deref()
                .map_or_else(|| "events to stdout".to_owned(), |b| format!("events to {b}"))
        ));
    }
    let report = match &found {
        Ok((config, manifest)) => json!({
            "ok": true,
            "node": config.node_id(),
            "streams": stream_ids(config)?,
            "model": manifest.name,
            "model_hash": manifest.short_hash(),
            "broker": config.publish.broker,
        }),
        Err(error) => json!({ "ok": false, "error": error.to_string(), "fix": error.fix() }),
    };
    stdout().line(format_args!("{report}"))?;
    found.map(|_| ())
}

fn look(args: &RunArgs) -> Result<(Config, Manifest)> {
    let config = args.load()?.config;
    if config.source.is_empty() {
        return Err(runtime::no_source());
    }
    stream_ids(&config)?;
    let (manifest, _) = open_model(config.model.file())?;
    check_files(&config)?;
    for file in config.source.iter().filter_map(|source| source.file.as_ref()) {
        crate::audio_file::AudioReader::open(file)?;
    }
    crate::serve::read_tokens(&config.http)?;
    config.publish.check_files()?;
    Ok((config, manifest))
}

/// The ids of all streams, as `run` gives them.
fn stream_ids(config: &Config) -> Result<Vec<String>> {
    let mut sources = config.source.clone();
    capture::assign_ids(&mut sources)?;
    Ok(sources.iter().flat_map(SourceConfig::stream_ids).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    #[test]
    fn fast_holds_for_files_of_the_configuration_too() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("c.toml");
        let text = "[[source]]\nid = \"a\"\nfile = \"a.wav\"\n[[source]]\nid = \"b\"\ndevice = \"hw:0\"\n";
        std::fs::write(&file, text).unwrap();
        for (flag, fast) in [(Some("--fast"), [true, false]), (None, [false, false])] {
            let line = ["cpc-stream", "--config", file.to_str().unwrap()].into_iter().chain(flag);
            let loaded = Line::parse_from(line).run.load().unwrap();
            assert_eq!(loaded.config.source.iter().map(|source| source.fast).collect::<Vec<_>>(), fast);
        }
    }
}
