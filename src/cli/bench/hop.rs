//! How long a hop of the model takes, and how many streams that carries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::super::args::{Output, stdout};
use super::args::BenchArgs;
use crate::error::{Error, Result};
use crate::kernels::Precision;
use crate::model::{self, Architecture, Cpc, LiveBatch, Stepping, compute_device, max_pmi_difference};
use crate::nn::{Tensors, uniform};
use crate::telemetry::{Column, HopTimes};
use crate::units::{HOP, MODEL_RATE};

/// Negatives a hop is scored against.
const NEGATIVES: usize = 128;
/// Those of a row.
const COLUMNS: [Column; 12] = [
    ("arch", 10, false),
    ("stepping", 8, false),
    ("precision", 9, false),
    ("streams", 8, false),
    ("threads", 8, false),
    ("p50 µs", 10, false),
    ("p99 µs", 10, false),
    ("p99.9 µs", 10, false),
    ("hops", 9, false),
    ("real-time streams", 18, false),
    ("max |ΔPMI|", 10, false),
    (" instructions", 13, true),
];

#[derive(Debug, Serialize)]
pub(super) struct Row {
    arch: String,
    /// `layers` where the kernels did not run.
    stepping: &'static str,
    pub(super) precision: String,
    /// Instruction sets of products.
    pub(super) instructions: String,
    device: String,
    pub(super) streams: usize,
    threads: usize,
    hop_batch: u32,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    hops: u64,
    real_time_streams: f64,
    /// Largest difference of a PMI from that of the layers in f32 on the CPU, in nats.
    largest_difference: f64,
}

#[derive(Debug, Serialize)]
struct Table {
    rows: Vec<Row>,
}

/// Measures steps of the model alone.
///
/// # Errors
/// When the model cannot be read, or the device not opened.
pub(super) fn run(args: &BenchArgs) -> Result<()> {
    let rows = rows(args)?;
    let mut out = stdout();
    if args.json {
        let text =
            serde_json::to_string_pretty(&Table { rows }).map_err(|e| Error::internal(e.to_string()))?;
        return out.line(format_args!("{text}"));
    }
    out.prose(format_args!(
        "a hop is 10 ms of every stream, on {}, {} together; real-time streams = streams · 10 ms / p50; max |ΔPMI| \
         compares with the layers in f32 on the CPU",
        args.device, args.hop_batch
    ))
}

/// Measures each row, and shows it unless JSON is asked for.
///
/// # Errors
/// As [`run`].
pub(super) fn rows(args: &BenchArgs) -> Result<Vec<Row>> {
    let device = compute_device(&args.device)?;
    let mut out = stdout();
    let mut rows = Vec::new();
    if !args.json {
        out.head(&COLUMNS)?;
    }
    let kernels =
        args.precision.iter().map(|&precision| Stepping::Kernels { precision, threads: args.threads });
    let steppings: Vec<Stepping> = kernels.chain(args.layers.then_some(Stepping::Layers)).collect();
    for name in &named(args) {
        let (cpc, reference) = (subject(name, args, &device)?, subject(name, args, &Device::Cpu)?);
        for stepping in &steppings {
            let stepping = stepping.measured(&cpc)?;
            let difference = max_pmi_difference(&cpc, stepping, &reference)?;
            for &streams in &args.streams {
                let row = measure(name, &cpc, stepping, streams, difference, args)?;
                if !args.json {
                    row.show(&mut out)?;
                }
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

impl Row {
    fn show(&self, out: &mut Output) -> Result<()> {
        let cells = [
            self.arch.clone(),
            self.stepping.to_owned(),
            self.precision.clone(),
            self.streams.to_string(),
            self.threads.to_string(),
            format!("{:.1}", self.p50_us),
            format!("{:.1}", self.p99_us),
            format!("{:.1}", self.p999_us),
            self.hops.to_string(),
            format!("{:.1}", self.real_time_streams),
            format!("{:.1e}", self.largest_difference),
            format!(" {}", self.instructions),
        ];
        out.row(&COLUMNS, &cells)
    }
}

/// The measured configuration, by name.
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
        batch.keep_scores_only();
    }
    let each = args.hop_batch;
    let sound = sound(&mut ChaCha8Rng::seed_from_u64(1), streams * each as usize);
    let slots = (0..streams).map(|_| Ok(batch.join(0)? as u32)).collect::<Result<Vec<_>>>()?;
    let budget = Duration::from_secs_f64(args.seconds.unwrap_or(2.0));
    let (mut times, mut started) = (HopTimes::new(1 << 20), None);
    loop {
        let hop = Instant::now();
        batch.step_rows(&slots, &sound)?;
        match (started, args.hops) {
            (_, Some(count)) if times.total() + 1 >= count => {
                times.push(hop.elapsed() / each);
                break;
            }
            (_, Some(_)) => {}
            // the first of them warm up
            (None, None) if times.total() >= 20 => {
                (times, started) = (HopTimes::new(1 << 20), Some(Instant::now()));
            }
            (Some(start), None) if hop.duration_since(start) >= budget => break,
            _ => {}
        }
        times.push(hop.elapsed() / each);
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
        instructions: batch.instructions(),
        device: args.device.clone(),
        streams,
        threads: args.threads,
        hop_batch: each,
        p50_us: p.p50,
        p99_us: p.p99,
        p999_us: p.p999,
        hops: times.total(),
        real_time_streams: streams as f64 * hop_us / p.p50.max(f64::MIN_POSITIVE),
        largest_difference,
    })
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
