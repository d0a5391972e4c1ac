//! Hops of some streams: one of each, or as many in a row.
//!
//! Convolutions, heads and negatives take the hops of a stream as further rows of their products. Only the recurrence goes
//! hop by hop, with the product of its input made for all of them at once.

use super::bands::{FftScratch, normalise};
use super::math::{GruGates, NormRelu, ScoreTerms};
use super::network::PackedNetwork;
use super::pack::Packing;
use super::packed_weights::PackedWeights;
use super::product::{RowLayout, multiply, multiply_then};
use super::simd::Simd;
use crate::error::Result;
use crate::kernels::Hops;
use crate::units::HOP;

/// Buffers for the intermediate results of a hop; they grow to the largest number of streams seen.
#[derive(Debug)]
pub(super) struct Scratch {
    packing: Packing,
    spectrum: FftScratch,
    /// For each layer the block before the hop and those of the hop, stream after stream.
    inputs: Vec<Vec<f32>>,
    /// Result of a matrix product.
    sums: Vec<f32>,
    /// Result of the product with h.
    hidden_sums: Vec<f32>,
    /// h of one layer before a hop.
    hidden: Vec<f32>,
    /// h of one layer after each hop, and of the layer below it, stream after stream.
    outputs: [Vec<f32>; 2],
    /// The last K contexts and those of the hops, stream after stream.
    contexts: Vec<f32>,
    /// The prediction of each head for each stream.
    predictions: Vec<f32>,
}

impl Scratch {
    pub(super) fn new(network: &PackedNetwork) -> Self {
        Self {
            packing: Packing::default(),
            spectrum: network.bands.spectrum(),
            inputs: vec![Vec::new(); network.layers.len()],
            sums: Vec::new(),
            hidden_sums: Vec::new(),
            hidden: Vec::new(),
            outputs: [Vec::new(), Vec::new()],
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

/// Clears the results of an earlier hop.
pub(super) fn clear(hops: &mut Hops) {
    for numbers in [&mut hops.pmi, &mut hops.latents, &mut hops.contexts, &mut hops.bands] {
        numbers.clear();
    }
}

/// Steps the streams with these memories by hops of `samples`, 160 a hop and as many hops a stream as there are; the
/// results are appended to `hops`, which is empty, stream after stream.
///
/// # Errors
/// When the lengths do not fit.
pub(super) fn step<S: Simd>(
    s: S,
    network: &PackedNetwork,
    memories: &mut [Vec<f32>],
    samples: &[f32],
    scratch: &mut Scratch,
    hops: &mut Hops,
) -> Result<()> {
    if memories.is_empty() {
        return Ok(());
    }
    let each = samples.len() / (memories.len() * HOP);
    features(network, (memories, each), samples, scratch, hops)?;
    encode(s, network, (memories, each), scratch, hops);
    gru(s, network, (memories, each), scratch, hops);
    score(s, network, (memories, each), scratch, hops);
    store_contexts(network, (memories, each), &scratch.contexts);
    Ok(())
}

/// Bands of the hops, and the input of the first layer.
fn features(
    network: &PackedNetwork,
    (memories, each): (&mut [Vec<f32>], usize),
    samples: &[f32],
    scratch: &mut Scratch,
    hops: &mut Hops,
) -> Result<()> {
    let (map, count) = (&network.map, network.bands.count());
    for (layer, input) in network.layers.iter().zip(&mut scratch.inputs) {
        sized(input, memories.len() * (each * layer.frames + 1) * layer.block);
    }
    let (Some(first), Some(input)) = (network.layers.first(), scratch.inputs.first_mut()) else {
        return Ok(());
    };
    let hop = first.frames * first.block;
    let input = input.chunks_exact_mut(each * hop + first.block);
    let bands = sized(&mut hops.bands, memories.len() * each * count).chunks_exact_mut(each * count);
    for (((memory, samples), bands), input) in
        memories.iter_mut().zip(samples.chunks_exact(each * HOP)).zip(bands).zip(input)
    {
        let input = input[first.block..].chunks_exact_mut(hop);
        for ((samples, bands), input) in
            samples.chunks_exact(HOP).zip(bands.chunks_exact_mut(count)).zip(input)
        {
            network.bands.compute(&memory[map.sound.clone()], samples, &mut scratch.spectrum, bands)?;
            let sound = &mut memory[map.sound.clone()];
            sound.copy_within(HOP.., 0);
            let newest = sound.len() - HOP;
            sound[newest..].copy_from_slice(samples);
            match network.site {
                Some(least) => normalise(least, bands, &mut memory[map.site.clone()], input),
                None => input.copy_from_slice(samples),
            }
        }
    }
    Ok(())
}

/// The latents of the hops.
fn encode<S: Simd>(
    s: S,
    network: &PackedNetwork,
    (memories, each): (&mut [Vec<f32>], usize),
    scratch: &mut Scratch,
    hops: &mut Hops,
) {
    let streams = memories.len();
    let mut inputs = scratch.inputs.iter_mut().zip(&network.map.blocks).peekable();
    for (i, layer) in network.layers.iter().enumerate() {
        let Some((input, place)) = inputs.next() else { return };
        let (frames, frame_step) = (each * layer.frames, layer.block);
        let run = (frames + 1) * layer.block;
        for (memory, input) in memories.iter_mut().zip(input.chunks_exact_mut(run)) {
            let block = &mut memory[place.clone()];
            input[..layer.block].copy_from_slice(block);
            block.copy_from_slice(&input[frames * layer.block..]);
        }
        let rows = RowLayout { count: streams * frames, frames, frame_step, stream_step: run };
        let (padded, channels) = (layer.weights.padded(), layer.weights.cols());
        // a frame becomes a frame of the next layer's input, after its past block, or a latent
        let (into, run, past) = match (network.layers.get(i + 1), inputs.peek_mut()) {
            (Some(next), Some((input, _))) => {
                (&mut input[..], (each * next.frames + 1) * next.block, next.block)
            }
            _ => (sized(&mut hops.latents, streams * frames * channels), frames * channels, 0),
        };
        let (inputs, packing) = ((&input[..], rows), &mut scratch.packing);
        multiply_then(s, &layer.weights, inputs, &mut scratch.sums, packing, |from, sums| {
            for (row, sums) in (from..).zip(sums.chunks_exact(padded)) {
                let at = row / frames * run + past + row % frames * channels;
                let into = &mut into[at..at + channels];
                s.run(NormRelu { norm: layer.norm.as_ref(), frame: &sums[..channels], into });
            }
        });
    }
}

/// The contexts of the hops, appended to the last K contexts.
fn gru<S: Simd>(
    s: S,
    network: &PackedNetwork,
    (memories, each): (&mut [Vec<f32>], usize),
    scratch: &mut Scratch,
    hops: &mut Hops,
) {
    let (streams, map) = (memories.len(), &network.map);
    let [outputs, below] = &mut scratch.outputs;
    for (i, (cell, place)) in network.cells.iter().zip(&map.hidden).enumerate() {
        std::mem::swap(outputs, below);
        let (inputs, h) = (cell.input.depth(), place.len());
        let padded = cell.input.padded();
        let from_input = sized(&mut scratch.sums, streams * each * padded);
        let xs = if i == 0 { &hops.latents[..] } else { &below[..] };
        let packing = &mut scratch.packing;
        let rows = RowLayout::plain(streams * each, inputs);
        multiply(s, &cell.input, (xs, rows), from_input, packing);
        let outputs = sized(outputs, streams * each * h);
        let hidden = sized(&mut scratch.hidden, streams * h);
        for (hidden, memory) in hidden.chunks_exact_mut(h).zip(memories.iter()) {
            hidden.copy_from_slice(&memory[place.clone()]);
        }
        let from_hidden = sized(&mut scratch.hidden_sums, streams * padded);
        for hop in 0..each {
            let rows = RowLayout::plain(streams, h);
            multiply(s, &cell.hidden, (hidden, rows), from_hidden, packing);
            let sums = from_input.chunks_exact(padded).skip(hop).step_by(each);
            let into = outputs.chunks_exact_mut(h).skip(hop).step_by(each);
            let states = hidden.chunks_exact_mut(h).zip(into);
            for (((hidden, into), from_input), from_hidden) in
                states.zip(sums).zip(from_hidden.chunks_exact(padded))
            {
                s.run(GruGates { from_input, from_hidden, hidden });
                into.copy_from_slice(hidden);
            }
        }
        for (hidden, memory) in hidden.chunks_exact(h).zip(memories.iter_mut()) {
            memory[place.clone()].copy_from_slice(hidden);
        }
    }
    let (h, kept) = (network.context, network.heads.len() * network.context);
    let new = &outputs[..streams * each * h];
    sized(&mut hops.contexts, new.len()).copy_from_slice(new);
    let contexts = sized(&mut scratch.contexts, streams * (kept + each * h));
    for ((contexts, memory), new) in
        contexts.chunks_exact_mut(kept + each * h).zip(memories.iter()).zip(new.chunks_exact(each * h))
    {
        contexts[..kept].copy_from_slice(&memory[map.contexts.clone()]);
        contexts[kept..].copy_from_slice(new);
    }
}

/// Stores the last K contexts in the memories.
fn store_contexts(network: &PackedNetwork, (memories, each): (&mut [Vec<f32>], usize), contexts: &[f32]) {
    let contexts = contexts.chunks_exact((network.heads.len() + each) * network.context);
    for (memory, contexts) in memories.iter_mut().zip(contexts) {
        let kept = &mut memory[network.map.contexts.clone()];
        kept.copy_from_slice(&contexts[contexts.len() - kept.len()..]);
        let missing = &mut memory[network.map.missing.clone()];
        let thread_ended = each.min(missing.len());
        missing.copy_within(thread_ended.., 0);
        let real = missing.len() - thread_ended;
        missing[real..].fill(0.0);
    }
}

/// Pointwise mutual information of each latent with the predictions of the K contexts before it.
fn score<S: Simd>(
    s: S,
    network: &PackedNetwork,
    (memories, each): (&[Vec<f32>], usize),
    scratch: &mut Scratch,
    hops: &mut Hops,
) {
    let (heads, h, d) = (network.heads.len(), network.context, network.latent());
    let count = memories.len() * each;
    let padded = network.heads.first().map_or(0, PackedWeights::padded);
    let predictions = sized(&mut scratch.predictions, heads * count * padded);
    for (i, head) in network.heads.iter().enumerate() {
        let rows = RowLayout { count, frames: each, frame_step: h, stream_step: (heads + each) * h };
        let past = scratch.contexts.get((heads - 1 - i) * h..).unwrap_or_default();
        let sums = &mut predictions[i * count * padded..(i + 1) * count * padded];
        multiply(s, head, (past, rows), sums, &mut scratch.packing);
    }
    let (width, negatives) = (network.bank.padded(), network.bank.cols());
    let logits = sized(&mut scratch.sums, heads * count * width);
    let rows = RowLayout::plain(heads * count, padded);
    multiply(s, &network.bank, (predictions, rows), logits, &mut scratch.packing);
    let chance = (negatives as f32).ln();
    let pmi = sized(&mut hops.pmi, count * heads);
    let rows = predictions.chunks_exact(padded).zip(logits.chunks_exact(width)).enumerate();
    for (row, (prediction, logits)) in rows {
        let (head, hop) = (row / count, row % count);
        let truth = &hops.latents[hop * d..(hop + 1) * d];
        // the contexts of the hops themselves are real
        let missing = &memories[hop / each][network.map.missing.clone()];
        let missing = missing.get(heads - 1 - head + hop % each).copied().unwrap_or(0.0);
        let (positive, against) = s.run(ScoreTerms { prediction, truth, logits: &logits[..negatives] });
        pmi[hop * heads + head] = positive - (against - chance) + missing;
    }
}
