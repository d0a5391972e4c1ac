//! Arguments of `bench`.

use std::path::PathBuf;

use crate::kernels::Precision;

/// Measure a hop (samples in, z_t, c_t and scores against 128 negatives out), or the whole daemon.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct BenchArgs {
    /// Shapes to measure, with random weights: spectral, edge, 256, 512.
    #[arg(long, value_delimiter = ',', default_value = "spectral,edge,256,512")]
    pub(super) arch: Vec<String>,
    /// Measure this model file instead.
    #[arg(long, value_name = "FILE")]
    pub(super) model: Option<PathBuf>,
    /// Streams that share a step.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    pub(super) streams: Vec<usize>,
    /// Numbers that products are made of: f32, tf32 (GPU), bf16; int8, w8a8, int7, auto (processor).
    #[arg(long, value_delimiter = ',', default_value = "f32")]
    pub(super) precision: Vec<Precision>,
    /// The device: cpu, or cuda[:N] in a build with that feature.
    #[arg(long, default_value = "cpu")]
    pub(super) device: String,
    /// Measure the layers one after another too, which is how models run that the kernels do not know.
    #[arg(long)]
    pub(super) layers: bool,
    /// Leave z_t and c_t on the GPU: only scores come down.
    #[arg(long)]
    pub(super) scores_only: bool,
    /// Threads that share the work: the streams of a step, or for the pipeline the streams of the daemon.
    #[arg(long, default_value_t = 1)]
    pub(super) threads: usize,
    /// Hops of each stream that are stepped together.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub(super) hop_batch: u32,
    /// Milliseconds between two looks at the sound of all streams, for the pipeline.
    #[arg(long, value_name = "MS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub(super) tick_ms: u32,
    /// Seconds a row; 2, or 30 for the pipeline.
    #[arg(long)]
    pub(super) seconds: Option<f64>,
    /// Take that many hops a row, no matter how long, without warming up: to count instructions.
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    pub(super) hops: Option<u64>,
    /// Measure the whole daemon instead, with that many microphones that are files at their own pace: ring, resampler,
    /// model, detector, outbox. Takes the built-in model or --model.
    #[arg(long)]
    pub(super) pipeline: bool,
    /// Milliseconds of sound that a microphone hands over at a time, for the pipeline.
    #[arg(long, value_name = "MS", default_value_t = 10)]
    pub(super) period_ms: u32,
    /// Busy threads that the daemon shares the machine with, for the pipeline.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) hogs: usize,
    /// Real-time priority of the daemon's audio and analysis, for the pipeline; 0 for none.
    #[arg(long, value_name = "P", default_value_t = 0)]
    pub(super) realtime_priority: u8,
    /// Print what this machine is and how fast, hops and the daemon, as Markdown to paste: about two minutes.
    #[arg(long, conflicts_with_all = ["pipeline", "json"])]
    pub(super) share: bool,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}
