//! The ONNX graphs of a model give its z, c and predictions: over whole clips, and in pieces with the state carried.

use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use cpc_stream::internal::context::ContextConfig;
use cpc_stream::internal::encode::{BandStatistics, EncoderConfig, Normalisation};
use cpc_stream::internal::model::export::{Form, onnx};
use cpc_stream::internal::model::{Architecture, Cpc, DataCard, Manifest, TrainingCard, read_embedded};
use cpc_stream::internal::nn::Tensors;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::daemon::lab;
use crate::support::models::largest;
use crate::support::onnx::{OnnxFile, OnnxGraph};

const HOP: usize = 160;
const BATCH: usize = 2;

/// Small models of every kind of part.
fn kinds() -> Vec<(&'static str, Architecture)> {
    let spectral = |site_seconds| {
        let statistics = BandStatistics { mean: vec![-6.0; 12], deviation: vec![2.5; 12] };
        let encoder = EncoderConfig::Spectral { bands: 12, channels: vec![10, 14], site_seconds, statistics };
        Architecture { encoder, ..Architecture::spectral() }
    };
    let raw = |normalisation| EncoderConfig::Raw { channels: [4, 6, 8, 8, 10], normalisation };
    let with = |encoder, context| Architecture { encoder, context, ..Architecture::edge() };
    let hidden = |mut architecture: Architecture, hidden| {
        architecture.heads.as_mut().unwrap().hidden = hidden;
        architecture
    };
    let headless = |architecture| Architecture { heads: None, ..architecture };
    let (gru, lstm) =
        (ContextConfig::Gru { hidden: 9, layers: 2 }, ContextConfig::Lstm { hidden: 7, layers: 2 });
    vec![
        ("spectral", spectral(0)),
        ("spectral, by the place", spectral(3)),
        ("raw, two layers", with(raw(Normalisation::Channel), gru.clone())),
        ("folded, LSTM, hidden units", hidden(with(raw(Normalisation::Folded), lstm), Some(11))),
        ("without heads", headless(with(raw(Normalisation::Channel), gru))),
    ]
}

fn sound(hops: usize) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(hops as u64);
    let samples: Vec<f32> = (0..BATCH * hops * HOP).map(|_| rng.random_range(-0.3..0.3)).collect();
    Tensor::from_vec(samples, (BATCH, hops * HOP), &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// z, c and, where there are heads, predictions `[batch, frames, K, d]`.
fn expected(cpc: &Cpc, samples: &Tensor) -> Vec<Tensor> {
    let output = cpc.forward(samples).unwrap();
    let heads =
        cpc.heads().map(|heads| heads.predict_all(&output.contexts).unwrap().transpose(1, 2).unwrap());
    [output.latents, output.contexts].into_iter().chain(heads).collect()
}

fn assert_same(what: &str, found: &[Tensor], expected: &[Tensor]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.dims(), expected.dims(), "{what}");
        let worst = largest(&flat(found), &flat(expected));
        assert!(worst < 1e-4, "{what}: {worst}");
    }
}

fn in_pieces(graph: &OnnxGraph, samples: &Tensor, hops: &[usize]) -> Vec<Tensor> {
    let width = *graph.inputs[1].1[1].as_ref().unwrap() as usize;
    let mut state = Tensor::zeros((BATCH, width), DType::F32, &Device::Cpu).unwrap();
    let (mut pieces, mut at) = (Vec::new(), 0);
    for count in hops {
        let piece = samples.narrow(1, at * HOP, count * HOP).unwrap().contiguous().unwrap();
        let mut found = graph.run(&[piece, state]);
        state = found.pop().unwrap();
        pieces.push(found);
        at += count;
    }
    let values = 0..pieces[0].len();
    values
        .map(|i| Tensor::cat(&pieces.iter().map(|piece| &piece[i]).collect::<Vec<_>>(), 1).unwrap())
        .collect()
}

fn check(what: &str, manifest: &Manifest, tensors: &Tensors) {
    let cpc = Cpc::load(tensors, &manifest.architecture).unwrap();
    let [whole, step] =
        [Form::Whole, Form::Step].map(|form| OnnxFile::read(&onnx(manifest, tensors, form).unwrap()));
    for file in [&whole, &step] {
        assert_eq!((file.ir_version, file.opset), (8, 17));
    }
    let names = |graph: &OnnxGraph| -> Vec<String> {
        graph.inputs.iter().chain(&graph.outputs).map(|(name, _)| name.clone()).collect()
    };
    let predictions: &[&str] = if cpc.heads().is_some() { &["predictions"] } else { &[] };
    assert_eq!(names(&whole.graph), [&["samples", "z", "c"], predictions].concat(), "{what}");
    let step_names = [&["samples", "state", "z", "c"], predictions, &["next_state"]].concat();
    assert_eq!(names(&step.graph), step_names, "{what}");
    let samples = sound(8);
    let against = expected(&cpc, &samples);
    for ((_, dims), value) in whole.graph.outputs.iter().zip(&against) {
        let sizes = dims.iter().zip(value.dims());
        assert!(sizes.clone().skip(2).all(|(dim, size)| dim == &Ok(*size as i64)), "{what}: {dims:?}");
        assert_eq!(dims[..2], [Err("batch".to_owned()), Err("frames".to_owned())]);
    }
    assert_same(what, &whole.graph.run(std::slice::from_ref(&samples)), &against);
    let unfilled = samples.pad_with_zeros(1, 0, 3).unwrap();
    assert_same(what, &whole.graph.run(&[unfilled]), &against);
    assert_same(what, &in_pieces(&step.graph, &samples, &[1, 1, 3, 2, 1]), &against);
}

#[test]
fn graphs_of_every_kind_give_what_the_model_gives() {
    for (what, architecture) in kinds() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let vars = Cpc::init(&mut rng, &architecture, &Device::Cpu).unwrap();
        let tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
        let manifest =
            Manifest::new(what, "CC0-1.0", architecture, (DataCard::default(), TrainingCard::default()));
        check(what, &manifest, &tensors);
    }
    let (manifest, tensors) = read_embedded(&Device::Cpu).unwrap();
    check("built in", &manifest, &tensors);
}

#[test]
fn the_program_writes_both_graphs() {
    let home = tempfile::tempdir().unwrap();
    let outcome = lab(home.path(), &["export", "--onnx", "."], Duration::from_secs(60));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let (manifest, tensors) = read_embedded(&Device::Cpu).unwrap();
    for (name, form) in [("cpc-edge.onnx", Form::Whole), ("cpc-edge.step.onnx", Form::Step)] {
        let bytes = std::fs::read(home.path().join(name)).unwrap();
        assert_eq!(bytes, onnx(&manifest, &tensors, form).unwrap(), "{name}");
        let properties = OnnxFile::read(&bytes).properties;
        let listed = ["name", "version", "sample_rate", "hop", "horizons", "licence", "sha256"];
        let expected = [
            "cpc-edge",
            env!("CARGO_PKG_VERSION"),
            "16000",
            "160",
            "1,2,3,4,5,6,7,8,9,10,11,12",
            &manifest.licence,
            &manifest.sha256,
        ];
        assert_eq!(listed.map(|key| properties[key].as_str()), expected);
        assert!(properties["citation"].contains("arXiv:1807.03748"));
    }
}
