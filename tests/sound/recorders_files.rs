//! What recorders and other programs write is read: every oddity of a WAV header with every form of samples, from a file
//! and from a pipe, joined Ogg files, and the codings of archives.

use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use crate::support::wav::{FORMS, Form, ODDITIES, Oddity, RATE, write};
use cpc_stream::internal::audio_file::{AudioReader, container};

fn sound(frames: usize, channels: u16) -> Vec<f32> {
    let tone = |i: usize, channel: u16| (0.6 - 0.1 * f32::from(channel)) * (i as f32 * 0.2).sin();
    (0..frames).flat_map(|i| (0..channels).map(move |channel| tone(i, channel))).collect()
}

fn read(mut reader: AudioReader) -> (Vec<f32>, u32, u16) {
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while reader.next_block(&mut block).unwrap() {
        all.extend_from_slice(&block);
    }
    (all, reader.rate(), reader.channels())
}

fn compare(found: &[f32], wanted: &[f32], form: Form, what: &str) {
    // what stands behind sound of unknown length is no sound, but cannot be told from it
    assert!(
        (wanted.len()..wanted.len() + 40).contains(&found.len()),
        "{what}: {} of {}",
        found.len(),
        wanted.len()
    );
    let (part, offset) = form.tolerance();
    for (i, (a, b)) in found.iter().zip(wanted).enumerate() {
        assert!((a - b).abs() <= part * b.abs() + offset, "{what}: sample {i} is {a}, written as {b}");
    }
}

#[test]
fn every_oddity_of_a_header_with_every_form_of_samples() {
    let home = tempfile::tempdir().unwrap();
    for oddity in ODDITIES {
        for (form, channels) in FORMS.into_iter().flat_map(|form| [(form, 1), (form, 2), (form, 3)]) {
            // an odd number of bytes where a sample is one
            let wanted = sound(4001, channels);
            let bytes = write(oddity, form, channels, &wanted);
            let what = format!("{oddity:?}, {form:?}, {channels} channels");
            assert!(container(&bytes[..12]).is_some(), "{what}: not known by its start");
            let path = home.path().join(if oddity == Oddity::Wave64 { "x.w64" } else { "x.wav" });
            std::fs::write(&path, &bytes).unwrap();
            let reader = AudioReader::open(&path).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(!reader.is_damaged(), "{what}: before its end");
            let (found, rate, width) = read(reader);
            assert_eq!((rate, width), (RATE, channels), "{what}");
            compare(&found, &wanted, form, &what);
            let piped = AudioReader::from_pipe(Cursor::new(bytes), "a pipe")
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            compare(&read(piped).0, &wanted, form, &format!("{what}, piped"));
        }
    }
}

#[test]
fn a_recording_that_ends_before_its_time_says_so() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.wav");
    for (oddity, damaged) in
        [(Oddity::Plain, false), (Oddity::DataSizeLong, true), (Oddity::DataSizeZero, false)]
    {
        std::fs::write(&path, write(oddity, Form::S16, 1, &sound(1000, 1))).unwrap();
        let mut reader = AudioReader::open(&path).unwrap();
        assert!((reader.duration_s().unwrap() - 1000.0 / 16_000.0).abs() < 1e-9, "{oddity:?}");
        while reader.next_block(&mut Vec::new()).unwrap() {}
        assert_eq!(reader.is_damaged(), damaged, "{oddity:?}");
    }
}

fn ffmpeg(arguments: &[&str], out: &Path) -> bool {
    let made =
        Command::new("ffmpeg").args(["-nostdin", "-v", "error", "-y"]).args(arguments).arg(out).output();
    made.is_ok_and(|made| made.status.success())
}

#[test]
fn joined_ogg_files_are_read_to_the_end() {
    let home = tempfile::tempdir().unwrap();
    let one = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tone.ogg")).unwrap();
    let path = home.path().join("joined.ogg");
    std::fs::write(&path, one.repeat(3)).unwrap();
    let reader = AudioReader::open(&path).unwrap();
    let (found, rate, _) = read(reader);
    assert_eq!((found.len(), rate), (3 * 16_000, 16_000));
}

#[test]
fn a_flac_with_the_tag_of_an_old_program_at_its_end() {
    let home = tempfile::tempdir().unwrap();
    let mut bytes =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tone.flac")).unwrap();
    let mut tag = b"TAG".to_vec();
    tag.resize(128, b' ');
    // and a smallest block of 0 in the stream's description
    let mut no_minimum = bytes.clone();
    no_minimum[8..10].fill(0);
    bytes.extend(&tag);
    for (name, bytes) in [("tag.flac", bytes), ("no_minimum.flac", no_minimum)] {
        let path = home.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let (found, rate, channels) = read(AudioReader::open(&path).unwrap());
        assert_eq!((found.len(), rate, channels), (32_000, 16_000, 2), "{name}");
    }
}

#[test]
fn features_of_archives_are_read() {
    let home = tempfile::tempdir().unwrap();
    let tone = ["-f", "lavfi", "-i", "sine=440:d=1:r=16000"];
    let mut tried = 0;
    for (name, coding) in [
        ("x.mp3", "libmp3lame"),
        ("x.m4a", "aac"),
        ("x.aac", "aac"),
        ("alac.m4a", "alac"),
        ("x.aiff", "pcm_s16be"),
        ("x.caf", "pcm_s16be"),
        ("x.au", "pcm_s16be"),
        ("mulaw.au", "pcm_mulaw"),
        ("x.mka", "flac"),
        ("ima.wav", "adpcm_ima_wav"),
        ("ms.wav", "adpcm_ms"),
        ("mp3.wav", "libmp3lame"),
        ("x.opus", "libopus"),
        ("x.wma", "wmav2"),
        ("s64.wav", "pcm_s64le"),
        ("s24.aiff", "pcm_s24be"),
        ("f32.aifc", "pcm_f32be"),
        ("x.mp2", "mp2"),
        ("x.ac3", "ac3"),
        ("x.tta", "tta"),
        ("x.wv", "wavpack"),
        ("x.voc", "pcm_s16le"),
        ("x.mkv", "aac"),
        ("x.ts", "aac"),
    ] {
        let path = home.path().join(name);
        let file_type: &[&str] = if name.ends_with("aifc") { &["-f", "aiff"] } else { &[] };
        if !ffmpeg(&[&tone, ["-c:a", coding].as_slice(), file_type].concat(), &path) {
            eprintln!("no {name} can be made here: not tried");
            continue;
        }
        tried += 1;
        let reader = AudioReader::open(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (found, rate, channels) = read(reader);
        let seconds = found.len() as f64 / f64::from(rate) / f64::from(channels);
        assert!((0.9..1.2).contains(&seconds), "{name}: {seconds} s at {rate} Hz");
        let level = cpc_stream::internal::units::level_dbfs(&found);
        assert!((-24.0..-18.0).contains(&level), "{name}: {level} dBFS");
    }
    eprintln!("{tried} kinds were tried");
}
