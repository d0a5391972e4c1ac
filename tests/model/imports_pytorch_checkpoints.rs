//! A PyTorch checkpoint of CPC_audio becomes a model that computes what PyTorch did, or is refused by name.

use std::path::Path;
use std::time::Duration;

use crate::support::checkpoint::{State, heads, network, training};
use crate::support::daemon::{Outcome, lab, run};
use crate::support::golden::{array, folder, input, largest_difference};
use crate::support::sound::write_wav;
use candle_core::{Device, Tensor};
use cpc_stream::internal::encode::Padding;
use cpc_stream::internal::model::import::{ImportOptions, import};
use cpc_stream::internal::model::{self, Cpc, Manifest};
use proptest::prelude::*;

const LIMIT: Duration = Duration::from_secs(60);
const CASES: [&str; 4] = ["", "lstm_hub", "batchnorm_gru2", "ffd"];

/// Runs `import` on the checkpoint of a case.
fn imported(home: &Path, case: &str, more: &[&str]) -> (Outcome, Manifest, Cpc) {
    let checkpoint = folder(case).join("checkpoint.pt");
    let arguments = [&["import", checkpoint.to_str().unwrap(), "--out", "m.safetensors"], more].concat();
    let outcome = lab(home, &arguments, LIMIT);
    assert_eq!(outcome.code, Some(0), "{case}: {}", outcome.stderr);
    let (manifest, cpc) = model::load(&home.join("m.safetensors"), &Device::Cpu).unwrap();
    (outcome, manifest, cpc)
}

#[test]
fn latents_contexts_and_predictions_are_those_of_pytorch() {
    for case in CASES {
        let home = tempfile::tempdir().unwrap();
        let (_, _, cpc) = imported(home.path(), case, &[]);
        let (z, c) = cpc.features(&input(), Padding::FbExact).unwrap();
        let golden = |name: &str| array(&folder(case).join(name)).unsqueeze(0).unwrap();
        let (dz, dc) = (largest_difference(&z, &golden("z.npy")), largest_difference(&c, &golden("c.npy")));
        assert!(dz <= 1e-4 && dc <= 1e-4, "{case}: z differs by {dz}, c by {dc}");
        let expected = folder(case).join("predictions.npy");
        assert_eq!(expected.exists(), ["batchnorm_gru2", "ffd"].contains(&case));
        if expected.exists() {
            // CPC_audio's score is the mean over the d products
            let expected = (golden("predictions.npy") / z.dim(2).unwrap() as f64).unwrap();
            let contexts = golden("c.npy").narrow(1, 0, 20).unwrap();
            let found = cpc.heads().unwrap().predict_all(&contexts).unwrap();
            let difference = largest_difference(&found, &expected);
            assert!(difference <= 1e-4, "{case}: predictions differ by {difference}");
        }
    }
}

#[test]
fn all_findings_are_reported() {
    let home = tempfile::tempdir().unwrap();
    let says = |outcome: &Outcome, words: &[&str]| {
        words.iter().for_each(|w| assert!(outcome.stdout.contains(w), "no {w:?} in:\n{}", outcome.stdout));
    };
    let (outcome, manifest, cpc) = imported(home.path(), "", &["--name", "mine", "--licence", "MIT"]);
    assert_eq!((manifest.name.as_str(), manifest.licence.as_str()), ("mine", "MIT"));
    assert!(cpc.heads().is_some() && !cpc.scores());
    says(
        &outcome,
        &[
            "zip archive",
            "GRU",
            "K = 12, linear",
            "optimizer, best",
            "--bank-from DIR",
            manifest.short_hash(),
        ],
    );
    let (outcome, _, cpc) = imported(home.path(), "lstm_hub", &[]);
    assert!(cpc.heads().is_none());
    says(&outcome, &["torch.hub", "before 1.6", "LSTM", "heads     none", "no surprise", "--heads-only"]);
    let (outcome, ..) = imported(home.path(), "batchnorm_gru2", &[]);
    says(&outcome, &["5 batch norms", "num_batches_tracked", "layers: 2, width 9"]);
    let (outcome, _, cpc) = imported(home.path(), "ffd", &["--without-heads"]);
    assert!(cpc.heads().is_none());
    says(&outcome, &["12 tensors of the heads", "heads     none"]);
}

/// Half a minute of noise whose colour changes.
fn noise(path: &Path) {
    let mut level = 0.0f32;
    let samples: Vec<i16> = (0..30 * 16_000u32)
        .map(|i| {
            let white = (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5;
            let colour = 0.05 + 0.9 * (i / 8000) as f32 / 60.0;
            level += colour * (white - level);
            (level * 20_000.0) as i16
        })
        .collect();
    write_wav(path, &samples, 16_000);
}

#[test]
fn surprise_needs_heads_and_a_bank() {
    let home = tempfile::tempdir().unwrap();
    noise(&home.path().join("room.wav"));
    let live = ["run", "--model", "m.safetensors", "--input", "room.wav", "--fast"];
    let infonce = ["eval", "infonce", "--model", "m.safetensors", "--data", "."];
    let calibrate = ["calibrate", "--model", "m.safetensors", "--input", "room.wav"];
    let demo = ["demo", "--model", "m.safetensors"];
    let refused = |arguments: &[&str], cause: &str, fix: &str| {
        let program = if arguments[0] == "eval" { lab } else { run };
        let outcome = program(home.path(), arguments, LIMIT);
        assert_eq!(outcome.code, Some(4), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(cause), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(fix), "{arguments:?}: {}", outcome.stderr);
    };
    imported(home.path(), "lstm_hub", &[]);
    for arguments in [live.as_slice(), &calibrate, &demo, &infonce] {
        refused(arguments, "no prediction heads", "train --heads-only");
    }
    imported(home.path(), "", &[]);
    for arguments in [live.as_slice(), &calibrate, &demo] {
        refused(arguments, "no bank of negatives", "--bank-from");
    }
    let (_, manifest, cpc) = imported(home.path(), "", &["--bank-from", "room.wav"]);
    assert!(cpc.scores() && manifest.bank == 64, "{}", manifest.bank);
    let outcome = run(home.path(), &live, LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn imported_models_stream(which in 0..4usize, pieces in prop::collection::vec(1usize..40, 1..12)) {
        let opened = import(&folder(CASES[which]).join("checkpoint.pt"), &ImportOptions::default()).unwrap();
        let cpc = Cpc::load(&opened.tensors, &opened.architecture).unwrap();
        let sound = input();
        let whole = cpc.forward(&sound).unwrap();
        let mut state = cpc.zero_state(1).unwrap();
        let (mut z, mut c, mut at) = (Vec::new(), Vec::new(), 0);
        for hops in pieces.into_iter().chain([usize::MAX]) {
            let length = hops.saturating_mul(160).min(sound.dim(1).unwrap() - at);
            if length > 0 {
                let output = cpc.step(&sound.narrow(1, at, length).unwrap(), &mut state).unwrap();
                z.push(output.latents);
                c.push(output.contexts);
                at += length;
            }
        }
        prop_assert!(largest_difference(&Tensor::cat(&z, 1).unwrap(), &whole.latents) <= 1e-5);
        prop_assert!(largest_difference(&Tensor::cat(&c, 1).unwrap(), &whole.contexts) <= 1e-5);
    }

    /// A damaged file is a model or an error, never a panic.
    #[test]
    fn damage_is_an_error(which in 0..4usize, places in prop::collection::vec((0..9000usize, any::<u8>()), 1..12)) {
        let home = tempfile::tempdir().unwrap();
        let mut bytes = std::fs::read(folder(CASES[which]).join("checkpoint.pt")).unwrap();
        places.iter().for_each(|(at, value)| if let Some(byte) = bytes.get_mut(*at) { *byte = *value });
        let path = home.path().join("damaged.pt");
        std::fs::write(&path, bytes).unwrap();
        if let Ok(imported) = import(&path, &ImportOptions::default()) {
            Cpc::load(&imported.tensors, &imported.architecture).unwrap();
        }
    }
}

/// The cause of the refusal of a checkpoint with these tensors and settings.
fn cause(network: &State, heads: &State, settings: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint.pt");
    std::fs::write(&path, training(network, heads)).unwrap();
    std::fs::write(home.path().join("checkpoint_args.json"), settings).unwrap();
    let error = import(&path, &ImportOptions::default()).unwrap_err();
    assert!(!error.fix().is_empty() && error.kind().exit_code() == 4, "{error}");
    error.to_string()
}

#[test]
fn shapes_say_what_settings_do_not() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint.pt");
    for (gates, form) in [(3, "GRU 5, from the tensors"), (4, "LSTM 5, from the tensors")] {
        std::fs::write(&path, training(&network(6, 5, gates), &heads(6, 5, 3))).unwrap();
        let found = import(&path, &ImportOptions::default()).unwrap();
        assert_eq!(found.architecture.context.width(), 5);
        assert_eq!(found.architecture.horizons(), 3);
        let mode = form.split(' ').next().unwrap();
        let told = found.report.assumed.join("\n");
        assert!(told.contains(&format!("arMode {mode}, from the tensors")), "{told}");
        assert!(told.contains("cpc_mode none, the default of CPC_audio"), "{told}");
    }
}

#[test]
fn settings_that_disagree_with_the_tensors_are_refused_with_both_values() {
    for (setting, found) in [
        (r#""hiddenEncoder": 256"#, "6"),
        (r#""hiddenGar": 256"#, "5"),
        (r#""nPredicts": 12"#, "3"),
        (r#""nLevelsGRU": 2"#, "1"),
        (r#""arMode": "LSTM""#, "GRU"),
        (r#""normMode": "batchNorm""#, "layerNorm"),
        (r#""rnnMode": "ffd""#, "linear"),
    ] {
        let cause = cause(&network(6, 5, 3), &heads(6, 5, 3), &format!("{{{setting}}}"));
        let (key, given) = setting.split_once(": ").unwrap();
        let (key, given) = (key.replace('"', "`"), given.trim_matches('"'));
        assert!(cause.contains(&format!("{key} is {given} in checkpoint_args.json")), "{cause}");
        assert!(cause.ends_with(&format!("the tensors say {found}")), "{cause}");
    }
}

#[test]
fn non_causal_models_are_refused_by_name() {
    for (setting, word) in [
        (r#""encoder_type": "mfcc""#, "`encoder_type` is mfcc"),
        (r#""encoder_type": "lfb""#, "`encoder_type` is lfb"),
        (r#""normMode": "instanceNorm""#, "`normMode` is instanceNorm"),
        (r#""arMode": "transformer""#, "`arMode` is transformer"),
        (r#""arMode": "no_ar""#, "`arMode` is no_ar"),
        (r#""cpc_mode": "reverse""#, "`cpc_mode` is reverse"),
        (r#""rnnMode": "transformer""#, "`rnnMode` is transformer"),
        (r#""speakerEmbedding": 64"#, "`speakerEmbedding` is 64"),
        (r#""supervised": true"#, "`supervised` is true"),
        (r#""hiddenGar": "wide""#, "`hiddenGar` is `wide`"),
    ] {
        let cause = cause(&network(6, 5, 3), &heads(6, 5, 3), &format!("{{{setting}}}"));
        assert!(cause.contains(word), "{cause}");
    }
    for (name, word) in [
        ("models.0.gEncoder.conv0.weight", "several models"),
        ("gAR.baseNet.weight_ih_l0_reverse", "hears the future"),
        ("gAR.netBackward.weight_ih_l0", "hears the future"),
        ("gAR.0.multihead.Wk.weight", "a transformer as context network"),
        ("gAR.baseNet.weight_hh_l3", "`gAR.baseNet.weight_hh_l3`"),
        ("gEncoder.conv5.weight", "`gEncoder.conv5.weight`"),
    ] {
        let mut network = network(6, 5, 3);
        network.push((name.to_owned(), vec![4]));
        let cause = cause(&network, &heads(6, 5, 3), "{}");
        assert!(cause.contains(word), "{cause}");
    }
    for (name, word) in [
        ("wPrediction.predictors.0.0.multihead.Att.Krelpos", "transformer heads"),
        ("wPrediction.predictors.0.module.module.weight", "convolutional heads"),
        ("wPrediction.predictors.0.weight_ih_l0", "recurrent heads"),
        ("speakerEmb.weight", "told who speaks"),
        ("PhoneCriterionClassifier.weight", "classifier of phones"),
        ("wPrediction.predictors.7.weight", "`wPrediction.predictors.7.weight`"),
    ] {
        let mut heads = heads(6, 5, 3);
        heads.push((name.to_owned(), vec![4]));
        let cause = cause(&network(6, 5, 3), &heads, "{}");
        assert!(cause.contains(word), "{cause}");
    }
}

#[test]
fn tensors_that_are_missing_or_of_another_shape_are_named() {
    let whole = network(6, 5, 3);
    for (at, (name, shape)) in whole.iter().enumerate() {
        let mut without = whole.clone();
        without.remove(at);
        let told = cause(&without, &heads(6, 5, 3), "{}");
        assert!(told.contains(name.trim_end_matches(".weight").trim_end_matches(".bias")), "{name}: {told}");
        if ["gEncoder.conv2.weight", "gEncoder.batchNorm4.bias", "gAR.baseNet.bias_hh_l0"]
            .contains(&name.as_str())
        {
            let mut other = whole.clone();
            other[at].1 = [&[2], shape.as_slice()].concat();
            let told = cause(&other, &heads(6, 5, 3), "{}");
            assert!(told.contains(name) && told.contains("expected"), "{name}: {told}");
        }
    }
    let told = cause(&whole, &heads(6, 4, 3), "{}");
    assert!(told.contains("has shape [6, 4], [6, 5] expected"), "{told}");
}

#[test]
fn other_files_are_no_checkpoints() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("text.pt"), "no checkpoint at all\n".repeat(40)).unwrap();
    std::fs::write(home.path().join("empty.pt"), "").unwrap();
    std::fs::write(home.path().join("bad.json"), "{").unwrap();
    let good = folder("").join("checkpoint.pt");
    let good = good.to_str().unwrap();
    for (arguments, code, word) in [
        (vec!["import", "text.pt", "--out", "m"], 4, "torch.save"),
        (vec!["import", "empty.pt", "--out", "m"], 4, "0 bytes"),
        (vec!["import", "missing.pt", "--out", "m"], 4, "missing.pt"),
        (vec!["import", ".", "--out", "m"], 4, "directory"),
        (vec!["import", good, "--out", "m", "--args", "bad.json"], 4, "bad.json"),
        (vec!["import", good, "--out", "m", "--args", "missing.json"], 4, "missing.json"),
        (vec!["import", good, "--out", "nowhere/at/m", "--bank-from", "missing.wav"], 3, "missing.wav"),
        (vec!["import", good, "--out", "m", "--without-heads", "--bank-from", "."], 2, "--bank-from"),
        (vec!["import", good], 2, "--out"),
    ] {
        let outcome = lab(home.path(), &arguments, LIMIT);
        assert_eq!(outcome.code, Some(code), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(word) && outcome.stderr.contains("fix: "), "{}", outcome.stderr);
        assert!(!home.path().join("m").exists());
    }
}
