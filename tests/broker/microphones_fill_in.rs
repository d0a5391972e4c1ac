//! A microphone that speaks NATS: what the servers did not take while they were away waits at the microphone, and follows in order once
//! they are there again, each sample once. So the detector sees no gap. One that speaks MQTT is kept by the same servers. What
//! they send is compressed: the samples and the events are those of a microphone that sends PCM.
#![cfg(feature = "cluster")]

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config, StorageType};
use cpc_stream::internal::capture::{Chunk, ChunkCoding, PcmForm};
use cpc_stream::internal::cluster::{ChunkFit, Sequencer};
use serde_json::Value;

use crate::cluster::{CHUNK, Setup, documents, owners, runtime, status, worker};
use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, program};
use crate::support::nats::{Nats, all_of, stream_of, times_of};
use crate::support::sound;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn sound_of_an_outage_follows() {
    outage(Duration::from_secs(6));
}

/// `cargo test --release --test broker an_outage_of_a_minute -- --ignored`
#[test]
#[ignore = "two minutes and a half"]
fn sound_of_an_outage_of_a_minute_follows() {
    outage(Duration::from_secs(60));
}

/// The servers are frozen for so long, run for 3 s, and are then killed and away for half as long.
fn outage(cut: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let mut nats = Nats::start();
    let runtime = runtime();
    let context = runtime.block_on(nats.context());
    let config = Config {
        name: "sound".to_owned(),
        subjects: vec!["cpc-stream.mic.*.audio".to_owned()],
        storage: StorageType::File,
        ..Config::default()
    };
    runtime.block_on(context.create_stream(config)).unwrap();
    let mics = ["plain", "porch"];
    let broker = Some(nats.mqtt_url());
    let setup = Setup {
        url: nats.url(),
        sound: "sound",
        mics: &mics,
        more: "sound_on_disk = true",
        broker,
        events_per_hour: 1.0,
    };
    let detector = worker(home, &setup, "herd", "w1");
    await_for("the streams to be analysed", SOON, || owners(home, "w1", mics.len()));

    let seconds = (cut.as_secs() * 3 / 2 + 20) as u32;
    let samples = sound::whistles(seconds, 13);
    sound::write_wav(&home.join("porch.wav"), &samples, 16_000);
    let start = |id: &str, url: &str| {
        let mut command = program(home);
        command
            .args(["microphone", "--id", id, "--broker", url, "--input", "porch.wav", "--compress", "flac"])
            .stdin(Stdio::null());
        Daemon::start(&mut command)
    };
    let begun = Instant::now();
    let (porch, yard) = (start("porch", &nats.url()), start("yard", &nats.mqtt_url()));
    await_for("the first sound", SOON, || {
        let kept =
            runtime.block_on(async { stream_of(&context, "sound").await.cached_info().state.messages });
        (kept > 100).then_some(())
    });
    nats.freeze();
    thread::sleep(cut);
    nats.thaw();
    porch.await_log(&["the servers store sound again"], SOON);
    thread::sleep(Duration::from_secs(3));
    nats.kill();
    thread::sleep(cut / 2);
    nats.start_again();
    let outcome = porch.finish(Duration::from_secs(u64::from(seconds)) + SOON);
    eprintln!("after {:.1} s:\n{}", begun.elapsed().as_secs_f64(), outcome.stderr);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let whole = format!("{seconds}.00 s of sound are stored, 0.00 s were dropped, 0.00 s still waited");
    assert!(outcome.stderr.contains(&whole), "{whole}: {}", outcome.stderr);
    drop(yard);

    // as the detector sees it: from one session, without a gap, each sample once
    let context = runtime.block_on(nats.context());
    let kept = runtime.block_on(all_of(&context, "sound"));
    let times = runtime.block_on(times_of(&context, "sound"));
    let (mut order, mut received, mut longest, mut of_mqtt) = (Sequencer::default(), Vec::new(), 0, 0);
    let (played, mut session, mut sent) = (sound::bytes(&samples), 0, 0);
    for ((subject, payload), time) in kept.iter().zip(times) {
        let chunk = Chunk::read(payload).unwrap();
        let begin = 2 * chunk.first as usize;
        assert_eq!(*chunk.bytes, played[begin..begin + chunk.bytes.len()], "{subject}");
        if !subject.contains("porch") {
            of_mqtt += 1;
            continue;
        }
        (session, sent) = (chunk.session, sent + payload.len());
        let captured = time.saturating_sub(Duration::from_millis(u64::from(chunk.delay_ms)));
        let expected = if received.is_empty() { ChunkFit::Begin } else { ChunkFit::Follows { lost: 0 } };
        assert_eq!(order.take(&chunk, captured), expected, "chunk {} of the session", chunk.first);
        received.extend_from_slice(&chunk.bytes);
        longest = longest.max(chunk.delay_ms);
    }
    assert!(received == played, "{} bytes of {}", received.len(), played.len());
    assert!(sent < received.len(), "{sent} bytes carry {}", received.len());
    assert!(u128::from(longest) > cut.as_millis() / 2, "the longest delay is {longest} ms");
    assert!(of_mqtt > 50, "{of_mqtt} chunks came by MQTT");

    // and the detector itself
    let last =
        runtime.block_on(async { stream_of(&context, "sound").await.cached_info().state.last_sequence });
    let report = await_for("the detector to have heard everything", SOON, || {
        let report = status(home, "w1")?;
        let at = report["streams"]["porch"]["sequence"].as_u64()?;
        let of_porch = kept.iter().rposition(|(subject, _)| subject.contains("porch")).unwrap() as u64 + 1;
        assert!(of_porch <= last);
        (at >= of_porch).then_some(report)
    });
    let of_worker = &report["workers"]["w1"];
    assert_eq!(
        (&of_worker["refused"], &of_worker["inexact"]),
        (&Value::from(0), &Value::from(0)),
        "{of_worker}"
    );
    let healths = nats.subscribe("cpc-stream/w1/health");
    let lost = await_for("health of the stream", SOON, || {
        let health: Value = serde_json::from_str(&healths.next("/health", SOON).payload).unwrap();
        let stream = &health["streams"]["porch"];
        (stream["samples_scored"].as_u64()? > 0).then(|| stream["lost_samples"].as_u64())
    });
    assert_eq!(lost, Some(0));

    // the same sound as PCM
    runtime.block_on(async {
        for (n, bytes) in played.chunks(2 * CHUNK).enumerate() {
            let first = (n * CHUNK) as u64;
            let chunk = Chunk { pcm: PcmForm::default(), session, first, delay_ms: 0, bytes: bytes.into() }
                .write(ChunkCoding::Pcm);
            context.publish("cpc-stream.mic.plain.audio", chunk.into()).await.unwrap().await.unwrap();
        }
    });
    let same = await_for("as many documents of the plain sound", SOON, || {
        let mut found = runtime.block_on(documents(&context, "herd"));
        let (plain, porch) = (found.remove("plain")?, found.remove("porch")?);
        (plain.len() == porch.len()).then(|| (findings(plain), findings(porch)))
    });
    assert!(same.0.len() >= 4, "{} documents", same.0.len());
    assert_eq!(same.0, same.1);
    drop(detector);
}

/// The documents without what differs between sessions: names, ids and times of the clock.
fn findings(mut documents: Vec<Value>) -> Vec<Value> {
    for document in &mut documents {
        for key in ["stream", "id", "boot", "onset", "offset"] {
            assert!(document.as_object_mut().unwrap().remove(key).is_some(), "{key}");
        }
    }
    documents
}
