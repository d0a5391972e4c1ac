//! Latents and contexts of a sound: `cargo run --release --example embeddings`.
//!
//! Two tones and a noise become embeddings (the mean context of a second each); prints how alike they are.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use cpc_stream::Model;

const RATE: u32 = 16_000;

fn tone(hertz: f32, seconds: u32) -> Vec<f32> {
    (0..seconds * RATE)
        .map(|i| 0.1 * (std::f32::consts::TAU * hertz * i as f32 / RATE as f32).sin())
        .collect()
}

fn noise(seconds: u32) -> Vec<f32> {
    let hashed = |i: u32| i.wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(0x85EB_CA6B);
    (0..seconds * RATE).map(|i| 0.1 * (hashed(i) as f32 / u32::MAX as f32 - 0.5)).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::built_in()?;
    println!(
        "{}: z has {} numbers, c {}, each 10 ms",
        model.name(),
        model.latent_width(),
        model.context_width()
    );
    let mut embeddings = Vec::new();
    for (name, samples) in
        [("tone 440 Hz", tone(440.0, 2)), ("tone 466 Hz", tone(466.0, 2)), ("noise", noise(2))]
    {
        let features = model.encode(&samples, RATE)?;
        let frames = features.frames - 100..features.frames;
        let mut mean = vec![0.0; features.context_width];
        for t in frames {
            mean.iter_mut().zip(features.context(t)).for_each(|(sum, x)| *sum += x / 100.0);
        }
        embeddings.push((name, mean));
    }
    for (name, embedding) in &embeddings {
        let row: Vec<String> =
            embeddings.iter().map(|(_, other)| format!("{:6.3}", cosine(embedding, other))).collect();
        println!("{name:>12} {}", row.join(" "));
    }
    Ok(())
}
