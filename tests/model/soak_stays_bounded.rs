//! `eval soak` hears the same sound at the start and at the end, and tells a model that drifts from one that does not.

use std::path::Path;
use std::time::Duration;

use crate::support::daemon::{Outcome, lab};
use crate::support::sound::write_wav;
use candle_core::{Device, Tensor};
use cpc_stream::internal::cli::demo::Scene;
use cpc_stream::internal::context::ContextConfig;
use cpc_stream::internal::encode::{EncoderConfig, Normalisation};
use cpc_stream::internal::eval::soak::{PASSAGE_S, SoakReport, TOLERANCE, soak};
use cpc_stream::internal::model::{Architecture, Cpc, DataCard, Manifest, TrainingCard, embedded, save};
use cpc_stream::internal::nn::Tensors;
use rand::SeedableRng;

const LIMIT: Duration = Duration::from_secs(240);

fn eval(home: &Path, arguments: &[&str]) -> Outcome {
    lab(home, &[&["eval", "soak"], arguments].concat(), LIMIT)
}

fn report(outcome: &Outcome) -> SoakReport {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{}\n{}", outcome.stdout, outcome.stderr))
}

fn random(architecture: &Architecture) -> Tensors {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let vars = Cpc::init(&mut rng, architecture, &Device::Cpu).unwrap();
    vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect()
}

fn keep(path: &Path, tensors: &Tensors, architecture: Architecture) {
    let card = (DataCard::default(), TrainingCard::default());
    let manifest = Manifest::new("drifting", "none", architecture, card);
    save(path, tensors, manifest).unwrap();
}

/// A model whose contexts forget so slowly that they have not settled after ten seconds.
fn drifting(path: &Path) {
    let architecture = Architecture { heads: None, ..Architecture::edge() };
    let mut tensors = random(&architecture);
    let h = architecture.context.width();
    // the second third of the bias is the update gate's: σ(8) of the old context stays, every frame
    let bias: Vec<f32> = (0..3 * h).map(|i| if (h..2 * h).contains(&i) { 8.0 } else { 0.1 }).collect();
    tensors.insert("context.gru0.bias_ih".into(), Tensor::from_vec(bias, 3 * h, &Device::Cpu).unwrap());
    keep(path, &tensors, architecture);
}

#[test]
fn the_built_in_model_is_bounded_and_a_table_says_so() {
    let home = tempfile::tempdir().unwrap();
    let outcome = eval(home.path(), &["--seconds", "60"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let starts: Vec<&str> = outcome.stdout.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert!(starts.contains(&"10") && starts.contains(&"50"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("bounded"), "{}", outcome.stdout);

    let found = report(&eval(home.path(), &["--seconds", "60", "--json"]));
    assert!(found.bounded && found.change <= TOLERANCE);
    assert_eq!((found.seconds, found.rows.len()), (60.0, 2));
    assert_eq!((found.rows[0].at_s, found.rows[1].at_s), (10.0, 50.0));
    for row in &found.rows {
        for [p10, p50, p90, max] in [row.norm.all(), row.peak.all()] {
            assert!(0.0 < p10 && p10 <= p50 && p50 <= p90 && p90 <= max, "{row:?}");
        }
        assert!(row.norm.max <= found.norm_max && row.peak.max <= found.peak_max);
    }
}

#[test]
fn a_model_that_drifts_is_told() {
    let home = tempfile::tempdir().unwrap();
    drifting(&home.path().join("d.safetensors"));
    let outcome = eval(home.path(), &["--seconds", "60", "--model", "d.safetensors"]);
    assert_eq!(outcome.code, Some(4), "{}\n{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stderr.contains("drift") && outcome.stderr.contains("fix:"), "{}", outcome.stderr);
    assert!(outcome.stdout.lines().any(|line| line.trim_start().starts_with("50 ")), "{}", outcome.stdout);
    let found = report(&eval(home.path(), &["--seconds", "60", "--model", "d.safetensors", "--json"]));
    assert!(!found.bounded && found.change > TOLERANCE);
}

#[test]
fn recordings_go_round_and_the_passage_is_their_beginning() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("sound");
    std::fs::create_dir(&folder).unwrap();
    let scene = Scene::machine_room(/* quiet_s */ 4.0, /* spacing_s */ 3.0, 5).unwrap();
    let samples: Vec<i16> = scene.samples.iter().map(|x| (x * 32_767.0).round() as i16).collect();
    let (head, tail) = samples.split_at(8 * 16_000);
    write_wav(&folder.join("1.wav"), head, 16_000);
    write_wav(&folder.join("2.wav"), tail, 16_000);
    std::fs::write(folder.join("3.wav"), "no sound").unwrap();
    let outcome = eval(home.path(), &["--seconds", "70", "--data", "sound", "--json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.matches("left out: ").count(), 1, "told once: {}", outcome.stderr);

    let (_, cpc) = embedded(&Device::Cpu).unwrap();
    let heard: Vec<f32> = samples.iter().map(|&x| f32::from(x) / 32_768.0).collect();
    let mut lap = |out: &mut Vec<f32>| {
        out.extend_from_slice(&heard);
        Ok(())
    };
    let expected = soak(&cpc, 70.0, &mut lap, &mut |_, _| true).unwrap().unwrap();
    let found = report(&outcome);
    assert_eq!(found.rows.len(), expected.rows.len());
    for (a, b) in found.rows.iter().zip(&expected.rows) {
        assert_eq!(a.at_s, b.at_s);
        for (x, y) in a.norm.all().iter().zip(b.norm.all()) {
            assert!((x - y).abs() <= 1e-3 * y, "{a:?} {b:?}");
        }
    }

    let outcome = eval(home.path(), &["--seconds", "70", "--data", "sound/1.wav"]);
    assert_eq!(outcome.code, Some(2), "8 s do not hold the passage: {}", outcome.stderr);
    let least = 4.0 * PASSAGE_S;
    let outcome = eval(home.path(), &["--seconds", &format!("{}", least - 1.0)]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(&format!("{least}")), "{}", outcome.stderr);
}

#[test]
fn the_passage_is_repeated_every_ten_minutes() {
    let home = tempfile::tempdir().unwrap();
    let mut architecture = Architecture { heads: None, ..Architecture::edge() };
    architecture.encoder =
        EncoderConfig::Raw { channels: [2, 2, 2, 2, 2], normalisation: Normalisation::Channel };
    architecture.context = ContextConfig::Gru { hidden: 3, layers: 1 };
    keep(&home.path().join("tiny.safetensors"), &random(&architecture), architecture);
    let found = report(&eval(home.path(), &["--seconds", "660", "--model", "tiny.safetensors", "--json"]));
    let starts: Vec<f64> = found.rows.iter().map(|row| row.at_s).collect();
    assert_eq!(starts, [10.0, 610.0, 650.0]);
}
