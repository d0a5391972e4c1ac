//! A published model without heads gives features; `train --heads-only` makes the rest, and leaves it as it is.

use std::time::Duration;

use crate::support::daemon::{lab, run};
use crate::support::sound::{teachable, write_wav};
use candle_core::Device;
use cpc_stream::internal::model::read;

const LIMIT: Duration = Duration::from_secs(240);
const SETTINGS: &str = "\
batch = 4
anchors = 8
hold_out = 0.2
validate_every = 4
validate_windows = 4
horizons = 6
";

#[test]
fn heads_and_negatives_are_made_and_nothing_else_changes() {
    let home = tempfile::tempdir().unwrap();
    let corpus = home.path().join("corpus");
    std::fs::create_dir(&corpus).unwrap();
    for number in 0..8 {
        write_wav(&corpus.join(format!("{number:02}.wav")), &teachable(number), 16_000);
    }
    std::fs::write(home.path().join("small.toml"), SETTINGS).unwrap();
    let fixture = std::env::current_dir().unwrap().join("tests/fixtures/cpc_audio/lstm_hub/checkpoint.pt");
    let import =
        lab(home.path(), &["import", fixture.to_str().unwrap(), "--out", "features.safetensors"], LIMIT);
    assert_eq!(import.code, Some(0), "{}", import.stderr);

    let listen = ["--model", "features.safetensors", "--input", "corpus/00.wav", "--fast"];
    let refused = run(home.path(), &listen, LIMIT);
    assert_eq!(refused.code, Some(4), "{}", refused.stdout);
    assert!(refused.stderr.contains("train --heads-only"), "{}", refused.stderr);

    let train = ["train", "--heads-only", "--init", "features.safetensors", "--data", "corpus"];
    let more = ["--out", "full.safetensors", "--config", "small.toml", "--steps", "8"];
    let trained = lab(home.path(), &[train.as_slice(), &more].concat(), LIMIT);
    assert_eq!(trained.code, Some(0), "{}\n{}", trained.stdout, trained.stderr);

    let (_, before) = read(&home.path().join("features.safetensors"), &Device::Cpu).unwrap();
    let (manifest, after) = read(&home.path().join("full.safetensors"), &Device::Cpu).unwrap();
    assert_eq!((manifest.architecture.horizons(), manifest.bank), (6, 64));
    for (name, tensor) in &before {
        let values = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(tensor), values(&after[name]), "{name} changed");
    }
    let listen = ["--model", "full.safetensors", "--input", "corpus/00.wav", "--fast"];
    let heard = run(home.path(), &listen, LIMIT);
    assert_eq!(heard.code, Some(0), "{}", heard.stderr);
    assert!(heard.stderr.contains("96000 samples scored"), "{}", heard.stderr);
}
