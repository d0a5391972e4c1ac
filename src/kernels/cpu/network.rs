//! A plan with its weights packed.

use super::bands::Bands;
use super::packed_weights::{CacheLine, PackedWeights};
use crate::error::{Error, Result};
use crate::kernels::{Matrix, MemoryMap, Norm, Plan, Precision};
use crate::units::HOP;

/// A convolution: past and now as one matrix.
#[derive(Debug)]
pub(super) struct Layer {
    /// `[2 · stride · c_in, c_out]`.
    pub(super) weights: PackedWeights,
    pub(super) norm: Option<Norm>,
    /// Frames that come out of it in a hop.
    pub(super) frames: usize,
    /// Numbers in a block of its input.
    pub(super) block: usize,
}

/// A gated recurrent unit.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) input: PackedWeights,
    pub(super) hidden: PackedWeights,
}

/// The weights that all streams share.
#[derive(Debug)]
pub(super) struct PackedNetwork {
    pub(super) map: MemoryMap,
    pub(super) fresh: Vec<f32>,
    pub(super) bands: Bands,
    pub(super) site: Option<f32>,
    pub(super) layers: Vec<Layer>,
    pub(super) cells: Vec<Cell>,
    /// Of k = 1..=K.
    pub(super) heads: Vec<PackedWeights>,
    /// `[d, N]`.
    pub(super) bank: PackedWeights,
    /// h, the width of a context.
    pub(super) context: usize,
}

fn fits(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::internal(format!("{what} of a plan: {found} numbers, {expected} expected")))
}

fn check(matrix: &Matrix, what: &str, rows: usize, cols: usize) -> Result<()> {
    fits(&format!("rows of {what}"), matrix.rows, rows)?;
    fits(&format!("columns of {what}"), matrix.cols, cols)?;
    fits(what, matrix.data.len(), rows * cols)
}

impl PackedNetwork {
    /// Packs a plan for registers of `lanes` lanes.
    ///
    /// # Errors
    /// When parts of the plan do not fit together.
    pub(super) fn new(plan: &Plan, precision: Precision, lanes: usize) -> Result<Self> {
        let map = plan.memory();
        fits("memory of a fresh stream", plan.fresh.len(), map.len)?;
        check(&plan.mel, "mel", plan.mel.rows, plan.mel.cols)?;
        check(&plan.fourier, "fourier", map.sound.len() + HOP, 2 * plan.mel.rows)?;
        let mut network = Self {
            layers: layers(plan, precision, lanes)?,
            cells: cells(plan, precision, lanes)?,
            heads: plan
                .heads
                .iter()
                .map(|head| {
                    check(head, "a head", plan.context(), plan.latent())?;
                    Ok(PackedWeights::new(precision, lanes, &[head], &[]))
                })
                .collect::<Result<_>>()?,
            bank: {
                check(&plan.bank, "bank", plan.latent(), plan.bank.cols)?;
                PackedWeights::new(of_bank(precision), lanes, &[&plan.bank], &[])
            },
            bands: Bands::new(plan)?,
            site: plan.site,
            context: plan.context(),
            fresh: plan.fresh.clone(),
            map,
        };
        let cells = network.cells.iter_mut().flat_map(|cell| [&mut cell.input, &mut cell.hidden]);
        let layers = network.layers.iter_mut().map(|layer| &mut layer.weights);
        PackedWeights::gather(layers.chain(&mut network.heads).chain([&mut network.bank]).chain(cells));
        Ok(network)
    }

    /// d, the width of z.
    pub(super) fn latent(&self) -> usize {
        self.bank.depth()
    }

    /// Multiply-adds of 32 bits in a hop of one stream.
    pub(super) fn f32_multiply_adds(&self) -> usize {
        let layers = self.layers.iter().map(|layer| (&layer.weights, layer.frames));
        let heads = self.heads.iter().map(|head| (head, 1));
        let cells = self.cells.iter().flat_map(|cell| [(&cell.input, 1), (&cell.hidden, 1)]);
        let all = layers.chain(heads).chain(cells).chain([(&self.bank, self.heads.len())]);
        let exact = all.filter(|(weights, _)| weights.precision() == Precision::F32);
        exact.map(|(weights, rows)| rows * weights.depth() * weights.cols()).sum()
    }

    /// All weights that a hop reads.
    pub(super) fn weights(&self) -> &[CacheLine] {
        self.bank.everything()
    }
}

/// The precision of the negatives: weights in 8 bits are near enough, inputs in 8 are not.
fn of_bank(precision: Precision) -> Precision {
    if precision.is_integer() { Precision::Int8 } else { Precision::F32 }
}

fn layers(plan: &Plan, precision: Precision, lanes: usize) -> Result<Vec<Layer>> {
    // what a layer has to read in a hop: the samples, or the bands of one frame
    let mut inputs = if plan.site.is_some() { plan.bands() } else { HOP };
    let mut layers = Vec::with_capacity(plan.convolutions.len());
    for (i, layer) in plan.convolutions.iter().enumerate() {
        let (block, channels) = (layer.now.rows, layer.bias.len());
        check(&layer.past, "past of a convolution", block, channels)?;
        check(&layer.now, "now of a convolution", block, channels)?;
        fits("inputs of a convolution", layer.frames * block, inputs)?;
        for side in layer.norm.iter().flat_map(|norm| [&norm.gain, &norm.bias]) {
            fits("a norm", side.len(), channels)?;
        }
        inputs = layer.frames * channels;
        // samples and bands are coarse enough, and few
        let precision = if i == 0 { Precision::F32 } else { precision };
        layers.push(Layer {
            weights: PackedWeights::new(precision, lanes, &[&layer.past, &layer.now], &layer.bias),
            norm: layer.norm.clone(),
            frames: layer.frames,
            block,
        });
    }
    fits("latents of a hop", inputs, plan.latent())?;
    Ok(layers)
}

fn cells(plan: &Plan, precision: Precision, lanes: usize) -> Result<Vec<Cell>> {
    let mut inputs = plan.latent();
    let mut cells = Vec::with_capacity(plan.recurrences.len());
    for cell in &plan.recurrences {
        let h = cell.hidden.rows;
        check(&cell.input, "input of a recurrence", inputs, 3 * h)?;
        check(&cell.hidden, "hidden of a recurrence", h, 3 * h)?;
        fits("a bias of a recurrence", cell.input_bias.len(), 3 * h)?;
        fits("a bias of a recurrence", cell.hidden_bias.len(), 3 * h)?;
        inputs = h;
        cells.push(Cell {
            input: PackedWeights::new(precision, lanes, &[&cell.input], &cell.input_bias),
            hidden: PackedWeights::new(precision, lanes, &[&cell.hidden], &cell.hidden_bias),
        });
    }
    Ok(cells)
}
