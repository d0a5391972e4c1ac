use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn ramp() -> impl Iterator<Item = i32> {
    (0..5000).map(|i| (i * 7919) % 256 - 128)
}

fn refused(path: &Path) -> Error {
    match AudioReader::open(path) {
        Ok(_) => panic!("{} was accepted", path.display()),
        Err(e) => e,
    }
}

#[test]
fn wav_of_every_width_decodes_to_the_same_ramp() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    for (bits, format) in [
        (8, SampleFormat::Int),
        (16, SampleFormat::Int),
        (24, SampleFormat::Int),
        (32, SampleFormat::Int),
        (32, SampleFormat::Float),
    ] {
        let spec = WavSpec { channels: 1, sample_rate: 44_100, bits_per_sample: bits, sample_format: format };
        let mut writer = WavWriter::create(&path, spec).unwrap();
        for x in ramp() {
            match format {
                SampleFormat::Int => writer.write_sample(x << (bits - 8)).unwrap(),
                SampleFormat::Float => writer.write_sample(x as f32 / 128.0).unwrap(),
            }
        }
        writer.finalize().unwrap();
        let (samples, rate) = read_mono(&path).unwrap();
        let expected: Vec<f32> = ramp().map(|x| x as f32 / 128.0).collect();
        assert_eq!((samples, rate), (expected, 44_100), "{bits} bits");
        let duration = AudioReader::open(&path).unwrap().duration_s().unwrap();
        assert!((duration - 5000.0 / 44_100.0).abs() < 1e-9);
    }
}

#[test]
fn channels_are_chosen_or_mixed_and_what_is_no_number_is_zero() {
    let stereo = vec![1.0, 0.0, 0.5, -0.5, f32::NAN, 0.25, f32::INFINITY, 1.0];
    let mix = |channel| {
        let mut samples = stereo.clone();
        to_mono(&mut samples, 2, channel);
        samples
    };
    assert_eq!(mix(None), [0.5, 0.0, 0.125, 0.5]);
    assert_eq!(mix(Some(0)), [1.0, 0.5, 0.0, 0.0]);
    assert_eq!(mix(Some(1)), [0.0, -0.5, 0.25, 1.0]);
    let mut reader = AudioReader::open(fixture("tone.flac")).unwrap();
    assert!(reader.next_mono(Some(2), &mut Vec::new()).unwrap_err().to_string().contains("channel 2"));
}

#[test]
fn flac_is_exact() {
    let mut reader = AudioReader::open(fixture("tone.flac")).unwrap();
    assert_eq!((reader.rate(), reader.channels(), reader.duration_s()), (16_000, 2, Some(1.0)));
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while reader.next_mono(Some(0), &mut block).unwrap() {
        assert!(block.len() <= 16_384, "a block is a part of the file");
        all.extend_from_slice(&block);
    }
    assert_eq!(all.len(), 16_000);
    for (i, x) in all.iter().enumerate() {
        let sine = (8000.0 * (std::f64::consts::TAU * 440.0 * i as f64 / 16_000.0).sin()).round();
        assert!((f64::from(*x) * 32_768.0 - sine).abs() <= 1.0, "sample {i}");
    }
    assert!(!reader.is_damaged());
}

#[test]
fn ogg_vorbis_is_read() {
    let (samples, rate) = read_mono(fixture("tone.ogg")).unwrap();
    assert_eq!((samples.len(), rate), (16_000, 16_000));
    let error: f64 = samples
        .iter()
        .enumerate()
        .map(|(i, &x)| {
            let sine = 8000.0 / 32_768.0 * (std::f64::consts::TAU * 440.0 * i as f64 / 16_000.0).sin();
            (f64::from(x) - sine).powi(2)
        })
        .sum();
    assert!((error / 16_000.0).sqrt() < 0.01);
}

#[test]
fn a_cut_flac_gives_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.flac");
    let whole = std::fs::read(fixture("tone.flac")).unwrap();
    std::fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
    let mut reader = AudioReader::open(&path).unwrap();
    let (mut count, mut block) = (0, Vec::new());
    while reader.next_mono(None, &mut block).unwrap() {
        count += block.len();
    }
    assert!((4000..16_000).contains(&count), "{count} samples");
    assert!(reader.is_damaged());
    assert!(!reader.next_block(&mut block).unwrap(), "the end stays the end");
}

#[test]
fn files_without_sound_are_refused_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    let spec =
        WavSpec { channels: 1, sample_rate: 16_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
    WavWriter::create(&path, spec).unwrap().finalize().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 44);
    let cases = [
        (path.clone(), "no samples"),
        (folder.path().to_owned(), "directory"),
        (folder.path().join("none.wav"), "does not exist"),
    ];
    for (path, cause) in cases {
        let error = refused(&path);
        assert!(error.to_string().contains(cause), "{error}");
        assert_eq!(error.kind(), crate::error::ErrorKind::Device);
        assert!(!error.fix().is_empty());
    }
    let text = "# Not a sound\n".repeat(200).into_bytes();
    for (bytes, cause) in [
        (Vec::new(), "empty"),
        (text, "no audio file"),
        (b"RIFF\xff\xff\xff\xffWAVE".to_vec(), "no audio file"),
        (b"fLaC".to_vec(), "no audio file"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = refused(&path).to_string();
        assert!(error.contains(cause), "{error}");
    }
}
