//! Embeddings on the broker are the model's contexts, averaged, in the layout that docs/mqtt.md tells.

#![cfg(feature = "mqtt")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::broker::{Broker, ReceivedMessage as Message, Subscriber};
use crate::support::daemon::{Daemon, program};
use crate::support::sound::write_wav;
use candle_core::{Device, Tensor};
use cpc_stream::internal::detect::DetectConfig;
use cpc_stream::internal::model::{Cpc, embedded};
use cpc_stream::internal::publish::{Embedding, EmbeddingSource, EmbeddingType};
use cpc_stream::internal::runtime::{Engine, EngineOutput, MeanContext};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LONG: Duration = Duration::from_secs(30);

/// Noise that swells, `seconds` of it at 16 kHz.
fn sound(seconds: usize) -> Vec<i16> {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let swell = |i: usize| 4000.0 * (1.2 + (i as f32 / 3000.0).sin());
    (0..seconds * 16_000).map(|i| (swell(i) * rng.random_range(-1.0..1.0f32)) as i16).collect()
}

/// The contexts of the sound, a row a frame.
fn contexts(cpc: &Cpc, samples: &[f32]) -> Vec<Vec<f32>> {
    let samples = Tensor::from_slice(samples, (1, samples.len()), &Device::Cpu).unwrap();
    cpc.forward(&samples).unwrap().contexts.squeeze(0).unwrap().to_vec2().unwrap()
}

fn floats(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|&x| f32::from(x) / 32_768.0).collect()
}

fn assert_mean(found: &[f32], contexts: &[Vec<f32>], first: usize, frames: usize, tolerance: f32) {
    let part = &contexts[first..first + frames];
    assert_eq!(found.len(), part[0].len());
    for (i, x) in found.iter().enumerate() {
        let mean = part.iter().map(|c| c[i]).sum::<f32>() / frames as f32;
        assert!((x - mean).abs() <= tolerance, "frame {first}, number {i}: {x}, expected {mean}");
    }
}

/// The daemon, paced, on `samples`, with 10 embeddings a second of this type.
fn daemon(home: &Path, samples: &[i16], broker: &Broker, more: &str) -> Daemon {
    write_wav(&home.join("hall.wav"), samples, 16_000);
    std::fs::write(home.join("c.toml"), format!("node = \"box\"\n[publish.embedding]\n{more}\n")).unwrap();
    let arguments = ["--config", "c.toml", "--input", "hall.wav", "--broker", &broker.url()];
    Daemon::start(program(home).args(arguments).stdin(Stdio::null()))
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Everything up to the status `stopped`, in hex.
fn until_stopped(live: &Subscriber) -> Vec<Message> {
    let stopped = |heard: &Message| heard.topic.ends_with("/status") && bytes(&heard.payload) == b"stopped";
    std::iter::from_fn(|| Some(live.next("", LONG))).take_while(|heard| !stopped(heard)).collect()
}

#[test]
fn embeddings_are_the_means_of_contexts() {
    let home = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let live = broker.subscribe_hex("cpc-stream/#");
    let samples = sound(5);
    let (manifest, cpc) = embedded(&Device::Cpu).unwrap();
    let expected = contexts(&cpc, &floats(&samples));
    let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let outcome = daemon(home.path(), &samples, &broker, "rate_hz = 10").finish(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let heard = until_stopped(&live);
    let embeddings: Vec<_> = heard.iter().filter(|heard| heard.topic.contains("embedding")).collect();
    // what was heard before the connection stood is gone
    assert!(embeddings.len() >= 20, "{} of 50 came", embeddings.len());
    let mut last = None;
    for heard in &embeddings {
        assert_eq!((heard.topic.as_str(), heard.retained), ("cpc-stream/box/hall/embedding", false));
        let embedding = Embedding::from_bytes(&bytes(&heard.payload)).unwrap();
        assert_eq!((embedding.dtype, embedding.source), (EmbeddingType::F32, EmbeddingSource::C));
        assert_eq!((embedding.frames, embedding.first_frame), (10, 10 * u64::from(embedding.seq)));
        assert_mean(&embedding.values, &expected, embedding.first_frame as usize, 10, 1e-4);
        let model: String = embedding.model.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(model, manifest.short_hash());
        assert!(embedding.time_ns > began, "captured before the start");
        assert!(last.is_none_or(|(seq, time)| embedding.seq > seq && embedding.time_ns > time));
        last = Some((embedding.seq, embedding.time_ns));
    }
}

#[test]
fn nothing_is_sent_unless_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let live = broker.subscribe_hex("cpc-stream/#");
    let outcome = daemon(home.path(), &sound(3), &broker, "").finish(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let heard = until_stopped(&live);
    assert!(heard.iter().any(|heard| heard.topic.ends_with("/score")), "scores come by themselves");
    assert!(heard.iter().all(|heard| !heard.topic.contains("embedding")), "{heard:?}");
}

#[test]
fn a_broker_that_hangs_holds_nothing_up() {
    let home = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    broker.freeze();
    write_wav(&home.path().join("hall.wav"), &sound(20), 16_000);
    std::fs::write(home.path().join("c.toml"), "[publish.embedding]\nrate_hz = 100\n").unwrap();
    let url = broker.url();
    let arguments = ["--config", "c.toml", "--input", "hall.wav", "--fast", "--broker", &url];
    let outcome = Daemon::start(program(home.path()).args(arguments).stdin(Stdio::null())).finish(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("320000 samples scored"), "{}", outcome.stderr);
}

/// The block behind the marker in docs/mqtt.md.
fn subscriber() -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mqtt.md")).unwrap();
    let (_, after) = page.split_once("<!-- ci:embedding -->\n```python\n").expect("a block of Python");
    after.split_once("```").unwrap().0.to_owned()
}

/// A program with all its children, killed together.
struct Family(Child);

impl Drop for Family {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

#[test]
fn the_documented_subscriber_reads_what_comes() {
    let home = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let address = broker.address();
    let samples = sound(20);
    let (manifest, cpc) = embedded(&Device::Cpu).unwrap();
    let expected = contexts(&cpc, &floats(&samples));
    let mut python = Command::new("python3");
    python.args(["-c", &subscriber(), "127.0.0.1", &address.port().to_string()]).process_group(0);
    let child = python.stdout(Stdio::piped()).spawn().expect("python3 starts (apt-get install python3)");
    let mut python = Family(child);
    let mut lines = BufReader::new(python.0.stdout.take().unwrap()).lines();
    let running = daemon(home.path(), &samples, &broker, "rate_hz = 25\ndtype = \"f16\"");
    for _ in 0..5 {
        let line = lines.next().expect("a line for each embedding").unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| words[i].parse::<usize>().unwrap();
        let (seq, first, frames) = (number(1), number(2), number(3));
        assert_eq!((words[0], words[5]), ("cpc-stream/box/hall/embedding", manifest.short_hash()));
        assert_eq!((first, frames), (4 * seq, 4));
        let c: Vec<f32> = words[6..].iter().map(|x| x.parse().unwrap()).collect();
        // halves have 11 bits
        assert_mean(&c, &expected, first, frames, 1e-3);
    }
    let (outcome, _) = running.stop(LONG);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

#[test]
fn a_gap_begins_a_new_mean() {
    let samples = floats(&sound(1));
    let (manifest, cpc) = embedded(&Device::Cpu).unwrap();
    let (before, behind) = samples.split_at(55 * 160);
    let expected = [contexts(&cpc, before), contexts(&cpc, &behind[..30 * 160])];
    let mut engine = Engine::new(std::sync::Arc::new(cpc), &manifest, DetectConfig::default()).unwrap();
    engine.pool_contexts(10);
    let stream = engine.add("hall", 16_000, None).unwrap();
    let mut heard: Vec<MeanContext> = Vec::new();
    let mut sink = |item: EngineOutput| {
        if let EngineOutput::Embedding { pooled, .. } = item {
            heard.push(*pooled);
        }
    };
    engine.feed(stream, before).unwrap();
    engine.run(&mut sink).unwrap();
    engine.gap(stream, /* lost */ 10 * 160, 16_000, &mut sink).unwrap();
    engine.feed(stream, &behind[..30 * 160]).unwrap();
    engine.run(&mut sink).unwrap();
    let firsts: Vec<u64> = heard.iter().map(|pooled| pooled.first_frame).collect();
    assert_eq!(firsts, [0, 10, 20, 30, 40, 65, 75, 85]);
    for pooled in &heard {
        let (part, first) =
            if pooled.first_frame < 65 { (0, pooled.first_frame) } else { (1, pooled.first_frame - 65) };
        assert_mean(&pooled.mean, &expected[part], first as usize, pooled.frames as usize, 1e-4);
    }
}
