//! Microphones that publish their sound: what is missing is a gap of its length, what comes twice or out of order does no
//! harm, strangers are refused, and the figures balance.
#![cfg(feature = "mqtt")]

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::support::broker::{Broker, await_for};
use crate::support::daemon::{Daemon, program};
use crate::support::sound;
use cpc_stream::internal::capture::{Chunk, ChunkCoding, PcmForm};
use cpc_stream::internal::publish::{ChunkHealth, Health};
use rumqttc::{Client, Event, MqttOptions, Outgoing, QoS};

const SOON: Duration = Duration::from_secs(30);
/// Frames of a chunk.
const PIECE: usize = 320;
const TOPIC: &str = "cpc-stream/mic/porch/audio";
const SESSION: u32 = 7;

/// A microphone as somebody else would build it.
struct Microphone {
    client: Client,
    samples: Vec<i16>,
    sent: u64,
}

impl Microphone {
    fn start(broker: &Broker) -> Self {
        let mut options = MqttOptions::new("esp32", "127.0.0.1", broker.address().port());
        options.set_keep_alive(Duration::from_secs(60)).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut connection) = Client::new(options, 2048);
        thread::spawn(move || {
            for event in connection.iter() {
                if matches!(event, Err(_) | Ok(Event::Outgoing(Outgoing::Disconnect))) {
                    break;
                }
            }
        });
        Self { client, samples: sound::whistles(20, 20), sent: 0 }
    }

    fn say(&mut self, message: Vec<u8>) {
        self.client.publish(TOPIC, QoS::AtMostOnce, false, message).unwrap();
        self.sent += 1;
    }

    fn chunk(&self, session: u32, n: usize) -> Vec<u8> {
        let start = n * PIECE % self.samples.len();
        let piece = &self.samples[start..start + PIECE];
        let (pcm, first) = (PcmForm::default(), (n * PIECE) as u64);
        // PCM and FLAC take turns
        let coding = if n.is_multiple_of(2) { ChunkCoding::Pcm } else { ChunkCoding::Flac };
        Chunk { pcm, session, first, delay_ms: 0, bytes: sound::bytes(piece).into() }.write(coding)
    }

    /// Chunk number `n`.
    fn give(&mut self, n: usize) {
        let chunk = self.chunk(SESSION, n);
        self.say(chunk);
    }

    /// Chunks one after another, twice as fast as they were captured.
    fn play(&mut self, range: std::ops::Range<usize>) {
        for n in range {
            self.give(n);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn missing_repeated_late_and_hostile_chunks_are_counted_and_the_rest_is_scored() {
    let (home, broker) = (tempfile::tempdir().unwrap(), Broker::start());
    let config = format!(
        "node = \"hall\"\n[[source]]\nmqtt = \"porch\"\n[publish]\nbroker = \"{}\"\nhealth_s = 1\n[detect]\ncalibrate_seconds = 10.0\n",
        broker.url()
    );
    std::fs::write(home.path().join("c.toml"), config).unwrap();
    let (health, presence) = (broker.subscribe("+/+/health"), broker.subscribe("+/+/porch/availability"));
    let mut command = program(home.path());
    command.args(["--config", "c.toml", "--state-dir", "state"]).stdin(Stdio::null());
    let daemon = Daemon::start(&mut command);
    let silent = presence.next("/availability", SOON).payload;
    assert!(silent.contains("no sound") || silent.contains("away"), "{silent}");

    // until the daemon has subscribed, nobody hears anything
    let mut mic = Microphone::start(&broker);
    let chunks = |health: &Health| health.streams["porch"].chunks.unwrap_or_default();
    let taken = || {
        let health: Health = serde_json::from_str(&health.next("/health", SOON).payload).unwrap();
        chunks(&health)
    };
    await_for("a subscription", SOON, || {
        mic.say(b"nonsense".to_vec());
        (taken().taken > 0).then_some(())
    });
    // the last of it may be on its way
    taken();
    let (said, before) = (mic.sent, taken().taken);
    mic.sent = 0;

    mic.play(0..100);
    // five never come, others twice
    mic.play(105..150);
    (120..123).for_each(|n| mic.give(n));
    // out of order
    for n in [151, 150, 154, 153, 152] {
        mic.give(n);
    }
    mic.play(155..200);
    mic.give(199);
    // one of the five after all
    mic.give(102);
    // another microphone of that name, one from the far future, a cut, and what nobody understands
    let (stranger, mut cut) = (mic.chunk(SESSION + 1, 3), mic.chunk(SESSION, 200));
    mic.say(stranger);
    mic.give(1 << 40);
    cut.truncate(101);
    mic.say(cut);
    // magic, place of the PCM, rate, channels, format
    let spoilt = [0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14];
    for n in 0..50u8 {
        let mut message = mic.chunk(SESSION, 200);
        message[spoilt[usize::from(n) % spoilt.len()]] ^= 0x55;
        message.truncate(40 + usize::from(n));
        mic.say(if n % 2 == 0 { message } else { vec![n; usize::from(n) * 7] });
    }
    mic.say(vec![0; 200_000]);
    mic.play(200..300);
    while !presence.next("/availability", SOON).payload.contains("online") {}

    // away for more than two seconds, with a count that goes on
    let gone = presence.next("/availability", SOON).payload;
    assert!(gone.contains("no sound"), "{gone}");
    mic.play(500..600);
    while !presence.next("/availability", SOON).payload.contains("online") {}

    let counts = await_for("all chunks", SOON, || {
        let now = taken();
        (now.taken >= before + mic.sent).then_some(now)
    });
    let refused = before + 1 + 1 + 1 + 50 + 1;
    let missing = (5 + 200) * PIECE as u64;
    let expected =
        ChunkHealth { taken: before + mic.sent, late: 1, repeated: 4, refused, missing_frames: missing };
    assert!(before <= said);
    assert_eq!(counts, expected);

    daemon.stop(SOON);
    let last = broker.subscribe("cpc-stream/hall/health").next("/health", SOON);
    let last: Health = serde_json::from_str(&last.payload).unwrap();
    let porch = &last.streams["porch"];
    assert_eq!(porch.samples_in, (600 - 205) * PIECE as u64, "{porch:?}");
    assert_eq!(porch.samples_in, porch.samples_scored + porch.samples_shed, "{porch:?}");
    assert_eq!((porch.lost_samples, porch.overruns), (missing, 0), "{porch:?}");
}
