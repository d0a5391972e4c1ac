//! `encode` writes the z and c of the model, whatever the recording is and whichever the format.

use std::path::Path;
use std::time::Duration;

use crate::support::daemon::{Outcome, lab};
use candle_core::{Device, Tensor};
use cpc_stream::internal::audio_file::read_mono;
use cpc_stream::internal::encode::{EncoderConfig, Padding};
use cpc_stream::internal::features::{CARD_KEY, Card};
use cpc_stream::internal::model::{
    Architecture, Cpc, DataCard, Manifest, TrainingCard, embedded, load, save,
};
use cpc_stream::internal::nn::Tensors;
use cpc_stream::internal::resample::resample_clip;
use hound::{SampleFormat, WavSpec, WavWriter};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors};

const LIMIT: Duration = Duration::from_secs(120);

/// A recording of a tone that wanders, in noise.
fn record(path: &Path, rate: u32, channels: u16, samples: u32) {
    let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut rng = ChaCha8Rng::seed_from_u64(u64::from(samples));
    let mut file = WavWriter::create(path, spec).unwrap();
    let mut phase = 0.0f64;
    for i in 0..samples {
        let t = f64::from(i) / f64::from(rate);
        phase += (500.0 + 300.0 * (2.0 * t).sin()) / f64::from(rate);
        for channel in 0..channels {
            let tone = (std::f64::consts::TAU * phase).sin() * (1.0 + f64::from(channel));
            let sound = 5000.0 * tone + 3000.0 * rng.random_range(-1.0..1.0);
            file.write_sample(sound as i16).unwrap();
        }
    }
    file.finalize().unwrap();
}

/// What the model says of the whole file at once: z and c, flat.
fn expected(cpc: &Cpc, path: &Path, padding: Padding) -> (Vec<f32>, Vec<f32>) {
    let (samples, rate) = read_mono(path).unwrap();
    let mut samples = resample_clip(&samples, rate).unwrap();
    if padding == Padding::Causal {
        samples.truncate(samples.len() / 160 * 160);
    }
    let samples = Tensor::from_slice(&samples, (1, samples.len()), &Device::Cpu).unwrap();
    let (z, c) = cpc.features(&samples, padding).unwrap();
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1().unwrap();
    (flat(&z), flat(&c))
}

fn assert_same(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-5, "{what}: {worst}");
}

fn encode(home: &Path, arguments: &[&str]) -> Outcome {
    lab(home, &[&["encode"], arguments].concat(), LIMIT)
}

fn succeed(home: &Path, arguments: &[&str]) -> Outcome {
    let outcome = encode(home, arguments);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn f64s(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Of a safetensors file: z, c, t, file, and the card.
fn tensors(path: &Path) -> (Vec<f32>, Vec<f32>, Vec<f64>, Vec<u32>, Card) {
    let bytes = std::fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let card = serde_json::from_str(&metadata.metadata().as_ref().unwrap()[CARD_KEY]).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let of = |name: &str, dtype: Dtype| {
        let view = file.tensor(name).unwrap();
        assert_eq!(view.dtype(), dtype, "{name}");
        (view.shape().to_vec(), view.data().to_vec())
    };
    let ((z, zs), (c, cs)) = (of("z", Dtype::F32), of("c", Dtype::F32));
    let ((t, ts), (index, indices)) = (of("t", Dtype::F64), of("file", Dtype::U32));
    assert_eq!((z[0], z.len(), c.len()), (c[0], 2, 2));
    assert_eq!((t, index), (vec![z[0]], vec![z[0]]));
    let indices = indices.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
    (f32s(&zs), f32s(&cs), f64s(&ts), indices, card)
}

/// Shape and bytes of an array, after a look at its header.
fn array(path: &Path, kind: &str) -> (Vec<usize>, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{}", path.display());
    let length = 10 + usize::from(u16::from_le_bytes(bytes[8..10].try_into().unwrap()));
    assert_eq!(length % 64, 0);
    let header = std::str::from_utf8(&bytes[10..length]).unwrap();
    assert!(header.contains(&format!("'descr': '{kind}', 'fortran_order': False")), "{header}");
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    (shape, bytes[length..].to_vec())
}

/// No half of a file is left.
fn assert_no_parts(home: &Path) {
    for entry in std::fs::read_dir(home).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_str().unwrap().ends_with(".part"), "{name:?} was left");
    }
}

#[test]
fn a_long_file_in_pieces_is_the_whole_and_two_files_are_two_streams() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (home.path().join("a.wav"), home.path().join("b.wav"));
    // longer than two pieces, and with part of a hop at its end
    record(&a, 16_000, 1, 12 * 16_000 + 77);
    record(&b, 8_000, 2, 8_000);
    let (manifest, cpc) = embedded(&Device::Cpu).unwrap();
    succeed(home.path(), &["a.wav", "b.wav", "--out", "f.safetensors"]);
    let (z, c, t, file, card) = tensors(&home.path().join("f.safetensors"));
    let (first, second) = (expected(&cpc, &a, Padding::Causal), expected(&cpc, &b, Padding::Causal));
    assert_same(&z, &[first.0, second.0].concat(), "z");
    assert_same(&c, &[first.1, second.1].concat(), "c");
    assert_eq!((t.len(), file.len()), (1300, 1300));
    assert!(file.iter().enumerate().all(|(i, &f)| f == u32::from(i >= 1200)));
    for (row, u) in [(0, 1), (1199, 1200), (1200, 1), (1299, 100)] {
        assert!((t[row] - 0.01 * f64::from(u)).abs() < 1e-12, "row {row}: {}", t[row]);
    }
    assert_eq!((card.model_sha256, card.padding.as_str()), (manifest.sha256, "causal"));
    assert_eq!((card.hop, card.sample_rate), (160, 16_000));
    let files: Vec<_> = card.files.iter().map(|f| (f.path.as_str(), f.frames)).collect();
    assert_eq!(files, [("a.wav", 1200), ("b.wav", 100)]);
    assert_no_parts(home.path());
}

#[test]
fn arrays_and_columns_hold_the_same() {
    let home = tempfile::tempdir().unwrap();
    record(&home.path().join("a.wav"), 44_100, 2, 44_100);
    let tone = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tone.flac");
    let tone = tone.to_str().unwrap();
    for out in ["f.safetensors", "f.npy", "f.parquet"] {
        succeed(home.path(), &["a.wav", tone, "--out", out]);
    }
    let (z, c, t, file, card) = tensors(&home.path().join("f.safetensors"));
    let (rows, d, h) = (t.len(), z.len() / t.len(), c.len() / t.len());

    assert_eq!(array(&home.path().join("f.npy"), "<f4").0, [rows, h]);
    assert_eq!(f32s(&array(&home.path().join("f.npy"), "<f4").1), c);
    let found = array(&home.path().join("f.z.npy"), "<f4");
    assert_eq!((found.0, f32s(&found.1)), (vec![rows, d], z.clone()));
    let found = array(&home.path().join("f.t.npy"), "<f8");
    assert_eq!((found.0, f64s(&found.1)), (vec![rows], t.clone()));
    let found = array(&home.path().join("f.file.npy"), "<u4");
    assert_eq!(found.0, [rows]);
    assert_eq!(found.1, file.iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<_>>());

    let parquet = std::fs::File::open(home.path().join("f.parquet")).unwrap();
    let reader = SerializedFileReader::new(parquet).unwrap();
    let metadata = reader.metadata().file_metadata();
    let pairs = metadata.key_value_metadata().unwrap();
    let text = pairs.iter().find(|pair| pair.key == CARD_KEY).and_then(|pair| pair.value.clone()).unwrap();
    assert_eq!(serde_json::from_str::<Card>(&text).unwrap(), card);
    let mut seen = 0;
    for (i, row) in reader.get_row_iter(None).unwrap().enumerate() {
        let row = row.unwrap();
        let list = |column: usize| -> Vec<f32> {
            let list = row.get_list(column).unwrap();
            use parquet::record::ListAccessor;
            (0..list.len()).map(|i| list.get_float(i).unwrap()).collect()
        };
        assert_eq!(row.get_string(0).unwrap(), &card.files[file[i] as usize].path);
        assert_eq!(row.get_double(1).unwrap(), t[i]);
        assert_eq!(list(2), z[i * d..(i + 1) * d]);
        assert_eq!(list(3), c[i * h..(i + 1) * h]);
        seen += 1;
    }
    assert_eq!(seen, rows);
    assert_no_parts(home.path());
}

#[test]
fn rows_of_many_groups_come_back_in_order() {
    let home = tempfile::tempdir().unwrap();
    let long = home.path().join("long.wav");
    record(&long, 8_000, 1, 90 * 8_000);
    for out in ["f.npy", "f.parquet"] {
        succeed(home.path(), &["long.wav", "--out", out]);
    }
    assert!(!home.path().join("f.file.npy").exists(), "one recording needs no index");
    let c = f32s(&array(&home.path().join("f.npy"), "<f4").1);
    let h = c.len() / 9000;
    let reader =
        SerializedFileReader::new(std::fs::File::open(home.path().join("f.parquet")).unwrap()).unwrap();
    assert!(reader.num_row_groups() > 1, "it is held in memory as a whole");
    for (i, row) in reader.get_row_iter(None).unwrap().enumerate() {
        let row = row.unwrap();
        use parquet::record::ListAccessor;
        let list = row.get_list(3).unwrap();
        assert_eq!(list.len(), h);
        assert_eq!(list.get_float(h - 1).unwrap(), c[i * h + h - 1]);
        assert!((row.get_double(1).unwrap() - 0.01 * (i + 1) as f64).abs() < 1e-9);
    }
}

#[test]
fn the_padding_of_cpc_audio_is_that_of_the_whole_clip() {
    let home = tempfile::tempdir().unwrap();
    let a = home.path().join("a.wav");
    record(&a, 16_000, 1, 6 * 16_000 + 31);
    random_model(&home.path().join("raw.safetensors"), Architecture::edge());
    let (_, cpc) = load(&home.path().join("raw.safetensors"), &Device::Cpu).unwrap();
    let model = ["--model", "raw.safetensors", "--padding", "fb-exact"];
    succeed(home.path(), &[["a.wav", "--out", "F.safetensors"].as_slice(), &model].concat());
    let (z, c, t, _, card) = tensors(&home.path().join("F.safetensors"));
    let whole = expected(&cpc, &a, Padding::FbExact);
    assert_same(&z, &whole.0, "z");
    assert_same(&c, &whole.1, "c");
    assert_eq!((t.len(), card.padding.as_str()), (600, "fb-exact"));
}

/// Writes a model of random weights.
fn random_model(path: &Path, architecture: Architecture) {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let vars = Cpc::init(&mut rng, &architecture, &Device::Cpu).unwrap();
    let tensors: Tensors = vars.into_iter().map(|(n, v)| (n, v.as_detached_tensor())).collect();
    let card = (DataCard::default(), TrainingCard::default());
    let manifest = Manifest::new("random", "none", architecture, card);
    save(path, &tensors, manifest).unwrap();
}

#[test]
fn a_model_without_heads_gives_features_and_a_spectral_one_only_causal_ones() {
    let home = tempfile::tempdir().unwrap();
    let a = home.path().join("a.wav");
    record(&a, 16_000, 1, 16_000);
    let headless = Architecture { heads: None, ..Architecture::edge() };
    random_model(&home.path().join("headless.safetensors"), headless);
    for (padding, name) in [(Padding::Causal, "causal"), (Padding::FbExact, "fb-exact")] {
        let model = ["--model", "headless.safetensors", "--padding", name];
        succeed(home.path(), &[["a.wav", "--out", "f.safetensors"].as_slice(), &model].concat());
        let (_, cpc) = load(&home.path().join("headless.safetensors"), &Device::Cpu).unwrap();
        let (z, c, ..) = tensors(&home.path().join("f.safetensors"));
        let whole = expected(&cpc, &a, padding);
        assert_same(&z, &whole.0, name);
        assert_same(&c, &whole.1, name);
    }
    let spectral = Architecture { heads: None, ..Architecture::spectral() };
    assert!(matches!(spectral.encoder, EncoderConfig::Spectral { .. }));
    random_model(&home.path().join("spectral.safetensors"), spectral);
    let model = ["a.wav", "--out", "s.npy", "--model", "spectral.safetensors"];
    succeed(home.path(), &model);
    let outcome = encode(home.path(), &[model.as_slice(), &["--padding", "fb-exact"]].concat());
    assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("fb-exact") && outcome.stderr.contains("fix:"), "{}", outcome.stderr);
}

#[test]
fn unreadable_recordings_are_reported_and_skipped() {
    let home = tempfile::tempdir().unwrap();
    record(&home.path().join("good.wav"), 16_000, 1, 16_000);
    record(&home.path().join("short.wav"), 16_000, 1, 100);
    std::fs::write(home.path().join("empty.wav"), b"").unwrap();
    std::fs::write(home.path().join("text.wav"), b"no sound at all").unwrap();
    let files = ["empty.wav", "text.wav", "nowhere.wav", "short.wav", "good.wav"];
    let outcome = succeed(home.path(), &[files.as_slice(), &["--out", "f.safetensors"]].concat());
    for file in &files[..4] {
        let told = outcome.stderr.lines().filter(|line| line.contains(file)).count();
        assert_eq!(told, 1, "{file} in\n{}", outcome.stderr);
    }
    let (.., t, file, card) = tensors(&home.path().join("f.safetensors"));
    assert_eq!((t.len(), card.files.len()), (100, 5));
    assert!(file.iter().all(|&f| f == 4), "`file` counts what was given");

    random_model(&home.path().join("raw.safetensors"), Architecture::edge());
    for padding in ["causal", "fb-exact"] {
        let model = ["--model", "raw.safetensors", "--out", "g.npy", "--padding", padding];
        let arguments = [&files[..4], &model].concat();
        let outcome = encode(home.path(), &arguments);
        assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
        assert!(!home.path().join("g.npy").exists());
    }
    for out in ["f.csv", "f", "nowhere/f.npy"] {
        let outcome = encode(home.path(), &["good.wav", "--out", out]);
        assert_eq!(outcome.code, Some(2), "{out}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(out), "{}", outcome.stderr);
    }
    let outcome = encode(home.path(), &["good.wav", "--out", "f.csv"]);
    assert!([".safetensors", ".npy", ".parquet"].iter().all(|format| outcome.stderr.contains(format)));
    assert_no_parts(home.path());
}
