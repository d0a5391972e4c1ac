//! The kernels of a hop, in their order.

use super::super::super::MemoryMap;
use super::super::device::{Arg, Buffer, DeviceAddress, Gpu, LaunchShape, Pinned, Product};
use super::{DeviceNetwork, Scratch, THIN, WINDOW, kernel, mask_len, padded, planes};
use crate::error::{Error, Result};
use crate::units::HOP;

use Arg::{Float, Int, Size};

/// Threads of kernels that work by warps.
const WARPS: usize = 8;
const THREADS: usize = 32 * WARPS;

impl DeviceNetwork {
    /// Starts the hop of the first `rows` rows: `up` holds the mask and the samples, `down` receives the first `wanted`
    /// numbers of the outputs.
    pub(in crate::kernels::cuda) fn enqueue(
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
        self.features(&hop)?;
        self.encode(&hop)?;
        self.score(&hop)?;
        self.gru(&hop)?;
        gpu.fetch(out, down, wanted)
    }

    /// The bands.
    fn features(&self, hop: &Hop<'_>) -> Result<()> {
        let (map, stride) = (&self.map, self.map.len);
        let one = |block| LaunchShape { grid: (hop.rows, 1, 1), block };
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
        let first = if self.site.is_some() { hop.input(0)? } else { DeviceAddress::NULL };
        let offset = if self.site.is_some() { block_of(map, 0) } else { 0 };
        hop.gpu.launch(
            "bands",
            one(self.bands),
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
                int(layer.frames.checked_div(frames).unwrap_or(0)),
            ];
            let (gain, bias) =
                layer.norm.as_ref().map_or((DeviceAddress::NULL, DeviceAddress::NULL), |(gain, bias)| {
                    (hop.gpu.at(gain), hop.gpu.at(bias))
                });
            let of_layer = [hop.at(hop.gpu.at(&layer.bias)), hop.at(gain), hop.at(bias)];
            let (memory, stride) = (hop.at(hop.memory), int(self.map.len));
            if i == 0 && shift == 1 {
                let head =
                    [hop.at(hop.samples), hop.at(hop.mask), memory, stride, int(block_of(&self.map, 0))];
                let weights = [hop.at(hop.gpu.at(&layer.weights))];
                let tail = [int(layer.channels), hop.at(to)];
                let args = [&head[..], &weights, &of_layer, &tail, &places].concat();
                let shape = LaunchShape { grid: (hop.rows, 1, 1), block: THREADS };
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
            let shape = LaunchShape { grid: (rows.div_ceil(WARPS), 1, 1), block: THREADS };
            hop.gpu.launch(&kernel("norm", layer.channels), shape, &args)?;
        }
        Ok(())
    }

    /// Scores: z against the predictions of earlier contexts.
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
        let shape = LaunchShape { grid: ((hop.rows * self.horizons).div_ceil(WARPS), 1, 1), block: THREADS };
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

    /// The context network: one GRU step.
    fn gru(&self, hop: &Hop<'_>) -> Result<()> {
        let map = &self.map;
        let mut xs = hop.latents;
        for (i, cell) in self.cells.iter().enumerate() {
            let last = i + 1 == self.cells.len();
            let between = hop.scratch.between.get(i).map(|buffer| hop.gpu.at(buffer));
            let out = between.filter(|_| !last).unwrap_or(hop.contexts);
            let hidden = map.hidden.get(i).map_or(0, |part| part.start);
            let (from_input, from_hidden) =
                (hop.gpu.at(&hop.scratch.from_input), hop.gpu.at(&hop.scratch.from_hidden));
            let product =
                |xs: DeviceAddress, ldx: usize, weights: &Buffer, ys: DeviceAddress, depth: usize| {
                    let weights = hop.gpu.at(weights);
                    let (rows, cols) = (hop.rows, 3 * cell.width);
                    hop.product(&Product { xs, ldx, slot_x: 0, weights, ys, rows, depth, cols, slots: 1 })
                };
            let (splits_x, plane_x) = product(xs, cell.inputs, &cell.input, from_input, cell.inputs)?;
            let own = hop.memory.plus(hidden);
            let (splits_h, plane_h) = product(own, map.len, &cell.hidden, from_hidden, cell.width)?;
            let shape =
                LaunchShape { grid: ((hop.rows * cell.width).div_ceil(THREADS), 1, 1), block: THREADS };
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
    memory: DeviceAddress,
    rows: usize,
    mask: DeviceAddress,
    samples: DeviceAddress,
    pmi: DeviceAddress,
    bands: DeviceAddress,
    latents: DeviceAddress,
    contexts: DeviceAddress,
}

impl Hop<'_> {
    fn at(&self, at: DeviceAddress) -> Arg {
        Arg::Address(at)
    }

    fn input(&self, i: usize) -> Result<DeviceAddress> {
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
        let shape = LaunchShape { grid: (cols.div_ceil(32), planes, slots), block: THREADS };
        let args = [
            Arg::Address(xs),
            int(ldx),
            int(slot_x),
            Arg::Address(weights),
            Size(depth * cols),
            Arg::Address(ys),
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
