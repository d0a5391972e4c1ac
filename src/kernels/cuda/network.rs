//! Weights and work space of a plan on the GPU, and the kernels of a hop in their order.

use super::super::{Convolution, MemoryMap, Plan};
use super::device::{Arg, At, Buffer, Gpu, Pinned, Product, Shape};
use crate::error::{Error, Result};
use crate::units::HOP;

use Arg::{Float, Int, Size};

/// Threads of kernels that work by warps.
const WARPS: usize = 8;
const THREADS: usize = 32 * WARPS;
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
pub(super) struct Network {
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
fn room(rows: usize, depth: usize, cols: usize) -> usize {
    (rows * cols).max(THIN.min(rows) * cols * planes(1, depth))
}

/// Numbers before the samples: the mask.
pub(super) fn mask_len(rows: usize) -> usize {
    padded(rows)
}

/// Whether the kernels are wide enough for a plan.
pub(super) fn takes(plan: &Plan) -> bool {
    plan.convolutions.iter().all(|layer| layer.now.cols <= WIDEST)
}

impl Network {
    /// Uploads the weights.
    pub(super) fn new(gpu: &mut Gpu, plan: &Plan) -> Result<Self> {
        if !takes(plan) {
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
        let product = |layer: &Layer| room(rows * layer.frames, layer.depth, layer.channels);
        let gates = |cell: &Cell, depth: usize| room(rows, depth, 3 * cell.width);
        let [_, .., context] = self.outputs();
        let head_cols = padded(self.latent + self.negatives);
        let most = |sizes: &mut dyn Iterator<Item = usize>| sizes.max().unwrap_or(0);
        let skipped = usize::from(self.site.is_none());
        let inputs =
            self.layers.iter().skip(skipped).map(|layer| gpu.zeros(rows * layer.frames * layer.depth));
        let between = self.cells.iter().skip(1).map(|cell| gpu.zeros(rows * cell.inputs));
        Ok(Scratch {
            windows: gpu.zeros(rows * WINDOW)?,
            spectrum: gpu.zeros(room(rows, WINDOW, padded(2 * self.bins)))?,
            inputs: inputs.collect::<Result<_>>()?,
            products: gpu.zeros(most(&mut self.layers.iter().map(product)))?,
            predictions: gpu.zeros(self.horizons * room(rows, context, head_cols))?,
            from_input: gpu.zeros(most(&mut self.cells.iter().map(|cell| gates(cell, cell.inputs))))?,
            from_hidden: gpu.zeros(most(&mut self.cells.iter().map(|cell| gates(cell, cell.width))))?,
            between: between.collect::<Result<_>>()?,
            up: gpu.zeros(mask_len(rows) + rows * HOP)?,
            down: gpu.zeros(rows * self.outputs().iter().sum::<usize>())?,
        })
    }

    /// Starts the hop of the first `rows` rows: `up` holds the mask and the samples, `down` receives the first `wanted`
    /// numbers of the outputs.
    pub(super) fn enqueue(
        &self,
        gpu: &Gpu,
        scratch: &Scratch,
        memory: &Buffer,
        rows: usize,
        (up, down, wanted): (&Pinned, &mut Pinned, usize),
    ) -> Result<()> {
        let [scores, bands, latents, _] = self.outputs();
        let out = gpu.at(&scratch.down);
        let hop = Hop {
            gpu,
            scratch,
            memory: gpu.at(memory),
            rows,
            mask: gpu.at(&scratch.up),
            samples: gpu.at(&scratch.up).plus(mask_len(rows)),
            pmi: out,
            bands: out.plus(rows * scores),
            latents: out.plus(rows * (scores + bands)),
            contexts: out.plus(rows * (scores + bands + latents)),
        };
        gpu.send(up, hop.mask, mask_len(rows) + rows * HOP)?;
        self.hear(&hop)?;
        self.encode(&hop)?;
        self.score(&hop)?;
        self.remember(&hop)?;
        gpu.fetch(out, down, wanted)
    }

    /// The bands.
    fn hear(&self, hop: &Hop<'_>) -> Result<()> {
        let (map, stride) = (&self.map, self.map.len);
        let one = |block| Shape { grid: (hop.rows, 1, 1), block, shared: 0 };
        let windows = hop.gpu.at(&hop.scratch.windows);
        let args =
            [hop.at(hop.samples), hop.at(hop.mask), hop.at(hop.memory), int(stride), int(map.sound.start)];
        hop.gpu.launch("window", one(HOP), &[&args[..], &[hop.at(windows)]].concat())?;
        let cols = padded(2 * self.bins);
        let spectrum = hop.gpu.at(&hop.scratch.spectrum);
        let (splits, plane) = hop.product(&Product {
            xs: windows,
            ldx: WINDOW,
            slot_x: 0,
            weights: hop.gpu.at(&self.fourier),
            ys: spectrum,
            rows: hop.rows,
            depth: WINDOW,
            cols,
            slots: 1,
        })?;
        let first = if self.site.is_some() { hop.input(0)? } else { At::NULL };
        let offset = if self.site.is_some() { block_of(map, 0) } else { 0 };
        let shape = Shape { shared: 4 * self.bins, ..one(self.bands) };
        hop.gpu.launch(
            "bands",
            shape,
            &[
                hop.at(spectrum),
                int(splits),
                Size(plane),
                int(cols),
                int(self.bins),
                hop.at(hop.gpu.at(&self.mel)),
                int(self.bands),
                hop.at(hop.mask),
                hop.at(hop.bands),
                Float(self.site.unwrap_or(-1.0)),
                hop.at(hop.memory),
                int(stride),
                int(map.site.start),
                hop.at(first),
                int(offset),
            ],
        )
    }

    /// The encoder.
    fn encode(&self, hop: &Hop<'_>) -> Result<()> {
        for (i, layer) in self.layers.iter().enumerate() {
            let next = self.layers.get(i + 1);
            // inputs are counted from the first layer that has one
            let shift = usize::from(self.site.is_none());
            let to = if next.is_some() { hop.input(i + 1 - shift)? } else { hop.latents };
            let frames = next.map_or(0, |next| next.frames);
            let places = [
                int(if next.is_some() { block_of(&self.map, i + 1) } else { 0 }),
                int(frames),
                int(if frames == 0 { 0 } else { layer.frames / frames }),
            ];
            let (gain, bias) = layer
                .norm
                .as_ref()
                .map_or((At::NULL, At::NULL), |(gain, bias)| (hop.gpu.at(gain), hop.gpu.at(bias)));
            let of_layer = [hop.at(hop.gpu.at(&layer.bias)), hop.at(gain), hop.at(bias)];
            let (memory, stride) = (hop.at(hop.memory), int(self.map.len));
            if i == 0 && shift == 1 {
                let head =
                    [hop.at(hop.samples), hop.at(hop.mask), memory, stride, int(block_of(&self.map, 0))];
                let weights = [hop.at(hop.gpu.at(&layer.weights))];
                let tail = [int(layer.channels), hop.at(to)];
                let args = [&head[..], &weights, &of_layer, &tail, &places].concat();
                let shape = Shape { grid: (hop.rows, 1, 1), block: THREADS, shared: 0 };
                hop.gpu.launch(&kernel("first", layer.channels), shape, &args)?;
                continue;
            }
            let rows = hop.rows * layer.frames;
            let products = hop.gpu.at(&hop.scratch.products);
            let (splits, plane) = hop.product(&Product {
                xs: hop.input(i - shift)?,
                ldx: layer.depth,
                slot_x: 0,
                weights: hop.gpu.at(&layer.weights),
                ys: products,
                rows,
                depth: layer.depth,
                cols: layer.channels,
                slots: 1,
            })?;
            let head = [hop.at(products), int(splits), Size(plane), hop.at(hop.mask)];
            let tail = [int(hop.rows), int(layer.frames), int(layer.channels), hop.at(to), memory, stride];
            let args = [&head[..], &of_layer, &tail, &places].concat();
            let shape = Shape { grid: (rows.div_ceil(WARPS), 1, 1), block: THREADS, shared: 0 };
            hop.gpu.launch(&kernel("norm", layer.channels), shape, &args)?;
        }
        Ok(())
    }

    /// z against what earlier contexts expected.
    fn score(&self, hop: &Hop<'_>) -> Result<()> {
        let (map, cols) = (&self.map, padded(self.latent + self.negatives));
        let [.., context] = self.outputs();
        let predictions = hop.gpu.at(&hop.scratch.predictions);
        let (splits, plane) = hop.product(&Product {
            xs: hop.memory.plus(map.contexts.start),
            ldx: map.len,
            slot_x: context,
            weights: hop.gpu.at(&self.heads),
            ys: predictions,
            rows: hop.rows,
            depth: context,
            cols,
            slots: self.horizons,
        })?;
        let shape =
            Shape { grid: ((hop.rows * self.horizons).div_ceil(WARPS), 1, 1), block: THREADS, shared: 0 };
        let args = [
            hop.at(predictions),
            int(splits),
            Size(plane),
            int(cols),
            hop.at(hop.latents),
            hop.at(hop.memory),
            int(map.len),
            int(map.missing.start),
            int(hop.rows),
            int(self.horizons),
            int(self.latent),
            int(self.negatives),
            hop.at(hop.pmi),
        ];
        hop.gpu.launch("score", shape, &args)
    }

    /// The context network.
    fn remember(&self, hop: &Hop<'_>) -> Result<()> {
        let map = &self.map;
        let mut xs = hop.latents;
        for (i, cell) in self.cells.iter().enumerate() {
            let last = i + 1 == self.cells.len();
            let between = hop.scratch.between.get(i).map(|buffer| hop.gpu.at(buffer));
            let out = between.filter(|_| !last).unwrap_or(hop.contexts);
            let hidden = map.hidden.get(i).map_or(0, |part| part.start);
            let (from_input, from_hidden) =
                (hop.gpu.at(&hop.scratch.from_input), hop.gpu.at(&hop.scratch.from_hidden));
            let product = |xs: At, ldx: usize, weights: &Buffer, ys: At, depth: usize| {
                let weights = hop.gpu.at(weights);
                let (rows, cols) = (hop.rows, 3 * cell.width);
                hop.product(&Product { xs, ldx, slot_x: 0, weights, ys, rows, depth, cols, slots: 1 })
            };
            let (splits_x, plane_x) = product(xs, cell.inputs, &cell.input, from_input, cell.inputs)?;
            let own = hop.memory.plus(hidden);
            let (splits_h, plane_h) = product(own, map.len, &cell.hidden, from_hidden, cell.width)?;
            let shape =
                Shape { grid: ((hop.rows * cell.width).div_ceil(THREADS), 1, 1), block: THREADS, shared: 0 };
            let args = [
                hop.at(from_input),
                hop.at(from_hidden),
                int(splits_x),
                int(splits_h),
                Size(plane_x),
                Size(plane_h),
                hop.at(hop.gpu.at(&cell.input_bias)),
                hop.at(hop.gpu.at(&cell.hidden_bias)),
                hop.at(hop.mask),
                hop.at(hop.memory),
                int(map.len),
                int(hidden),
                int(cell.width),
                int(hop.rows),
                hop.at(out),
                int(map.contexts.start),
                int(map.missing.start),
                int(if last { self.horizons } else { 0 }),
            ];
            hop.gpu.launch("gru", shape, &args)?;
            xs = out;
        }
        Ok(())
    }
}

/// The addresses of one hop.
struct Hop<'a> {
    gpu: &'a Gpu,
    scratch: &'a Scratch,
    memory: At,
    rows: usize,
    mask: At,
    samples: At,
    pmi: At,
    bands: At,
    latents: At,
    contexts: At,
}

impl Hop<'_> {
    fn at(&self, at: At) -> Arg {
        Arg::At(at)
    }

    fn input(&self, i: usize) -> Result<At> {
        let input = self.scratch.inputs.get(i).ok_or_else(|| Error::internal("a layer without an input"))?;
        Ok(self.gpu.at(input))
    }

    /// Starts a product; gives the planes of partial sums that it leaves, and the numbers of each.
    fn product(&self, product: &Product) -> Result<(usize, usize)> {
        let Product { xs, ldx, slot_x, weights, ys, rows, depth, cols, slots } = *product;
        let (planes, plane) = (planes(rows, depth), slots * rows * cols);
        if rows > THIN {
            self.gpu.multiply(product)?;
            return Ok((planes, plane));
        }
        let shape = Shape { grid: (cols.div_ceil(32), planes, slots), block: THREADS, shared: 0 };
        let args = [
            Arg::At(xs),
            int(ldx),
            int(slot_x),
            Arg::At(weights),
            Size(depth * cols),
            Arg::At(ys),
            Size(plane),
            int(rows),
            int(depth),
            int(cols),
        ];
        self.gpu.launch(&format!("thin_{}", rows.next_power_of_two()), shape, &args)?;
        Ok((planes, plane))
    }
}

fn int(n: usize) -> Arg {
    Int(n as i32)
}

fn block_of(map: &MemoryMap, layer: usize) -> usize {
    map.blocks.get(layer).map_or(0, |block| block.start)
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
