//! P16: whatever a configuration, an audio file, a model, a checkpoint, a kept state, an outbox or a request holds, the answer is a value or a
//! refusal with cause and fix: no panic, no endless reading, no memory beyond what the file is worth.
//!
//! Full form: `CPC_TEST_CASES=20000 cargo test --release --test program hostile_input`.

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

#[cfg(feature = "lab")]
use crate::support::checkpoint;
use candle_core::Device;
use cpc_stream::internal::audio_file::AudioReader;
use cpc_stream::internal::config::{Config, load};
use cpc_stream::internal::detect::StreamState;
use cpc_stream::internal::error::{Error, ErrorKind};
use cpc_stream::internal::model::{self, Manifest};
use cpc_stream::internal::publish::{Command, Message, Outbox, OutboxLimits, Request, inspect};
#[cfg(feature = "lab")]
use cpc_stream::internal::torch_file::TorchFile;
use figment::value::Dict;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

/// What is done to a good file.
#[derive(Debug, Clone)]
enum Damage {
    Flip { at: usize, bits: u8 },
    Write { at: usize, bytes: Vec<u8> },
    Cut { at: usize },
    Remove { at: usize, count: usize },
    Double { at: usize, count: usize },
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    // headers are where files are fragile: half of the damage is done to the first bytes
    let at = || prop_oneof![0usize..256, any::<usize>()];
    let extreme = prop_oneof![
        Just(vec![0xff; 4]),
        Just(vec![0xff; 8]),
        Just(vec![0; 4]),
        Just(vec![0xff, 0xff, 0xff, 0x7f]),
        proptest::collection::vec(any::<u8>(), 1..9),
    ];
    let one = prop_oneof![
        (at(), 1u8..).prop_map(|(at, bits)| Damage::Flip { at, bits }),
        (at(), extreme).prop_map(|(at, bytes)| Damage::Write { at, bytes }),
        at().prop_map(|at| Damage::Cut { at }),
        (at(), 1usize..64).prop_map(|(at, count)| Damage::Remove { at, count }),
        (at(), 1usize..64).prop_map(|(at, count)| Damage::Double { at, count }),
    ];
    proptest::collection::vec(one, 1..6)
}

fn spoil(good: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for damage in damages {
        let length = bytes.len().max(1);
        match damage {
            Damage::Flip { at, bits } => bytes.iter_mut().skip(at % length).take(1).for_each(|b| *b ^= bits),
            Damage::Write { at, bytes: new } => {
                bytes.iter_mut().skip(at % length).zip(new).for_each(|(b, new)| *b = *new);
            }
            Damage::Cut { at } => bytes.truncate(at % length),
            Damage::Remove { at, count } => {
                let from = at % length;
                bytes.drain(from.min(bytes.len())..(from + count).min(bytes.len()));
            }
            Damage::Double { at, count } => {
                let from = (at % length).min(bytes.len());
                let piece = bytes[from..(from + count).min(bytes.len())].to_vec();
                bytes.splice(from..from, piece);
            }
        }
    }
    bytes
}

/// Runs `check` on as many cases as are asked for; `few` where nobody asks.
fn cases<S: Strategy>(few: u32, strategy: &S, check: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let cases = std::env::var("CPC_TEST_CASES").map_or(few, |cases| cases.parse().unwrap());
    let mut runner = TestRunner::new(Cases { cases, failure_persistence: None, ..Cases::default() });
    runner.run(strategy, check).unwrap();
    println!("{cases} cases");
}

fn is_clear(error: &Error) -> Result<(), TestCaseError> {
    prop_assert!(!error.to_string().is_empty() && !error.fix().is_empty());
    prop_assert!(error.kind() != ErrorKind::Internal, "the fault of the file, not ours: {error}");
    Ok(())
}

fn configuration(text: &[u8], folder: &Path) -> Result<(), TestCaseError> {
    let path = folder.join("c.toml");
    std::fs::write(&path, text).unwrap();
    match load(Some(&path), Dict::new()) {
        Ok(loaded) => prop_assert!(loaded.config.validate().is_ok()),
        Err(error) => {
            is_clear(&error)?;
            prop_assert_eq!(error.kind(), ErrorKind::Config);
        }
    }
    Ok(())
}

#[test]
fn configurations() {
    let folder = tempfile::tempdir().unwrap();
    let good = include_bytes!("../../config/default.toml");
    cases(256, &damages(), |damages| configuration(&spoil(good, &damages), folder.path()));
    let words = prop_oneof![
        Just("[detect]\n"),
        Just("[[source]]\n"),
        Just("events_per_hour = "),
        Just("device = "),
        Just("\"hw:0\"\n"),
        Just("1e999\n"),
        Just("-1\n"),
        Just("nan\n"),
        Just("["),
        Just("{"),
        Just("'''"),
        Just("\u{0}"),
        Just("99999999999999999999\n"),
        Just("[publish]\nbroker = "),
        Just("\"mqtt://[::1]:x@\"\n"),
    ];
    cases(256, &proptest::collection::vec(words, 0..20), |words| {
        configuration(words.concat().as_bytes(), folder.path())
    });
    for deep in ["[", "{ a = ", "a.", "[["] {
        configuration(format!("x = {}", deep.repeat(200_000)).as_bytes(), folder.path()).unwrap();
    }
    for endless in ["/dev/zero", "/dev/full"] {
        let error = load(Some(Path::new(endless)), Dict::new()).unwrap_err();
        assert!(error.to_string().contains(endless), "{error}");
    }
    let _ = Config::default();
}

fn wav() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 16_000,
        bits_per_sample: 24,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::new(&mut bytes, spec).unwrap();
    (0..4000).for_each(|i| file.write_sample(i * 1000).unwrap());
    file.finalize().unwrap();
    bytes.into_inner()
}

#[test]
fn audio_files() {
    let folder = tempfile::tempdir().unwrap();
    let wav = wav();
    let files = [
        ("x.wav", wav.as_slice()),
        ("x.flac", include_bytes!("../fixtures/tone.flac")),
        ("x.ogg", include_bytes!("../fixtures/tone.ogg")),
    ];
    for (name, good) in files {
        let path = folder.path().join(name);
        cases(256, &damages(), |damages| {
            std::fs::write(&path, spoil(good, &damages)).unwrap();
            let mut reader = match AudioReader::open(&path) {
                Ok(reader) => reader,
                Err(error) => return is_clear(&error),
            };
            let (mut block, mut samples) = (Vec::new(), 0);
            loop {
                match reader.next_mono(None, &mut block) {
                    Ok(true) => samples += block.len(),
                    Ok(false) => break,
                    Err(error) => return is_clear(&error),
                }
                // the largest compression of silence that FLAC knows
                prop_assert!(samples < 200 << 20, "{} bytes give sound without end", good.len());
            }
            Ok(())
        });
    }
}

#[test]
fn models() {
    let good = include_bytes!("../../models/cpc-edge.safetensors");
    let (undamaged, _) = model::parse(good, &Device::Cpu).unwrap();
    cases(48, &damages(), |damages| {
        let bytes = spoil(good, &damages);
        match model::parse(&bytes, &Device::Cpu) {
            // the hash holds shape and tensors; what the manifest tells people is not under it
            Ok((manifest, _)) => {
                let Manifest { name, licence, data, training, .. } = manifest.clone();
                let told = Manifest { name, licence, data, training, ..undamaged.clone() };
                prop_assert!(manifest == told, "a damaged model is refused");
            }
            Err(error) => is_clear(&error)?,
        }
        Ok(())
    });
    // a manifest that asks for more than there is
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let text = String::from_utf8_lossy(&good[8..8 + header]).into_owned();
    let number = proptest::sample::select(vec![
        "0",
        "1",
        "4294967295",
        "18446744073709551615",
        "-1",
        "1e300",
        "\"x\"",
        "[]",
    ]);
    cases(96, &(any::<usize>(), number), |(which, number)| {
        let places: Vec<(usize, usize)> = numbers(&text);
        let (from, to) = places[which % places.len()];
        let forged = format!("{}{number}{}", &text[..from], &text[to..]);
        let bytes = [&(forged.len() as u64).to_le_bytes(), forged.as_bytes(), &good[8 + header..]].concat();
        match model::parse(&bytes, &Device::Cpu) {
            Ok(_) => Ok(()),
            Err(error) => is_clear(&error),
        }
    });
}

/// Places of the numbers in `text`.
fn numbers(text: &str) -> Vec<(usize, usize)> {
    let (mut found, mut start) = (Vec::new(), None);
    for (i, byte) in text.bytes().enumerate() {
        match (byte.is_ascii_digit(), start) {
            (true, None) => start = Some(i),
            (false, Some(from)) => {
                found.push((from, i));
                start = None;
            }
            _ => {}
        }
    }
    found
}

#[cfg(feature = "lab")]
#[test]
fn checkpoints() {
    let good = checkpoint::training(&checkpoint::network(4, 4, 3), &checkpoint::heads(4, 4, 2));
    cases(2048, &damages(), |damages| match TorchFile::read(Cursor::new(spoil(&good, &damages))) {
        Ok(file) => {
            let mut waiting = vec![file.root()];
            let mut seen = 0;
            while let Some(value) = waiting.pop() {
                seen += 1;
                if seen > 10_000 {
                    break;
                }
                waiting.extend(value.items());
                waiting.extend(value.entries().flat_map(|(key, value)| [key, value]));
            }
            Ok(())
        }
        Err(error) => is_clear(&error),
    });
    cases(2048, &proptest::collection::vec(any::<u8>(), 0..200), |bytes| {
        let bytes = [b"\x80\x02".as_slice(), &bytes].concat();
        TorchFile::read(Cursor::new(bytes)).map_or_else(|error| is_clear(&error), |_| Ok(()))
    });
    for opening in [b"(".as_slice(), b"]", b"}", b"(]"] {
        let bytes = [b"\x80\x02".as_slice(), &opening.repeat(1 << 20)].concat();
        assert!(TorchFile::read(Cursor::new(bytes)).is_err(), "brackets without end");
    }
}

#[test]
fn kept_states() {
    let texts = prop_oneof![
        "\\PC{0,200}",
        Just("[".repeat(100_000)),
        Just("{\"state_version\":1,\"calibration\":".repeat(1000)),
        "\\{\"state_version\":[0-9]{1,30}(,\"calibration\":\\{\\})?\\}",
    ];
    cases(512, &texts, |text| {
        let _ = StreamState::from_json(text.as_bytes());
        Ok(())
    });
}

#[test]
fn requests() {
    let words = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("\"stream\": "),
        Just("\"verdict\": \"normal\""),
        Just("\"id\": "),
        Just("\"number\": "),
        Just("\"events_per_hour\": "),
        Just("\"seconds\": "),
        Just("\"transaction\": "),
        Just("\"mic\""),
        Just(","),
        Just("1e999"),
        Just("-1"),
        Just("18446744073709551616"),
        Just("null"),
        Just("\u{0}"),
        Just("../../#"),
    ];
    let texts = proptest::collection::vec(words, 0..16).prop_map(|words| words.concat().into_bytes());
    let payloads =
        prop_oneof![texts, proptest::collection::vec(any::<u8>(), 0..2000), Just(b"[".repeat(1024))];
    let asked = (0..Command::ALL.len(), proptest::option::of("\\PC{0,12}"), payloads);
    cases(1024, &asked, |(command, stream, payload)| {
        if let Err(error) = Request::parse(Command::ALL[command], stream.as_deref(), &payload) {
            is_clear(&error)?;
            prop_assert_eq!(error.kind(), ErrorKind::Config);
        }
        Ok(())
    });
}

const CAPS: OutboxLimits = OutboxLimits { max_bytes: 1 << 26, max_age: Duration::from_secs(86_400) };

/// A damaged outbox is opened or moved aside: either way it takes new events, and looking at it harms nothing.
#[test]
fn outboxes() {
    let message = |n: usize| Message {
        topic: "t".to_owned(),
        stream: "s".to_owned(),
        payload: format!("{n:0>300}").into_bytes(),
    };
    let intact = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(intact.path(), CAPS).unwrap();
    outbox.append(&(0..100).map(message).collect::<Vec<_>>()).unwrap();
    drop(outbox);
    let good = std::fs::read(intact.path().join("outbox.redb")).unwrap();
    cases(64, &damages(), |damages| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("outbox.redb");
        std::fs::write(&file, spoil(&good, &damages)).unwrap();
        let _ = inspect(folder.path());
        let mut outbox = Outbox::open(folder.path(), CAPS).unwrap();
        outbox.append(&[message(7)]).unwrap();
        let tally = outbox.tally();
        prop_assert_eq!(tally.accepted, tally.acked + tally.pending() + tally.dropped);
        prop_assert!(tally.pending() >= 1);
        Ok(())
    });
}
