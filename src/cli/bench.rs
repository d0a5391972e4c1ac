//! `bench`: how long a hop takes, and how many streams that carries.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::args::{SetThreads, open_model, stdout, use_threads};
use crate::error::{Error, Result};
use crate::model::{Architecture, Cpc, LiveBatch};
use crate::nn::{Tensors, uniform};
use crate::telemetry::HopTimes;
use crate::units::{HOP, MODEL_RATE};

/// Negatives a hop is scored against.
const NEGATIVES: usize = 128;

/// Measure a hop: samples in, z_t, c_t and scores against 128 negatives out.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// Shapes to measure, with random weights: spectral, edge, 256, 512.
    #[arg(long, value_delimiter = ',', default_value = "spectral,edge,256,512")]
    arch: Vec<String>,
    /// Measure this model file instead.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Streams that share a step.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    streams: Vec<usize>,
    /// Threads of the matrix products.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seconds a row.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    arch: String,
    precision: &'static str,
    device: &'static str,
    streams: usize,
    threads: usize,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    hops: u64,
    real_time_streams: f64,
}

#[derive(Debug, Serialize)]
struct Table {
    rows: Vec<Row>,
}

/// Runs it.
///
/// # Errors
/// When the model cannot be read or an argument is out of range.
pub(super) fn run(args: &BenchArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    if args.streams.iter().any(|&n| !(1..=65_536).contains(&n)) || !(0.05..=600.0).contains(&args.seconds) {
        return Err(Error::config(
            "--streams must lie within 1..=65536 and --seconds within 0.05..=600",
            "for example: cpc-stream bench --streams 1,8,32 --seconds 2",
        ));
    }
    let models = match &args.model {
        Some(path) => {
            let (manifest, cpc) = open_model(Some(path))?;
            vec![(manifest.name, cpc)]
        }
        None => args.arch.iter().map(|name| Ok((name.clone(), random(name)?))).collect::<Result<_>>()?,
    };
    let mut out = stdout();
    let mut table = Table { rows: Vec::new() };
    if !args.json {
        out.line(format_args!(
            "{:>10} {:>8} {:>8} {:>10} {:>10} {:>10} {:>9} {:>18}",
            "arch", "streams", "threads", "p50 µs", "p99 µs", "p99.9 µs", "hops", "real-time streams"
        ))?;
    }
    for (name, cpc) in models {
        for &streams in &args.streams {
            let row = measure(&name, &cpc, streams, args)?;
            if !args.json {
                out.line(format_args!(
                    "{:>10} {:>8} {:>8} {:>10.1} {:>10.1} {:>10.1} {:>9} {:>18.1}",
                    row.arch,
                    row.streams,
                    row.threads,
                    row.p50_us,
                    row.p99_us,
                    row.p999_us,
                    row.hops,
                    row.real_time_streams
                ))?;
            }
            table.rows.push(row);
        }
    }
    if args.json {
        let text = serde_json::to_string_pretty(&table).map_err(|e| Error::internal(e.to_string()))?;
        return out.line(format_args!("{text}"));
    }
    out.line(format_args!(
        "a hop is 10 ms of every stream, f32 on the CPU; real-time streams = streams · 10 ms / p50"
    ))
}

fn measure(name: &str, cpc: &Arc<Cpc>, streams: usize, args: &BenchArgs) -> Result<Row> {
    let mut batch = LiveBatch::new(Arc::clone(cpc))?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let sound = uniform(&mut rng, &[HOP], 0.1, &Device::Cpu)?.to_vec1::<f32>()?;
    let sound: [f32; HOP] = sound.try_into().map_err(|_| Error::internal("a hop has 160 samples"))?;
    let hops = (0..streams).map(|_| Ok((batch.join(0)?, sound))).collect::<Result<Vec<_>>>()?;
    let mut frames = Vec::with_capacity(streams);
    let budget = Duration::from_secs_f64(args.seconds);
    let (mut times, mut started) = (HopTimes::new(1 << 20), None);
    loop {
        let hop = Instant::now();
        frames.clear();
        batch.step(&hops, &mut frames)?;
        match started {
            // the first tenth warms up
            None if times.total() >= 20 => (times, started) = (HopTimes::new(1 << 20), Some(Instant::now())),
            Some(start) if hop.duration_since(start) >= budget => break,
            _ => {}
        }
        times.push(hop.elapsed());
    }
    let p = times.percentiles();
    let hop_us = 1e6 * HOP as f64 / f64::from(MODEL_RATE);
    Ok(Row {
        arch: name.to_owned(),
        precision: "f32",
        device: "cpu",
        streams,
        threads: args.threads,
        p50_us: p.p50,
        p99_us: p.p99,
        p999_us: p.p999,
        hops: times.total(),
        real_time_streams: streams as f64 * hop_us / p.p50.max(f64::MIN_POSITIVE),
    })
}

fn random(name: &str) -> Result<Arc<Cpc>> {
    let architecture = Architecture::named(name)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let vars = Cpc::init(&mut rng, &architecture, &Device::Cpu)?;
    let mut tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
    let bank: Tensor =
        uniform(&mut rng, &[NEGATIVES, architecture.encoder.latent()], 1.0, &Device::Cpu)?.abs()?;
    tensors.insert("bank.prototypes".to_owned(), bank);
    Ok(Arc::new(Cpc::load(&tensors, &architecture)?))
}
