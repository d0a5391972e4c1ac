//! `bench`: how long a hop takes, and how many streams that carries.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::args::{Output, SetThreads, stdout, use_threads};
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::model::{self, Architecture, Cpc, LiveBatch, Stepping, compute_device};
use crate::nn::{Tensors, uniform};
use crate::telemetry::HopTimes;
use crate::units::{HOP, MODEL_RATE};

/// Negatives a hop is scored against.
const NEGATIVES: usize = 128;
/// Streams and hops over which scores are compared with those of the layers.
const COMPARED: (usize, usize) = (3, 100);

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
    /// Numbers that products are made of: f32, tf32 (GPU), bf16, int8 (processor).
    #[arg(long, value_delimiter = ',', default_value = "f32")]
    precision: Vec<Precision>,
    /// What it runs on: cpu, or cuda[:N] in a build with that feature.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Measure the layers one after another too, which is how models run that the kernels do not know.
    #[arg(long)]
    layers: bool,
    /// Leave z_t and c_t on the GPU: only scores come down.
    #[arg(long)]
    scores_only: bool,
    /// Threads that share the work.
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
    /// `layers` where the kernels did not run.
    stepping: &'static str,
    precision: String,
    device: String,
    streams: usize,
    threads: usize,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    hops: u64,
    real_time_streams: f64,
    /// Largest difference of a PMI from that of the layers in f32 on the CPU, in nats.
    largest_difference: f64,
}

#[derive(Debug, Serialize)]
struct Table {
    rows: Vec<Row>,
}

/// Runs it.
///
/// # Errors
/// When the model cannot be read, the device not opened, or an argument is out of range.
pub(super) fn run(args: &BenchArgs, set: SetThreads) -> Result<()> {
    use_threads(args.threads, set)?;
    if args.streams.iter().any(|&n| !(1..=65_536).contains(&n)) || !(0.05..=600.0).contains(&args.seconds) {
        return Err(Error::config(
            "--streams must lie within 1..=65536 and --seconds within 0.05..=600",
            "for example: cpc-stream bench --streams 1,8,32 --seconds 2",
        ));
    }
    let device = compute_device(&args.device)?;
    let mut out = stdout();
    let mut table = Table { rows: Vec::new() };
    if !args.json {
        out.line(format_args!(
            "{:>10} {:>8} {:>9} {:>8} {:>8} {:>10} {:>10} {:>10} {:>9} {:>18} {:>10}",
            "arch",
            "stepping",
            "precision",
            "streams",
            "threads",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "hops",
            "real-time streams",
            "max |ΔPMI|"
        ))?;
    }
    let kernels =
        args.precision.iter().map(|&precision| Stepping::Kernels { precision, threads: args.threads });
    let steppings: Vec<Stepping> = kernels.chain(args.layers.then_some(Stepping::Layers)).collect();
    for name in &named(args) {
        let (cpc, reference) = (subject(name, args, &device)?, subject(name, args, &Device::Cpu)?);
        for &stepping in &steppings {
            let difference = difference(&cpc, &reference, stepping)?;
            for &streams in &args.streams {
                let row = measure(name, &cpc, stepping, streams, difference, args)?;
                if !args.json {
                    row.show(&mut out)?;
                }
                table.rows.push(row);
            }
        }
    }
    if args.json {
        let text = serde_json::to_string_pretty(&table).map_err(|e| Error::internal(e.to_string()))?;
        return out.line(format_args!("{text}"));
    }
    out.line(format_args!(
        "a hop is 10 ms of every stream, on {}; real-time streams = streams · 10 ms / p50; the last column compares \
         with the layers in f32 on the CPU",
        args.device
    ))
}

impl Row {
    fn show(&self, out: &mut Output) -> Result<()> {
        out.line(format_args!(
            "{:>10} {:>8} {:>9} {:>8} {:>8} {:>10.1} {:>10.1} {:>10.1} {:>9} {:>18.1} {:>10.1e}",
            self.arch,
            self.stepping,
            self.precision,
            self.streams,
            self.threads,
            self.p50_us,
            self.p99_us,
            self.p999_us,
            self.hops,
            self.real_time_streams,
            self.largest_difference
        ))
    }
}

/// What is measured, by name.
fn named(args: &BenchArgs) -> Vec<String> {
    match &args.model {
        Some(path) => vec![path.file_stem().unwrap_or_default().to_string_lossy().into_owned()],
        None => args.arch.clone(),
    }
}

fn subject(name: &str, args: &BenchArgs, device: &Device) -> Result<Arc<Cpc>> {
    match &args.model {
        Some(path) => Ok(model::open(Some(path), device)?.1),
        None => random(name, device),
    }
}

/// Noise that every stream and hop has some other of.
fn sound(rng: &mut ChaCha8Rng, hops: usize) -> Vec<f32> {
    (0..hops * HOP).map(|_| rng.random_range(-0.1..0.1)).collect()
}

fn measure(
    name: &str,
    cpc: &Arc<Cpc>,
    stepping: Stepping,
    streams: usize,
    largest_difference: f64,
    args: &BenchArgs,
) -> Result<Row> {
    let mut batch = LiveBatch::with(Arc::clone(cpc), stepping)?;
    if args.scores_only {
        batch.leave_all_but_scores();
    }
    let sound = sound(&mut ChaCha8Rng::seed_from_u64(1), streams);
    let slots = (0..streams).map(|_| Ok(batch.join(0)? as u32)).collect::<Result<Vec<_>>>()?;
    let budget = Duration::from_secs_f64(args.seconds);
    let (mut times, mut started) = (HopTimes::new(1 << 20), None);
    loop {
        let hop = Instant::now();
        batch.step_rows(&slots, &sound)?;
        match started {
            // the first of them warm up
            None if times.total() >= 20 => (times, started) = (HopTimes::new(1 << 20), Some(Instant::now())),
            Some(start) if hop.duration_since(start) >= budget => break,
            _ => {}
        }
        times.push(hop.elapsed());
    }
    let p = times.percentiles();
    let hop_us = 1e6 * HOP as f64 / f64::from(MODEL_RATE);
    let (stepping, precision) = match stepping {
        Stepping::Kernels { precision, .. } => ("kernels", precision),
        Stepping::Layers => ("layers", Precision::F32),
    };
    Ok(Row {
        arch: name.to_owned(),
        stepping,
        precision: precision.to_string(),
        device: args.device.clone(),
        streams,
        threads: args.threads,
        p50_us: p.p50,
        p99_us: p.p99,
        p999_us: p.p999,
        hops: times.total(),
        real_time_streams: streams as f64 * hop_us / p.p50.max(f64::MIN_POSITIVE),
        largest_difference,
    })
}

/// Largest difference of a PMI between `stepping` and the layers of `reference`, over a second of a few streams that join
/// one after another.
fn difference(cpc: &Arc<Cpc>, reference: &Arc<Cpc>, stepping: Stepping) -> Result<f64> {
    let (streams, hops) = COMPARED;
    let mut batches = [
        LiveBatch::with(Arc::clone(cpc), stepping)?,
        LiveBatch::with(Arc::clone(reference), Stepping::Layers)?,
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (mut slots, mut largest) = (Vec::new(), 0f64);
    for hop in 0..hops {
        if hop % 10 == 0 && slots.len() < streams {
            let [slot, same] = [batches[0].join(0)?, batches[1].join(0)?];
            debug_assert_eq!(slot, same);
            slots.push(slot as u32);
        }
        let sound = sound(&mut rng, slots.len());
        let [found, expected] = &mut batches;
        let pair = found.step_rows(&slots, &sound)?.pmi.iter().zip(&expected.step_rows(&slots, &sound)?.pmi);
        for (found, expected) in pair {
            if found.is_nan() != expected.is_nan() {
                return Ok(f64::INFINITY);
            }
            largest = largest.max(f64::from((found - expected).abs()));
        }
    }
    Ok(largest)
}

fn random(name: &str, device: &Device) -> Result<Arc<Cpc>> {
    let architecture = Architecture::named(name)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let vars = Cpc::init(&mut rng, &architecture, &Device::Cpu)?;
    let mut tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
    let bank: Tensor =
        uniform(&mut rng, &[NEGATIVES, architecture.encoder.latent()], 1.0, &Device::Cpu)?.abs()?;
    tensors.insert("bank.prototypes".to_owned(), bank);
    for tensor in tensors.values_mut() {
        *tensor = tensor.to_device(device)?;
    }
    Ok(Arc::new(Cpc::load(&tensors, &architecture)?))
}
