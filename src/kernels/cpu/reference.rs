//! A plan step by step as its formulas say, and random plans: what kernels are compared with.

use std::f64::consts::TAU;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::kernels::{Convolution, Hops, Matrix, Norm, Plan, Recurrence};
use crate::units::HOP;

/// What a random plan looks like.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Strides and widths of the convolutions; on bands all strides are 1.
    pub(super) channels: Vec<usize>,
    pub(super) hidden: Vec<usize>,
    pub(super) horizons: usize,
    pub(super) negatives: usize,
    pub(super) normed: bool,
    pub(super) site: Option<f32>,
}

impl Shape {
    /// Five convolutions on samples.
    pub(super) fn raw(channels: [usize; 5], hidden: &[usize]) -> Self {
        Self {
            channels: channels.to_vec(),
            hidden: hidden.to_vec(),
            horizons: 4,
            negatives: 37,
            normed: true,
            site: None,
        }
    }

    /// Convolutions on bands.
    pub(super) fn spectral(channels: &[usize], hidden: &[usize], site: f32) -> Self {
        Self { channels: channels.to_vec(), site: Some(site), ..Self::raw([1; 5], hidden) }
    }
}

fn numbers(rng: &mut impl Rng, count: usize, bound: f32) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-bound..bound)).collect()
}

fn matrix(rng: &mut impl Rng, rows: usize, cols: usize, gain: f32) -> Matrix {
    Matrix { rows, cols, data: numbers(rng, rows * cols, gain * (3.0 / rows as f32).sqrt()) }
}

fn filterbank(bands: usize) -> (Matrix, Matrix) {
    let (bins, samples) = (201, 400);
    let row = |n: usize| {
        let hann = 0.5 - 0.5 * (TAU * n as f64 / samples as f64).cos();
        let angle = move |f: usize| TAU * (n * f) as f64 / samples as f64;
        let cosines = (0..bins).map(move |f| (hann * angle(f).cos()) as f32);
        cosines.chain((0..bins).map(move |f| (hann * angle(f).sin()) as f32))
    };
    let silent = std::iter::repeat_n(0.0, 80 * 2 * bins);
    let fourier = silent.chain((0..samples).flat_map(row)).collect();
    let mel = (0..bins).flat_map(|f| {
        (0..bands).map(move |b| (1.0 - (f as f32 - 3.0 * (b + 1) as f32).abs() / 3.0).max(0.0))
    });
    (
        Matrix { rows: 480, cols: 2 * bins, data: fourier },
        Matrix { rows: bins, cols: bands, data: mel.collect() },
    )
}

/// A plan with random weights.
pub(super) fn random_plan(shape: &Shape, seed: u64) -> Plan {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let (fourier, mel) = filterbank(64);
    let strides = if shape.site.is_some() { vec![1; shape.channels.len()] } else { vec![5, 4, 2, 2, 2] };
    let (mut c_in, mut frames) = if shape.site.is_some() { (64, 1) } else { (1, HOP) };
    let mut convolutions = Vec::new();
    for (&c_out, stride) in shape.channels.iter().zip(strides) {
        frames /= stride;
        let norm = Norm { gain: numbers(rng, c_out, 1.5), bias: numbers(rng, c_out, 0.5) };
        convolutions.push(Convolution {
            past: matrix(rng, stride * c_in, c_out, 1.0),
            now: matrix(rng, stride * c_in, c_out, 1.0),
            bias: numbers(rng, c_out, 0.1),
            norm: shape.normed.then_some(norm),
            frames,
        });
        c_in = c_out;
    }
    let latent = c_in;
    let mut recurrences = Vec::new();
    for &h in &shape.hidden {
        recurrences.push(Recurrence {
            input: matrix(rng, c_in, 3 * h, 1.0),
            hidden: matrix(rng, h, 3 * h, 1.0),
            input_bias: numbers(rng, 3 * h, 0.1),
            hidden_bias: numbers(rng, 3 * h, 0.1),
        });
        c_in = h;
    }
    let heads = (0..shape.horizons).map(|_| matrix(rng, c_in, latent, 1.0)).collect();
    let bank = matrix(rng, latent, shape.negatives, 1.0);
    let mut plan =
        Plan { fourier, mel, site: shape.site, convolutions, recurrences, heads, bank, fresh: Vec::new() };
    let map = plan.memory();
    plan.fresh = vec![0.0; map.len];
    plan.fresh[map.missing.clone()].fill(f32::NAN);
    if !map.site.is_empty() {
        let site = &mut plan.fresh[map.site.clone()];
        site[..64].copy_from_slice(&numbers(rng, 64, 3.0));
        site[64..128].iter_mut().for_each(|variance| *variance = rng.random_range(1.0..9.0));
        site[128] = 200.0;
    }
    plan
}

fn product(xs: &[f32], weights: &Matrix, into: &mut [f64]) {
    for (x, row) in xs.iter().zip(weights.data.chunks_exact(weights.cols)) {
        for (sum, weight) in into.iter_mut().zip(row) {
            *sum += f64::from(*x) * f64::from(*weight);
        }
    }
}

fn wide(xs: &[f32]) -> Vec<f64> {
    xs.iter().map(|x| f64::from(*x)).collect()
}

fn narrow(xs: impl IntoIterator<Item = f64>) -> Vec<f32> {
    xs.into_iter().map(|x| x as f32).collect()
}

fn convolve(layer: &Convolution, memory: &mut [f32], input: &[f32]) -> Vec<f32> {
    let mut output = Vec::new();
    for block in input.chunks_exact(memory.len()) {
        let mut frame = wide(&layer.bias);
        product(memory, &layer.past, &mut frame);
        product(block, &layer.now, &mut frame);
        if let Some(norm) = &layer.norm {
            let mean = frame.iter().sum::<f64>() / frame.len() as f64;
            let squares: f64 = frame.iter().map(|x| (x - mean).powi(2)).sum();
            let deviation = (squares / (frame.len() as f64 - 1.0) + 1e-5).sqrt();
            for (i, x) in frame.iter_mut().enumerate() {
                *x = (*x - mean) / deviation * f64::from(norm.gain[i]) + f64::from(norm.bias[i]);
            }
        }
        output.extend(narrow(frame.into_iter().map(|x| x.max(0.0))));
        memory.copy_from_slice(block);
    }
    output
}

fn bands_of(plan: &Plan, received: &[f32]) -> Vec<f32> {
    let (bins, mut spectrum) = (plan.mel.rows, vec![0.0; plan.fourier.cols]);
    product(received, &plan.fourier, &mut spectrum);
    let power = narrow((0..bins).map(|f| spectrum[f].powi(2) + spectrum[bins + f].powi(2)));
    let mut bands = vec![1e-6; plan.mel.cols];
    product(&power, &plan.mel, &mut bands);
    narrow(bands.into_iter().map(f64::ln))
}

fn running_norm(least: f32, bands: &[f32], site: &mut [f32]) -> Vec<f32> {
    let (count, most) = (bands.len(), 1.0 / f64::from(least));
    let received = (f64::from(site[2 * count]) + 1.0).min(most);
    let mut output = Vec::new();
    for (b, x) in wide(bands).into_iter().enumerate() {
        let (mean, variance) = (f64::from(site[b]), f64::from(site[count + b]));
        if least == 0.0 {
            output.push((x - mean) / variance.sqrt());
            continue;
        }
        let (off, weight) = (x - mean, 1.0 / received);
        let (mean, variance) = (mean + off * weight, (variance + off * off * weight) * (1.0 - weight));
        (site[b], site[count + b]) = (mean as f32, variance as f32);
        output.push((x - mean) / (variance + 1e-4).sqrt());
    }
    if least != 0.0 {
        site[2 * count] = received as f32;
    }
    narrow(output)
}

fn gru(cell: &Recurrence, xs: &[f32], memory: &mut [f32]) -> Vec<f32> {
    let (mut from_input, mut from_hidden) = (wide(&cell.input_bias), wide(&cell.hidden_bias));
    product(xs, &cell.input, &mut from_input);
    product(memory, &cell.hidden, &mut from_hidden);
    let (h, sigmoid) = (memory.len(), |x: f64| 1.0 / (1.0 + (-x).exp()));
    for (i, old) in memory.iter_mut().enumerate() {
        let reset = sigmoid(from_input[i] + from_hidden[i]);
        let update = sigmoid(from_input[h + i] + from_hidden[h + i]);
        let new = (from_input[2 * h + i] + reset * from_hidden[2 * h + i]).tanh();
        *old = ((1.0 - update) * new + update * f64::from(*old)) as f32;
    }
    memory.to_vec()
}

/// Steps the stream with this memory by one hop; what comes of it is appended.
pub(super) fn reference_step(plan: &Plan, memory: &mut [f32], samples: &[f32], hops: &mut Hops) {
    let map = plan.memory();
    let received = [&memory[map.sound.clone()], samples].concat();
    let bands = bands_of(plan, &received);
    memory[map.sound].copy_from_slice(&received[HOP..]);
    let mut xs =
        plan.site.map_or(samples.to_vec(), |least| running_norm(least, &bands, &mut memory[map.site]));
    for (layer, block) in plan.convolutions.iter().zip(map.blocks) {
        xs = convolve(layer, &mut memory[block], &xs);
    }
    let (heads, h) = (plan.horizons(), plan.context());
    let mut pmi = Vec::new();
    for (i, head) in plan.heads.iter().enumerate() {
        let context = &memory[map.contexts.clone()][(heads - 1 - i) * h..][..h];
        let mut prediction = vec![0.0; plan.latent()];
        product(context, head, &mut prediction);
        let positive: f64 = prediction.iter().zip(&xs).map(|(p, z)| p * f64::from(*z)).sum();
        let mut logits = vec![0.0; plan.bank.cols];
        product(&narrow(prediction), &plan.bank, &mut logits);
        let mean = logits.iter().map(|l| l.exp()).sum::<f64>() / logits.len() as f64;
        pmi.push((positive - mean.ln()) as f32 + memory[map.missing.clone()][heads - 1 - i]);
    }
    hops.pmi.extend(pmi);
    hops.latents.extend(&xs);
    hops.bands.extend(bands);
    for (cell, hidden) in plan.recurrences.iter().zip(map.hidden) {
        xs = gru(cell, &xs, &mut memory[hidden]);
    }
    memory[map.contexts.clone()].rotate_left(h);
    memory[map.contexts.end - h..map.contexts.end].copy_from_slice(&xs);
    memory[map.missing.clone()].rotate_left(1);
    memory[map.missing.end - 1] = 0.0;
    hops.contexts.extend(xs);
}
