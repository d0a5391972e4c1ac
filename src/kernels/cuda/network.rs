//! Weights and work space of a plan on the GPU.

mod hop;

use super::super::{Convolution, MemoryMap, Plan};
use super::device::{Buffer, Gpu};
use crate::error::{Error, Result};
use crate::units::HOP;

/// Rows below which a product is ours, and the depth that one of its blocks takes.
const THIN: usize = 16;
const CHUNK: usize = 128;
/// Widest layer that a warp holds.
const WIDEST: usize = 512;
/// Samples under the window of the bands.
const WINDOW: usize = 400;

#[derive(Debug)]
struct Layer {
    /// `[2 · stride · c_in, c_out]`.
    weights: Buffer,
    bias: Buffer,
    norm: Option<(Buffer, Buffer)>,
    depth: usize,
    channels: usize,
    frames: usize,
}

#[derive(Debug)]
struct Cell {
    input: Buffer,
    hidden: Buffer,
    input_bias: Buffer,
    hidden_bias: Buffer,
    inputs: usize,
    width: usize,
}

/// A plan on the GPU.
#[derive(Debug)]
pub(super) struct DeviceNetwork {
    fourier: Buffer,
    mel: Buffer,
    bins: usize,
    bands: usize,
    site: Option<f32>,
    layers: Vec<Layer>,
    cells: Vec<Cell>,
    /// For slot j of the contexts `[W_{K−j}ᵀ | W_{K−j}ᵀ · bank]`: predictions and logits of the negatives in one product.
    heads: Buffer,
    horizons: usize,
    latent: usize,
    negatives: usize,
    /// Where what lies in the memory of a stream.
    pub(super) map: MemoryMap,
}

/// Buffers for a number of rows.
#[derive(Debug)]
pub(super) struct Scratch {
    windows: Buffer,
    spectrum: Buffer,
    /// Input of each convolution; the first on samples has none.
    inputs: Vec<Buffer>,
    products: Buffer,
    predictions: Buffer,
    from_input: Buffer,
    from_hidden: Buffer,
    /// Outputs of the context layers but the last.
    between: Vec<Buffer>,
    /// Mask, then samples.
    up: Buffer,
    /// Scores, bands, latents, contexts.
    down: Buffer,
}

/// Columns padded so that rows begin on 16 bytes.
fn padded(cols: usize) -> usize {
    cols.next_multiple_of(4)
}

/// Planes of partial sums that a product of `rows` rows leaves.
fn planes(rows: usize, depth: usize) -> usize {
    if rows <= THIN { depth.div_ceil(CHUNK) } else { 1 }
}

/// Numbers that a product may leave, for up to `rows` rows.
fn product_len(rows: usize, depth: usize, cols: usize) -> usize {
    (rows * cols).max(THIN.min(rows) * cols * planes(1, depth))
}

/// Numbers before the samples: the mask.
pub(super) fn mask_len(rows: usize) -> usize {
    padded(rows)
}

/// Whether the kernels are wide enough for a plan.
pub(super) fn supports(plan: &Plan) -> bool {
    plan.convolutions.iter().all(|layer| layer.now.cols <= WIDEST)
}

impl DeviceNetwork {
    /// Uploads the weights.
    pub(super) fn new(gpu: &mut Gpu, plan: &Plan) -> Result<Self> {
        if !supports(plan) {
            return Err(Error::internal(format!(
                "a layer of more than {WIDEST} channels for the GPU's kernels"
            )));
        }
        for layer in &plan.convolutions {
            gpu.load(&kernel("first", layer.now.cols))?;
            gpu.load(&kernel("norm", layer.now.cols))?;
        }
        for name in ["window", "bands", "score", "gru", "thin_1", "thin_2", "thin_4", "thin_8", "thin_16"] {
            gpu.load(name)?;
        }
        let gpu = &*gpu;
        let (bins, fourier_cols) = (plan.mel.rows, plan.fourier.cols);
        let skipped = plan.fourier.rows - WINDOW;
        let fourier = plan.fourier.data.get(skipped * fourier_cols..).unwrap_or_default();
        let (latent, negatives) = (plan.latent(), plan.bank.cols);
        let mut heads = Vec::new();
        for head in plan.heads.iter().rev() {
            let mut rows = Vec::with_capacity(head.rows * padded(latent + negatives));
            for row in head.data.chunks_exact(latent) {
                rows.extend_from_slice(row);
                rows.extend((0..negatives).map(|n| {
                    let column = plan.bank.data.iter().skip(n).step_by(negatives);
                    row.iter().zip(column).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
                }));
                rows.resize(rows.len().next_multiple_of(padded(latent + negatives)), 0.0);
            }
            heads.extend(rows);
        }
        let layers =
            plan.convolutions.iter().map(|layer| upload_layer(gpu, layer)).collect::<Result<Vec<_>>>()?;
        let cells = plan.recurrences.iter().map(|cell| {
            Ok(Cell {
                input: gpu.upload(&cell.input.data)?,
                hidden: gpu.upload(&cell.hidden.data)?,
                input_bias: gpu.upload(&cell.input_bias)?,
                hidden_bias: gpu.upload(&cell.hidden_bias)?,
                inputs: cell.input.rows,
                width: cell.hidden.rows,
            })
        });
        Ok(Self {
            fourier: gpu.upload(&pad_columns(fourier, fourier_cols))?,
            mel: gpu.upload(&plan.mel.data)?,
            bins,
            bands: plan.bands(),
            site: plan.site,
            layers,
            cells: cells.collect::<Result<_>>()?,
            heads: gpu.upload(&heads)?,
            horizons: plan.horizons(),
            latent,
            negatives,
            map: plan.memory().aligned(4),
        })
    }

    /// Lengths of scores, bands, latents and contexts of a stream, in the order in which they come down.
    pub(super) fn outputs(&self) -> [usize; 4] {
        [self.horizons, self.bands, self.latent, self.cells.last().map_or(0, |cell| cell.width)]
    }

    /// Work space for `rows` rows.
    pub(super) fn scratch(&self, gpu: &Gpu, rows: usize) -> Result<Scratch> {
        let product = |layer: &Layer| product_len(rows * layer.frames, layer.depth, layer.channels);
        let gates = |cell: &Cell, depth: usize| product_len(rows, depth, 3 * cell.width);
        let [_, .., context] = self.outputs();
        let head_cols = padded(self.latent + self.negatives);
        let most = |sizes: &mut dyn Iterator<Item = usize>| sizes.max().unwrap_or(0);
        let skipped = usize::from(self.site.is_none());
        let inputs =
            self.layers.iter().skip(skipped).map(|layer| gpu.zeros(rows * layer.frames * layer.depth));
        let between = self.cells.iter().skip(1).map(|cell| gpu.zeros(rows * cell.inputs));
        Ok(Scratch {
            windows: gpu.zeros(rows * WINDOW)?,
            spectrum: gpu.zeros(product_len(rows, WINDOW, padded(2 * self.bins)))?,
            inputs: inputs.collect::<Result<_>>()?,
            products: gpu.zeros(most(&mut self.layers.iter().map(product)))?,
            predictions: gpu.zeros(self.horizons * product_len(rows, context, head_cols))?,
            from_input: gpu.zeros(most(&mut self.cells.iter().map(|cell| gates(cell, cell.inputs))))?,
            from_hidden: gpu.zeros(most(&mut self.cells.iter().map(|cell| gates(cell, cell.width))))?,
            between: between.collect::<Result<_>>()?,
            up: gpu.zeros(mask_len(rows) + rows * HOP)?,
            down: gpu.zeros(rows * self.outputs().iter().sum::<usize>())?,
        })
    }
}

/// The kernel of that name for frames of `channels`.
fn kernel(name: &str, channels: usize) -> String {
    format!("{name}_{}", channels.div_ceil(32).next_power_of_two())
}

fn pad_columns(numbers: &[f32], cols: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(numbers.len() / cols.max(1) * padded(cols));
    for row in numbers.chunks(cols.max(1)) {
        all.extend_from_slice(row);
        all.resize(all.len().next_multiple_of(padded(cols)), 0.0);
    }
    all
}

fn upload_layer(gpu: &Gpu, layer: &Convolution) -> Result<Layer> {
    let norm = layer.norm.as_ref();
    let norm = norm.map(|norm| Ok::<_, Error>((gpu.upload(&norm.gain)?, gpu.upload(&norm.bias)?)));
    Ok(Layer {
        weights: gpu.upload(&[&layer.past.data[..], &layer.now.data].concat())?,
        bias: gpu.upload(&layer.bias)?,
        norm: norm.transpose()?,
        depth: layer.past.rows + layer.now.rows,
        channels: layer.now.cols,
        frames: layer.frames,
    })
}
