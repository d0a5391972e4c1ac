//! A few steps on a small corpus teach the model something; what it says of itself can be measured again.

use std::path::Path;
use std::time::Duration;

use crate::support::daemon::{lab, run};
use crate::support::sound::{teachable, write_wav};
use candle_core::Device;
use cpc_stream::internal::model::{Figures, load};

const LIMIT: Duration = Duration::from_secs(240);
/// Nats below ln(N + 1); 0.48 was measured.
const MARGIN: f64 = 0.2;
const SETTINGS: &str = "\
architecture = \"spectral\"
batch = 4
anchors = 24
learning_rate = 3e-3
warm_up = 0.1
gain_db = [-6.0, 6.0]
hold_out = 0.2
validate_every = 30
validate_windows = 8
[negatives]
cross = 256
foreign = 0
[augment]
reverb = 0.0
noise = 0.0
band_reject = 0.0
dropout = 0.0
clip = 0.0
microphone_db = 0.0
";

fn succeed(home: &Path, arguments: &[&str]) -> String {
    let outcome = lab(home, arguments, LIMIT);
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
    outcome.stdout
}

#[test]
fn a_small_run_beats_guessing_and_its_figures_can_be_measured_again() {
    let home = tempfile::tempdir().unwrap();
    let corpus = home.path().join("corpus");
    std::fs::create_dir(&corpus).unwrap();
    for number in 0..12 {
        write_wav(&corpus.join(format!("{number:02}.wav")), &teachable(number), 16_000);
    }
    std::fs::write(home.path().join("small.toml"), SETTINGS).unwrap();
    let train = ["train", "--data", "corpus", "--out", "small.safetensors", "--config", "small.toml"];
    print!("{}", succeed(home.path(), &[train.as_slice(), &["--steps", "60", "--name", "small"]].concat()));

    let (manifest, model) = load(&home.path().join("small.safetensors"), &Device::Cpu).unwrap();
    assert!(model.scores(), "it has a bank of negatives");
    assert_eq!((manifest.name.as_str(), manifest.training.steps), ("small", 60));
    let figures = &manifest.training.validation;
    let chance = ((figures.negatives + 1) as f64).ln();
    assert!((figures.chance_loss - chance).abs() < 1e-3, "{} is not ln(N + 1)", figures.chance_loss);
    println!("validation loss {:.4} of {chance:.4}, accuracy {:.4}", figures.loss, figures.accuracy);
    assert!(figures.loss < chance - MARGIN, "loss {} of {chance}: nothing was learnt", figures.loss);
    assert!(figures.accuracy > figures.chance_accuracy, "accuracy {}", figures.accuracy);

    let eval = ["eval", "infonce", "--data", "corpus", "--model", "small.safetensors", "--json"];
    let mut again: serde_json::Value = serde_json::from_str(&succeed(home.path(), &eval)).unwrap();
    let kinds = again.as_object_mut().unwrap().remove("kinds").unwrap();
    let again: Figures = serde_json::from_value(again).unwrap();
    let kinds: Vec<&str> = kinds.as_array().unwrap().iter().map(|k| k["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["same window", "other recordings", "queue", "foreign mix"]);
    assert_eq!(&again, figures, "the manifest states what cannot be measured again");

    let listen = ["--model", "small.safetensors", "--input", "corpus/00.wav", "--fast"];
    let outcome = run(home.path(), &listen, LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("96000 samples scored"), "{}", outcome.stderr);
}
