//! z and c are what PyTorch computes with the same weights (a CPC_audio checkpoint, its own padding).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::path::Path;

use candle_core::pickle::PthTensors;
use candle_core::{Device, Tensor};
use cpc_stream::context::ContextConfig;
use cpc_stream::encode::{EncoderConfig, Normalisation, Padding};
use cpc_stream::model::{Architecture, Cpc};
use cpc_stream::nn::Tensors;
use cpc_stream::predict::HeadsConfig;

const FOLDER: &str = "tests/fixtures/cpc_audio";

fn weights() -> Tensors {
    let path = Path::new(FOLDER).join("checkpoint.pt");
    let network = PthTensors::new(&path, Some("gEncoder")).unwrap();
    let heads = PthTensors::new(&path, Some("cpcCriterion")).unwrap();
    let get = |file: &PthTensors, name: &str| file.get(name).unwrap().unwrap_or_else(|| panic!("no {name}"));
    let mut tensors = Tensors::new();
    for i in 0..5 {
        for part in ["weight", "bias"] {
            tensors.insert(
                format!("encoder.conv{i}.{part}"),
                get(&network, &format!("gEncoder.conv{i}.{part}")),
            );
            let norm = get(&network, &format!("gEncoder.batchNorm{i}.{part}"));
            tensors.insert(format!("encoder.norm{i}.{part}"), norm.flatten_all().unwrap());
        }
    }
    for part in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
        tensors.insert(format!("context.gru0.{part}"), get(&network, &format!("gAR.baseNet.{part}_l0")));
    }
    let all: Vec<Tensor> =
        (0..12).map(|k| get(&heads, &format!("wPrediction.predictors.{k}.weight"))).collect();
    tensors.insert("heads.weight".to_owned(), Tensor::stack(&all, 0).unwrap());
    tensors
}

/// A little-endian f32 array as NumPy writes it, in either order.
fn golden(name: &str) -> Tensor {
    let bytes = std::fs::read(Path::new(FOLDER).join(name)).unwrap();
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

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let d = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    d.into_iter().fold(0.0, f32::max)
}

#[test]
fn latents_and_contexts_match_pytorch() {
    let architecture = Architecture {
        encoder: EncoderConfig::Raw { channels: [32; 5], normalisation: Normalisation::Channel },
        context: ContextConfig::Gru { hidden: 32, layers: 1 },
        heads: Some(HeadsConfig { horizons: 12, scale: 1.0 / 32.0, hidden: None }),
    };
    let cpc = Cpc::load(&weights(), &architecture).unwrap();
    let samples: Vec<f32> = hound::WavReader::open(Path::new(FOLDER).join("input.wav"))
        .unwrap()
        .samples::<i16>()
        .map(|s| f32::from(s.unwrap()) / 32768.0)
        .collect();
    let samples = Tensor::from_slice(&samples, (1, samples.len()), &Device::Cpu).unwrap();
    let (z, c) = cpc.features(&samples, Padding::FbExact).unwrap();
    let (dz, dc) = (
        largest_difference(&z.squeeze(0).unwrap(), &golden("z.npy")),
        largest_difference(&c.squeeze(0).unwrap(), &golden("c.npy")),
    );
    assert!(dz <= 1e-4 && dc <= 1e-4, "z differs by {dz}, c by {dc}");
    // heads.npy holds W_k, [K, d, h]; a prediction is W_k c
    let context = golden("c.npy").narrow(0, 5, 1).unwrap();
    let found = cpc.heads().unwrap().predict_all(&context.unsqueeze(0).unwrap()).unwrap().squeeze(0).unwrap();
    let heads = golden("heads.npy");
    for k in 0..12 {
        let expected =
            context.matmul(&heads.narrow(0, k, 1).unwrap().squeeze(0).unwrap().t().unwrap()).unwrap();
        let expected = (expected / 32.0).unwrap();
        assert!(largest_difference(&found.narrow(0, k, 1).unwrap().squeeze(0).unwrap(), &expected) < 1e-5);
    }
}
