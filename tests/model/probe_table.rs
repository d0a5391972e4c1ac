//! Probes read from features what is in them, of any corpus in the form of a manifest, and nothing that is not.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::support::daemon::lab;
use crate::support::sound::write_wav;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(300);
const HEADER: &str = "file,split,label,set,speaker,fold\n";
const KINDS: [&str; 4] = ["hum", "hiss", "clicks", "chirp"];

/// A number in 0..1 that belongs to `seed`.
fn own(seed: u32, salt: u32) -> f64 {
    f64::from((seed.wrapping_mul(31).wrapping_add(salt)).wrapping_mul(2_654_435_761) >> 16) / 65_536.0
}

/// 0.4 s of one of [`KINDS`], another one for each `seed`, with a silent end.
fn sound(kind: usize, seed: u32) -> Vec<i16> {
    let (pitch, level) = (110.0 + 60.0 * own(seed, 1), 0.3 + 0.3 * own(seed, 2));
    let mut random = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let sample = |i: u32| {
        let t = f64::from(i) / 16_000.0;
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(random >> 8) / 8_388_608.0 - 1.0;
        let wave = |phase: f64| (std::f64::consts::TAU * phase).sin();
        let x = match kind {
            0 => wave(pitch * t) + 0.5 * wave(2.0 * pitch * t),
            1 => noise,
            2 => noise * (-60.0 * (t * 12.0).fract()).exp(),
            _ => wave((600.0 + 40.0 * own(seed, 3)) * t + 2500.0 * t * t),
        };
        ((level * x + 0.003 * noise) * 12_000.0).clamp(-32_000.0, 32_000.0) as i16
    };
    (0..6400).map(sample).chain(std::iter::repeat_n(0, 800)).collect()
}

/// A word is a course of overtones, a speaker is a pitch.
fn word(word: usize, speaker: usize, take: u32) -> Vec<i16> {
    let pitch = 100.0 * 1.17f64.powi(speaker as i32) * (1.0 + 0.01 * own(take, speaker as u32));
    let sample = |i: u32| {
        let t = f64::from(i) / 16_000.0;
        let formant = 500.0 + 450.0 * word as f64 + 300.0 * t;
        let part = |h: u32| {
            let hz = pitch * f64::from(h);
            (-((hz - formant) / 250.0).powi(2)).exp() * (std::f64::consts::TAU * hz * t).sin()
        };
        let voice: f64 = (1..30).map(part).sum();
        ((0.3 * voice + 0.1 * (std::f64::consts::TAU * pitch * t).sin()) * 12_000.0) as i16
    };
    (0..4800).map(sample).collect()
}

/// Writes two collections: sounds with folds, and words with speakers. `shuffled`: labels of the sounds of
/// split = eval go to other clips.
fn corpus(folder: &Path, shuffled: bool) {
    let mut manifest = HEADER.to_owned();
    for number in 0..96u32 {
        let (kind, fold) = (number as usize % 4, number / 24 + 1);
        let file = format!("sound{number:02}.wav");
        write_wav(&folder.join(&file), &sound(kind, number), 16_000);
        let split = if fold == 4 { "eval" } else { "train" };
        let turn = if shuffled && fold == 4 { number as usize / 4 } else { 0 };
        writeln!(manifest, "{file},{split},{},sounds,,{fold}", KINDS[(kind + turn) % 4]).unwrap();
    }
    for speaker in 0..6 {
        for spoken in 0..4 {
            for take in 0..3 {
                let file = format!("word{spoken}-{speaker}-{take}.wav");
                write_wav(&folder.join(&file), &word(spoken, speaker, take), 16_000);
                let split = if speaker % 2 == 1 && speaker > 1 { "eval" } else { "train" };
                writeln!(manifest, "{file},{split},word{spoken},words,s{speaker},").unwrap();
            }
        }
    }
    std::fs::write(folder.join("manifest.csv"), manifest).unwrap();
}

/// Runs the command on the corpus in `home`.
fn probe(home: &Path, more: &[&str]) -> String {
    let outcome = lab(home, &[&["eval", "probe", "--data", "."], more].concat(), LIMIT);
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
    outcome.stdout
}

/// Mean accuracy in % of the row whose name begins so, in the column whose title begins so.
fn figure(report: &Value, table: &str, row: &str, column: &str) -> f64 {
    let begins = |value: &Value, with: &str| value.as_str().unwrap().starts_with(with);
    let columns = report[table]["columns"].as_array().unwrap();
    let at = columns.iter().position(|title| begins(title, column));
    let at = at.unwrap_or_else(|| panic!("no column {column} in {columns:?}"));
    let rows = report[table]["rows"].as_array().unwrap();
    let row = rows.iter().find(|r| begins(&r["name"], row)).unwrap_or_else(|| panic!("no row {row}"));
    row["cells"][at]["mean"].as_f64().unwrap()
}

#[test]
fn every_row_and_column_is_there_and_easy_classes_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    corpus(home.path(), false);
    let text = probe(home.path(), &["--seeds", "2", "--out", "out", "--supervised-steps", "2"]);
    println!("{text}");
    let read = |name: &str| std::fs::read_to_string(home.path().join("out").join(name)).unwrap();
    assert_eq!(read("probe.md").trim_end(), text.trim_end());
    assert!(read("probe.svg").starts_with("<svg"));
    let report: Value = serde_json::from_str(&read("probe.json")).unwrap();
    for table in ["mean_std", "mean"] {
        for column in ["class (4)", "word (4)", "speaker (2)", "speaker (6)"] {
            for row in [
                "guess",
                "random edge z",
                "random cpc-edge c",
                "MFCC-13",
                "log-mel",
                "CPC z",
                "CPC c",
                "supervised",
            ] {
                let accuracy = figure(&report, table, row, column);
                assert!((0.0..=100.0).contains(&accuracy), "{table}, {row}, {column}: {accuracy}");
            }
        }
        assert_eq!(figure(&report, table, "guess", "class"), 25.0);
        assert!(figure(&report, table, "log-mel", "class") > 90.0);
        assert!(figure(&report, table, "log-mel", "speaker (2)") > 75.0);
    }
    let classes = report["columns"].as_array().unwrap().iter().find(|c| c["name"] == "class (4)").unwrap();
    assert_eq!((classes["train"].as_u64(), classes["test"].as_u64()), (Some(72), Some(24)));
}

#[test]
fn labels_that_say_nothing_are_not_guessed() {
    let home = tempfile::tempdir().unwrap();
    corpus(home.path(), true);
    let report: Value = serde_json::from_str(&probe(home.path(), &["--seeds", "1", "--json"])).unwrap();
    for row in ["MFCC-13", "log-mel", "CPC z", "CPC c"] {
        let accuracy = figure(&report, "mean_std", row, "class");
        // 24 clips, each with a label that has nothing to do with it
        assert!(accuracy <= 55.0, "{row}: {accuracy}");
    }
}

#[test]
fn a_corpus_that_gives_no_column_is_refused_with_the_reasons() {
    let home = tempfile::tempdir().unwrap();
    let rows = "a.wav,train,x\nb.wav,train,y\n";
    std::fs::write(home.path().join("manifest.csv"), format!("file,split,label\n{rows}")).unwrap();
    let outcome = lab(home.path(), &["eval", "probe", "--data", "."], LIMIT);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("no rows with split = eval"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("fix: "), "{}", outcome.stderr);
}

#[test]
fn a_manifest_of_labels_alone_is_enough_and_what_cannot_be_read_is_told() {
    let home = tempfile::tempdir().unwrap();
    let mut manifest = "file,split,label\n".to_owned();
    for number in 0..24u32 {
        let split = if number < 16 { "train" } else { "eval" };
        let kind = number as usize % 2;
        write_wav(&home.path().join(format!("{number}.wav")), &sound(kind, number), 16_000);
        writeln!(manifest, "{number}.wav,{split},{}", KINDS[kind]).unwrap();
    }
    std::fs::write(home.path().join("broken.wav"), "no sound").unwrap();
    manifest.push_str("broken.wav,train,hum\n");
    std::fs::write(home.path().join("manifest.csv"), manifest).unwrap();
    let report: Value = serde_json::from_str(&probe(home.path(), &["--seeds", "1", "--json"])).unwrap();
    assert!(figure(&report, "mean_std", "log-mel", "class (2)") > 90.0);
    let left_out = report["left_out"].to_string();
    assert!(left_out.contains("broken.wav") && left_out.contains("no speakers"), "{left_out}");
}
