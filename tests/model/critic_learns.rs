//! A critic is taught for any model, from any corpus with two kinds of sound.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::support::daemon::lab;
use crate::support::sound::write_wav;

const LIMIT: Duration = Duration::from_secs(420);

/// Noise of several colours, 4 s each, and short tones: places and what is foreign in them.
fn corpus(folder: &Path) {
    let mut rows = "file,split,label\n".to_owned();
    let mut random = 1u32;
    let mut noise = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(random >> 8) / 8_388_608.0 - 1.0
    };
    for take in 0..4 {
        for (kind, dull) in [("fan", 0.9), ("rain", 0.2)] {
            let mut low = 0.0;
            let sample = |_| {
                low = dull * low + (1.0 - dull) * noise();
                (9000.0 * low) as i16
            };
            let samples: Vec<i16> = (0..64_000).map(sample).collect();
            let file = format!("{kind}{take}.wav");
            write_wav(&folder.join(&file), &samples, 16_000);
            writeln!(rows, "{file},train,{kind}").unwrap();
        }
        let hz = 700.0 + 500.0 * f64::from(take);
        let tone = |i: u32| (8000.0 * (std::f64::consts::TAU * hz * f64::from(i) / 16_000.0).sin()) as i16;
        let file = format!("tone{take}.wav");
        write_wav(&folder.join(&file), &(0..16_000).map(tone).collect::<Vec<_>>(), 16_000);
        writeln!(rows, "{file},train,tone").unwrap();
    }
    std::fs::write(folder.join("manifest.csv"), rows).unwrap();
}

#[test]
fn a_critic_is_trained_and_stored_in_the_model_file() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    std::fs::create_dir(&data).unwrap();
    corpus(&data);
    let settings = "[critic]\nscenes = 24\nsteps = 60\nbatch = 8\nchannels = [\"half\", \"unexpected\"]\n";
    std::fs::write(home.path().join("train.toml"), settings).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cpc-edge.safetensors");
    let arguments = ["train", "--critic-only", "--init", model, "--data", "data", "--config", "train.toml"];
    let outcome = lab(home.path(), &[&arguments[..], &["--out", "with.safetensors"]].concat(), LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let auc = outcome.stdout.split("AUC ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(auc.parse::<f64>().unwrap() > 0.8, "{}", outcome.stdout);

    let path = home.path().join("with.safetensors");
    let (manifest, cpc) = cpc_stream::internal::model::load(&path, &candle_core::Device::Cpu).unwrap();
    assert!(manifest.architecture.critic.is_some());
    let critic = cpc.critic().unwrap();
    assert!(critic.usual().len() > 200 && critic.usual().is_sorted());
}

#[test]
fn one_kind_of_sound_is_refused() {
    let home = tempfile::tempdir().unwrap();
    write_wav(&home.path().join("a.wav"), &[1000; 64_000], 16_000);
    std::fs::write(home.path().join("manifest.csv"), "file,split\na.wav,train\n").unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cpc-edge.safetensors");
    let outcome = lab(home.path(), &["train", "--critic-only", "--init", model, "--data", "."], LIMIT);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("kinds of sound"), "{}", outcome.stderr);
}
