//! Threads that share the streams find what one thread finds. Where as many streams are stepped together, what an engine says
//! is the same to the bit; else products round differently.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use candle_core::Device;
use cpc_stream::internal::detect::DetectConfig;
use cpc_stream::internal::event::Event;
use cpc_stream::internal::model;
use cpc_stream::internal::runtime::{Engine, EngineOutput};

use crate::support::daemon::run;
use crate::support::sound::{whistles, write_wav};

const LIMIT: Duration = Duration::from_secs(120);
const STREAMS: usize = 3;

fn louder(samples: &[i16], stream: usize) -> Vec<i16> {
    samples.iter().map(|&x| (f32::from(x) * (0.6 + 0.1 * stream as f32)) as i16).collect()
}

/// All that an engine says of `STREAMS` streams, the first of which is the `first` of all.
fn said(mut engine: Engine, samples: &[i16], first: usize) -> Vec<String> {
    let mut said = Vec::new();
    let mut note = |heard: EngineOutput| said.push(format!("{heard:?}"));
    for stream in 0..STREAMS {
        engine.add(format!("s{}", first + stream), 16_000, None).unwrap();
    }
    let streams: Vec<Vec<f32>> = (0..STREAMS)
        .map(|stream| louder(samples, first + stream).iter().map(|&x| f32::from(x) / 32_768.0).collect())
        .collect();
    for from in (0..samples.len()).step_by(1600) {
        for (stream, samples) in streams.iter().enumerate() {
            engine.feed(stream, &samples[from..(from + 1600).min(samples.len())]).unwrap();
        }
        engine.run(&mut note).unwrap();
    }
    for stream in 0..STREAMS {
        engine.end(stream, &mut note).unwrap();
    }
    said
}

#[test]
fn engines_on_the_same_weights_give_the_same_bits() {
    let (manifest, cpc) = model::embedded(&Device::Cpu).unwrap();
    let cpc = Arc::new(cpc);
    let config = DetectConfig { calibrate_seconds: 12.0, events_per_hour: 60.0, ..DetectConfig::default() };
    let new = || Engine::new(Arc::clone(&cpc), &manifest, config.clone()).unwrap();
    let samples = whistles(30, 14);
    let alone = [0, STREAMS].map(|first| said(new(), &samples, first));
    let one = new();
    let other = one.with_same_weights().unwrap().unwrap();
    let samples = &samples;
    let together = thread::scope(|scope| {
        let threads = [(one, 0), (other, STREAMS)]
            .map(|(engine, first)| scope.spawn(move || said(engine, samples, first)));
        threads.map(|thread| thread.join().unwrap())
    });
    for (alone, together) in alone.iter().zip(&together) {
        assert!(alone.iter().filter(|said| said.starts_with("Finding")).count() >= 4);
        assert_eq!(alone.len(), together.len());
        let differs = alone.iter().zip(together).find(|(alone, together)| alone != together);
        assert_eq!(differs, None);
    }
}

/// The events of three files by as many threads, in order for each stream.
fn events(threads: &str) -> Vec<Event> {
    let home = tempfile::tempdir().unwrap();
    let samples = whistles(44, 14);
    let names = ["a.wav", "b.wav", "c.wav"];
    for (stream, name) in names.iter().enumerate() {
        write_wav(&home.path().join(name), &louder(&samples, 2 * stream), 16_000);
    }
    let inputs = names.iter().flat_map(|name| ["--input", name]);
    let settings = ["--fast", "--calibrate-seconds", "12", "--events-per-hour", "60", "--threads", threads];
    let outcome = run(home.path(), &inputs.chain(settings).collect::<Vec<_>>(), LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.contains("3 threads share 3 streams"), threads == "3", "{}", outcome.stderr);
    let mut events = outcome.events();
    events.sort_by(|a, b| (&a.stream, a.seq).cmp(&(&b.stream, b.seq)));
    events
}

#[test]
fn three_threads_find_what_one_finds() {
    let (one, three) = (events("1"), events("3"));
    assert!(one.len() >= 12, "{}", one.len());
    assert_eq!(one.len(), three.len());
    for (a, b) in one.iter().zip(&three) {
        let of = |event: &Event| {
            let finding = &event.finding;
            let span = (finding.onset_sample, finding.offset_sample);
            (event.stream.clone(), event.seq, finding.phase, finding.number, span, finding.kind)
        };
        assert_eq!(of(a), of(b));
        let (x, y) = (&a.finding, &b.finding);
        assert!((x.score - y.score).abs() < 0.05, "{} {}", x.score, y.score);
    }
    let boots: std::collections::HashSet<_> = three.iter().map(|event| &event.boot).collect();
    assert_eq!(boots.len(), 1);
}
