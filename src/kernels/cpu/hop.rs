//! A hop of some streams.

use super::bands::{Spectrum, normalise};
use super::math::{Compare, Finish, Recur};
use super::network::Network;
use super::pack::Packing;
use super::panels::Panels;
use super::product::{Rows, multiply};
use super::simd::Simd;
use crate::error::Result;
use crate::kernels::Hops;
use crate::units::HOP;

/// Room for what a hop computes on its way; it grows to the most streams that there were.
#[derive(Debug)]
pub(super) struct Room {
    packing: Packing,
    spectrum: Spectrum,
    /// For each layer the block before the hop and those of the hop, stream after stream.
    inputs: Vec<Vec<f32>>,
    /// What a product gives.
    sums: Vec<f32>,
    /// What the product with h gives.
    hidden_sums: Vec<f32>,
    /// h of one layer, and of the layer below it.
    hidden: [Vec<f32>; 2],
    /// The last K contexts, stream after stream.
    contexts: Vec<f32>,
    /// Of each head, what it expected of each stream.
    predictions: Vec<f32>,
}

impl Room {
    pub(super) fn new(network: &Network) -> Self {
        Self {
            packing: Packing::default(),
            spectrum: network.bands.spectrum(),
            inputs: vec![Vec::new(); network.layers.len()],
            sums: Vec::new(),
            hidden_sums: Vec::new(),
            hidden: [Vec::new(), Vec::new()],
            contexts: Vec::new(),
            predictions: Vec::new(),
        }
    }
}

/// The first `len` numbers, which are made where they are missing.
fn sized(numbers: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if numbers.len() < len {
        numbers.resize(len, 0.0);
    }
    &mut numbers[..len]
}

/// Forgets what came of an earlier hop.
pub(super) fn clear(hops: &mut Hops) {
    for numbers in [&mut hops.pmi, &mut hops.latents, &mut hops.contexts, &mut hops.bands] {
        numbers.clear();
    }
}

/// Steps the streams with these memories by a hop of `samples`, 160 each; what came of it goes to empty `hops`.
///
/// # Errors
/// When the lengths do not fit.
pub(super) fn step<S: Simd>(
    s: S,
    network: &Network,
    memories: &mut [Vec<f32>],
    samples: &[f32],
    room: &mut Room,
    hops: &mut Hops,
) -> Result<()> {
    listen(network, memories, samples, room, hops)?;
    encode(s, network, memories, room, hops);
    score(s, network, memories, room, hops);
    recur(s, network, memories, room, hops);
    Ok(())
}

/// Bands of the hop, and the input of the first layer.
fn listen(
    network: &Network,
    memories: &mut [Vec<f32>],
    samples: &[f32],
    room: &mut Room,
    hops: &mut Hops,
) -> Result<()> {
    let (map, count) = (&network.map, network.bands.count());
    for (layer, input) in network.layers.iter().zip(&mut room.inputs) {
        sized(input, memories.len() * (layer.frames + 1) * layer.block);
    }
    let (Some(first), Some(input)) = (network.layers.first(), room.inputs.first_mut()) else {
        return Ok(());
    };
    let input = input.chunks_exact_mut((first.frames + 1) * first.block);
    let bands = sized(&mut hops.bands, memories.len() * count).chunks_exact_mut(count);
    for (((memory, samples), bands), input) in
        memories.iter_mut().zip(samples.chunks_exact(HOP)).zip(bands).zip(input)
    {
        network.bands.hear(&memory[map.sound.clone()], samples, &mut room.spectrum, bands)?;
        let sound = &mut memory[map.sound.clone()];
        sound.copy_within(HOP.., 0);
        let newest = sound.len() - HOP;
        sound[newest..].copy_from_slice(samples);
        match network.site {
            Some(least) => {
                normalise(least, bands, &mut memory[map.site.clone()], &mut input[first.block..]);
            }
            None => input[first.block..].copy_from_slice(samples),
        }
    }
    Ok(())
}

/// The latents of the hop.
fn encode<S: Simd>(s: S, network: &Network, memories: &mut [Vec<f32>], room: &mut Room, hops: &mut Hops) {
    let streams = memories.len();
    let mut inputs = room.inputs.iter_mut().zip(&network.map.blocks).peekable();
    for (i, layer) in network.layers.iter().enumerate() {
        let Some((input, place)) = inputs.next() else { return };
        let run = (layer.frames + 1) * layer.block;
        for (memory, input) in memories.iter_mut().zip(input.chunks_exact_mut(run)) {
            let block = &mut memory[place.clone()];
            input[..layer.block].copy_from_slice(block);
            block.copy_from_slice(&input[layer.frames * layer.block..]);
        }
        let (frames, frame_step) = (layer.frames, layer.block);
        let rows = Rows { count: streams * frames, frames, frame_step, stream_step: run };
        let padded = layer.weights.padded();
        let sums = sized(&mut room.sums, rows.count * padded);
        multiply(s, &layer.weights, (&input[..], rows), &layer.bias, sums, &mut room.packing);
        let channels = layer.weights.cols();
        // a frame becomes a frame of the next layer's input, after its past block, or a latent
        let (into, run, from) = match (network.layers.get(i + 1), inputs.peek_mut()) {
            (Some(next), Some((input, _))) => (&mut input[..], (next.frames + 1) * next.block, next.block),
            _ => (sized(&mut hops.latents, streams * channels), channels, 0),
        };
        for (sums, into) in sums.chunks_exact(frames * padded).zip(into.chunks_exact_mut(run)) {
            let into = &mut into[from..from + frames * channels];
            s.run(Finish { norm: layer.norm.as_ref(), sums, padded, channels, into });
        }
    }
}

/// Pointwise mutual information of the latents with what the last K contexts expected.
fn score<S: Simd>(s: S, network: &Network, memories: &[Vec<f32>], room: &mut Room, hops: &mut Hops) {
    let (streams, heads, h, d) = (memories.len(), network.heads.len(), network.context, network.latent());
    let past = sized(&mut room.contexts, streams * heads * h);
    for (past, memory) in past.chunks_exact_mut(heads * h).zip(memories) {
        past.copy_from_slice(&memory[network.map.contexts.clone()]);
    }
    let padded = network.heads.first().map_or(0, Panels::padded);
    let predictions = sized(&mut room.predictions, heads * streams * padded);
    for (i, head) in network.heads.iter().enumerate() {
        let rows = Rows::plain(streams, heads * h);
        let past = past.get((heads - 1 - i) * h..).unwrap_or_default();
        let sums = &mut predictions[i * streams * padded..(i + 1) * streams * padded];
        multiply(s, head, (past, rows), &[], sums, &mut room.packing);
    }
    let (count, negatives) = (network.bank.padded(), network.bank.cols());
    let logits = sized(&mut room.sums, heads * streams * count);
    let rows = Rows::plain(heads * streams, padded);
    multiply(s, &network.bank, (predictions, rows), &[], logits, &mut room.packing);
    let chance = (negatives as f32).ln();
    let pmi = sized(&mut hops.pmi, streams * heads);
    let rows = predictions.chunks_exact(padded).zip(logits.chunks_exact(count)).enumerate();
    for (row, (prediction, logits)) in rows {
        let (head, stream) = (row / streams, row % streams);
        let truth = &hops.latents[stream * d..(stream + 1) * d];
        let missing = memories[stream][network.map.missing.clone()][heads - 1 - head];
        let (positive, against) = s.run(Compare { prediction, truth, logits: &logits[..negatives] });
        pmi[stream * heads + head] = positive - (against - chance) + missing;
    }
}

/// The contexts of the hop, which become the newest of those that are kept.
fn recur<S: Simd>(s: S, network: &Network, memories: &mut [Vec<f32>], room: &mut Room, hops: &mut Hops) {
    let (streams, map) = (memories.len(), &network.map);
    let [hidden, below] = &mut room.hidden;
    for (i, (cell, place)) in network.cells.iter().zip(&map.hidden).enumerate() {
        std::mem::swap(hidden, below);
        let (inputs, h) = (cell.input.depth(), place.len());
        let own = sized(hidden, streams * h);
        for (own, memory) in own.chunks_exact_mut(h).zip(memories.iter()) {
            own.copy_from_slice(&memory[place.clone()]);
        }
        let padded = cell.input.padded();
        let from_hidden = sized(&mut room.hidden_sums, streams * padded);
        let from_input = sized(&mut room.sums, streams * padded);
        let xs = if i == 0 { &hops.latents[..] } else { &below[..] };
        let (packing, rows) = (&mut room.packing, |width| Rows::plain(streams, width));
        multiply(s, &cell.input, (xs, rows(inputs)), &cell.input_bias, from_input, packing);
        multiply(s, &cell.hidden, (own, rows(h)), &cell.hidden_bias, from_hidden, packing);
        let sums = from_input.chunks_exact(padded).zip(from_hidden.chunks_exact(padded));
        for (hidden, (from_input, from_hidden)) in own.chunks_exact_mut(h).zip(sums) {
            s.run(Recur { from_input, from_hidden, hidden });
        }
        for (own, memory) in own.chunks_exact(h).zip(memories.iter_mut()) {
            memory[place.clone()].copy_from_slice(own);
        }
    }
    let h = network.context;
    let contexts = sized(&mut hops.contexts, streams * h);
    contexts.copy_from_slice(&hidden[..streams * h]);
    for (memory, newest) in memories.iter_mut().zip(contexts.chunks_exact(h)) {
        push(&mut memory[map.contexts.clone()], newest);
        push(&mut memory[map.missing.clone()], &[0.0]);
    }
}

/// Drops the oldest numbers for as many new ones.
fn push(numbers: &mut [f32], newest: &[f32]) {
    if let Some(kept) = numbers.len().checked_sub(newest.len()) {
        numbers.copy_within(newest.len().., 0);
        numbers[kept..].copy_from_slice(newest);
    }
}
