//! A stream that is cut anywhere goes on elsewhere as if nothing had happened: what it remembers is saved, an engine that has never
//! heard of it takes that over, and gives the same readings, contexts and findings, bit for bit.
//!
//! What both remember after the next piece is compared as well, byte for byte. So by induction all that follows is the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Device;
use cpc_stream::internal::detect::{Calibration, DetectConfig};
use cpc_stream::internal::model::{self, Cpc, Manifest};
use cpc_stream::internal::runtime::{Engine, EngineOutput, StreamMemory};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::sound;

/// What happens to a stream.
#[derive(Debug, Clone)]
enum Step {
    Samples(Vec<f32>),
    Gap(u64),
}

struct Place {
    cpc: Arc<Cpc>,
    manifest: Manifest,
    config: DetectConfig,
}

impl Place {
    fn new() -> Self {
        let (manifest, cpc) = model::embedded(&Device::Cpu).unwrap();
        let config =
            DetectConfig { calibrate_seconds: 10.0, events_per_hour: 120.0, ..DetectConfig::default() };
        Self { cpc: Arc::new(cpc), manifest, config }
    }

    fn engine(&self) -> Engine {
        let mut engine = Engine::new(Arc::clone(&self.cpc), &self.manifest, self.config.clone()).unwrap();
        engine.step_alone();
        engine.pool_contexts(7);
        engine
    }
}

/// Does a step; what it says is appended to `said`.
fn step(engine: &mut Engine, stream: usize, rate: u32, step: &Step, said: &mut Vec<String>) {
    let mut note = |output: EngineOutput| match output {
        EngineOutput::Reading { frame, reading, .. } => said.push(format!("frame {frame}: {reading:?}")),
        EngineOutput::Finding { finding, .. } => said.push(format!("{finding:?}")),
        EngineOutput::Embedding { pooled, .. } => {
            let bits: Vec<u32> = pooled.mean.iter().map(|x| x.to_bits()).collect();
            said.push(format!("contexts {}: {bits:?}", pooled.first_frame));
        }
        _ => {}
    };
    match step {
        Step::Samples(samples) => engine.feed(stream, samples).unwrap(),
        Step::Gap(lost) => engine.gap(stream, *lost, rate, &mut note).unwrap(),
    }
    engine.run(&mut note).unwrap();
}

type Calibrations = BTreeMap<String, String>;

/// What a stream remembers; its calibrations are added to `kept`.
fn save(engine: &Engine, stream: usize, kept: &mut Calibrations) -> Option<StreamMemory> {
    let memory = engine.memory(stream).unwrap()?;
    for id in &memory.calibrations {
        let detector = engine.pipeline(stream).unwrap().detector();
        let json = || serde_json::to_string(detector.calibration_with(id).unwrap()).unwrap();
        kept.entry(id.clone()).or_insert_with(json);
    }
    Some(memory)
}

fn resume(engine: &mut Engine, memory: &StreamMemory, kept: &Calibrations) -> usize {
    let mut find = |id: &str| serde_json::from_str::<Calibration>(kept.get(id)?).ok();
    engine.resume("s", &memory.bytes, &mut find).unwrap()
}

/// The sound in pieces of any length up to 3 s.
fn in_pieces(sound: &[f32], rate: u32, seed: u64) -> Vec<Step> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut rest, mut steps) = (sound, Vec::new());
    while !rest.is_empty() {
        let longest = if rng.random_range(0..3) == 0 { rate as usize * 3 } else { 700 };
        let (piece, after) = rest.split_at(rng.random_range(1..=longest).min(rest.len()));
        steps.push(Step::Samples(piece.to_vec()));
        rest = after;
    }
    steps
}

/// Runs all steps at once, and again with a new engine after each step after which the memory can be saved. How often that was,
/// and what was said.
fn check(place: &Place, rate: u32, steps: &[Step]) -> (usize, Vec<String>) {
    let (mut whole, mut kept) = (place.engine(), Calibrations::new());
    let stream = whole.add("s", rate, None).unwrap();
    let mut saved: Option<(StreamMemory, usize, usize)> = None;
    let (mut said, mut times) = (Vec::new(), 0);
    for (at, one) in steps.iter().enumerate() {
        step(&mut whole, stream, rate, one, &mut said);
        let Some(memory) = save(&whole, stream, &mut kept) else { continue };
        if let Some((before, from, said_before)) = &saved {
            let (mut again, mut repeated) = (place.engine(), Vec::new());
            // another slot, and another number of the stream
            let other = again.add("other", rate, None).unwrap();
            let resumed = resume(&mut again, before, &kept);
            assert_ne!(resumed, other);
            for one in &steps[*from..=at] {
                step(&mut again, resumed, rate, one, &mut repeated);
            }
            let expected = &said[*said_before..];
            let differs = expected.iter().zip(&repeated).position(|(a, b)| a != b);
            assert_eq!(
                differs.map(|n| (&expected[n], &repeated[n])),
                None,
                "step {at}: the first difference of what is said"
            );
            assert_eq!(expected.len(), repeated.len(), "step {at}");
            let after = save(&again, resumed, &mut Calibrations::new()).unwrap();
            assert_eq!(after.calibrations, memory.calibrations);
            let differs = after.bytes.iter().zip(&memory.bytes).position(|(a, b)| a != b);
            assert_eq!(
                (differs, after.bytes.len()),
                (None, memory.bytes.len()),
                "step {at}: what is remembered"
            );
            times += 1;
        }
        saved = Some((memory, at + 1, said.len()));
    }
    (times, said)
}

fn floats(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|&x| f32::from(x) / 32_768.0).collect()
}

/// 40 s of a room: 12 s quiet, then a whistle every 4 s; with gaps, digital silence, invalid samples and a clipped second.
fn eventful(seed: u64) -> Vec<Step> {
    let mut sound = floats(&sound::whistles(40, 12));
    sound[18 * 16_000..19 * 16_000].fill(0.0);
    sound[30 * 16_000 + 5] = f32::NAN;
    sound[33 * 16_000..34 * 16_000].iter_mut().for_each(|x| *x = (*x * 100.0).clamp(-1.0, 1.0));
    let mut steps = Vec::new();
    for (number, part) in sound.chunks(8 * 16_000 + 77).enumerate() {
        steps.extend(in_pieces(part, 16_000, seed + number as u64));
        // in the first calibration, in an event, and a short one
        steps.push(Step::Gap([3000, 160, 1, 70_001][number % 4]));
    }
    steps
}

#[test]
fn a_cut_anywhere_changes_nothing() {
    let place = Place::new();
    for seed in [1, 2] {
        let (times, said) = check(&place, 16_000, &eventful(seed));
        let events = said.iter().filter(|line| line.contains("phase: End")).count();
        assert!(times > 20 && events >= 3, "{times} cuts, {events} events");
    }
}

#[test]
fn other_rates_resume_too() {
    let place = Place::new();
    let sound = sound::whistles(24, 12);
    let sound: Vec<f32> = floats(&sound).iter().flat_map(|&x| [x, x, x]).collect();
    let (times, said) = check(&place, 48_000, &in_pieces(&sound, 48_000, 3));
    assert!(times > 5 && said.iter().any(|line| line.contains("phase: New")), "{times} cuts");
}

/// The site changes for good: it is learnt anew, and the calibration before is a former one.
#[test]
fn another_site_is_learnt_and_the_former_one_is_remembered() {
    let place = Place::new();
    let mut sound = floats(&sound::whistles(14, 100));
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut tone = 0.0f32;
    sound.extend((0..160 * 16_000).map(|_| {
        tone = (tone + 0.9) % 6.0;
        0.05 * (tone - 3.0) / 3.0 + rng.random_range(-0.1..0.1f32)
    }));
    let steps: Vec<Step> = sound.chunks(4 * 16_000 + 33).map(|piece| Step::Samples(piece.to_vec())).collect();
    let (times, said) = check(&place, 16_000, &steps);
    assert!(said.iter().any(|line| line.contains("Relearning")), "the site was not learnt anew");
    let last = said.iter().rfind(|line| line.starts_with("frame")).unwrap();
    assert!(times > 10 && last.contains("Watching"), "{times} cuts; {last}");
}

#[test]
fn damaged_and_foreign_memories_are_refused() {
    let place = Place::new();
    let (mut engine, mut kept) = (place.engine(), Calibrations::new());
    engine.add("s", 16_000, None).unwrap();
    let sound = floats(&sound::whistles(16, 11));
    step(&mut engine, 0, 16_000, &Step::Samples(sound[..48_000].to_vec()), &mut Vec::new());
    assert!(engine.memory(0).unwrap().is_none(), "while it collects sound for a calibration");
    step(&mut engine, 0, 16_000, &Step::Samples(sound[48_000..].to_vec()), &mut Vec::new());
    let memory = save(&engine, 0, &mut kept).unwrap();
    eprintln!(
        "a stream remembers {} bytes besides its calibration of {} as JSON",
        memory.bytes.len(),
        kept.values().map(String::len).sum::<usize>()
    );
    let refused = |engine: &mut Engine, bytes: &[u8], kept: &Calibrations| {
        let mut find = |id: &str| serde_json::from_str::<Calibration>(kept.get(id)?).ok();
        engine.resume("s", bytes, &mut find).unwrap_err().to_string()
    };
    for end in [0, 31, 40, 1000, memory.bytes.len() / 2, memory.bytes.len() - 1] {
        refused(&mut engine, &memory.bytes[..end], &kept);
    }
    let longer = [memory.bytes.as_slice(), &[0]].concat();
    assert!(refused(&mut engine, &longer, &kept).contains("damaged"));
    assert!(refused(&mut engine, &memory.bytes, &Calibrations::new()).contains("missing"));
    let config = DetectConfig { hang_ms: 300.0, ..place.config.clone() };
    let mut other = Place { config, ..Place::new() }.engine();
    assert!(refused(&mut other, &memory.bytes, &kept).contains("[detect]"));
    // none of these left a stream behind
    assert_eq!(resume(&mut engine, &memory, &kept), engine.add("next", 16_000, None).unwrap() - 1);
}
