//! Sound for tests: a scene with planted events, at 48 kHz as most devices give it.

use std::path::Path;

use cpc_stream::cli::demo::{Planted, Scene};
use cpc_stream::event::Finding;

/// Rate of [`at_48_khz`], Hz.
pub const RATE: u32 = 48_000;

/// The scene as 16-bit samples at 48 kHz, by linear interpolation.
pub fn at_48_khz(scene: &Scene) -> Vec<i16> {
    let mut out = Vec::with_capacity(3 * scene.samples.len());
    let next = scene.samples.iter().skip(1).chain(scene.samples.last());
    for (&a, &b) in scene.samples.iter().zip(next) {
        out.extend([0.0, 1.0 / 3.0, 2.0 / 3.0].map(|t| ((a + t * (b - a)) * 32_767.0).round() as i16));
    }
    out
}

/// Writes a mono WAV file.
pub fn write_wav(path: &Path, samples: &[i16], rate: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|&x| file.write_sample(x).unwrap());
    file.finalize().unwrap();
}

/// The planted sound called `name`.
pub fn planted<'a>(scene: &'a Scene, name: &str) -> &'a Planted {
    scene.planted.iter().find(|planted| planted.name == name).unwrap()
}

/// Whether the finding begins within half a second of the planted sound.
pub fn is_of(finding: &Finding, planted: &Planted) -> bool {
    (finding.onset_s - planted.onset_s).abs() <= 0.5
}
