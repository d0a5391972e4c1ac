//! What PyTorch computed: arrays of NumPy, and the sound they were computed from.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

/// The folder of the checkpoints and arrays of case `name`; the first case has none of its own.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cpc_audio").join(name)
}

/// A little-endian f32 array as NumPy writes it, in either order.
pub fn array(path: &Path) -> Tensor {
    let bytes = std::fs::read(path).unwrap();
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'<f4'"), "{header}");
    let shape = header.split('(').nth(1).unwrap().split(')').next().unwrap();
    let mut shape: Vec<usize> = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let values: Vec<f32> =
        bytes[end..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    if header.contains("'fortran_order': True") {
        shape.reverse();
        let backwards: Vec<usize> = (0..shape.len()).rev().collect();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        return tensor.permute(backwards).unwrap().contiguous().unwrap();
    }
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The sound that the arrays were computed from, `[1, samples]`.
pub fn input() -> Tensor {
    let samples: Vec<f32> = hound::WavReader::open(folder("").join("input.wav"))
        .unwrap()
        .samples::<i16>()
        .map(|s| f32::from(s.unwrap()) / 32768.0)
        .collect();
    Tensor::from_slice(&samples, (1, samples.len()), &Device::Cpu).unwrap()
}

/// max |a - b| of tensors of one shape.
pub fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let d = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    d.into_iter().fold(0.0, |m, x| if x.is_finite() { m.max(x) } else { f32::INFINITY })
}
