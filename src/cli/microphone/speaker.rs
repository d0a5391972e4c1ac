//! The sending side of `microphone`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use serde_json::json;
use ulid::Ulid;

use super::MicrophoneArgs;
use crate::capture::{
    CHUNK_HEADER, CaptureConfig, Chunk, LARGEST_CHUNK, MicTopics, Notice, OpenSource, PcmForm, PcmFormat,
    SourceChange, SourceConfig, open, xruns,
};
use crate::cli::args::stop_flag;
use crate::error::Result;
use crate::mqtt::link::ConnectOptions;
use crate::mqtt::{MqttClient, Protocol};
use crate::publish::{PublishConfig, check_id};
use crate::ring::Read;

/// How often the microphone says that it is there.
const HELLO_INTERVAL: Duration = Duration::from_millis(400);
/// Longest wait for sound.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long the last sound may take to the broker.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// A pipe is read a little faster than the clock goes, so that what records into it never waits.
const PACE: f64 = 1.001;

impl MicrophoneArgs {
    fn publish(&self) -> PublishConfig {
        PublishConfig {
            broker: Some(self.broker.clone()),
            username: self.access.username.clone(),
            password_file: self.access.password_file.clone(),
            prefix: self.prefix.clone(),
            protocol: Protocol::V5,
            tls: self.access.tls(),
            ..PublishConfig::default()
        }
    }

    fn source(&self) -> SourceConfig {
        let source = match (&self.device, self.input.as_deref()) {
            (Some(device), _) => SourceConfig::from_device(device),
            (None, Some("-")) => SourceConfig::from_stdin(self.pcm.form()),
            (None, input) => SourceConfig::from_file(input.unwrap_or_default(), false),
        };
        SourceConfig { id: Some(self.id.clone()), channels: self.channel.map(|n| vec![n]), ..source }
    }
}

pub(super) fn run(args: &MicrophoneArgs) -> Result<()> {
    check_id("microphone id", &args.id)?;
    let publish = args.publish();
    publish.validate("microphone")?;
    let stop = stop_flag()?;
    let source = args.source();
    source.validate()?;
    let options = ConnectOptions {
        protocol: Protocol::V5,
        keep_alive: KEEP_ALIVE,
        message_expiry_s: 2,
        ..publish.options(format!("cpc-stream-mic-{}", args.id))?
    };
    let client = MqttClient::start("mics", "microphone", options)?;
    // a file or a pipe can wait for its hearers, a device cannot
    while args.device.is_none() && !client.is_up() && !stop.load(Ordering::Relaxed) {
        thread::sleep(POLL_INTERVAL);
    }
    let (notify, notices) = bounded(64);
    let capture = CaptureConfig { chunk_ms: args.chunk_ms, ..CaptureConfig::default() };
    let input = open(&source, &capture, notify)?;
    let topics = MicTopics::new(&args.prefix);
    let mut speaker = MicrophonePublisher {
        audio: topics.audio(&args.id),
        hello: topics.hello(&args.id),
        format: if args.float { PcmFormat::F32le } else { PcmFormat::S16le },
        chunk_ms: args.chunk_ms,
        client,
        rate: 0,
        session: 0,
        next: 0,
        samples: Vec::new(),
        paced: source.stdin.is_some(),
        due: Instant::now(),
        hailed: None,
        sent: 0,
        dropped: 0,
        unreported: 0,
    };
    speaker.listen(input, &notices, &stop);
    speaker.client.stop(STOP_TIMEOUT);
    tracing::info!("{} chunks were sent, {} dropped", speaker.sent, speaker.dropped);
    Ok(())
}

struct MicrophonePublisher {
    audio: String,
    hello: String,
    format: PcmFormat,
    chunk_ms: u32,
    client: MqttClient,
    rate: u32,
    session: u32,
    /// Index of the first of `samples` in the session.
    next: u64,
    /// Samples of the incomplete chunk.
    samples: Vec<f32>,
    /// The input comes as fast as it is read.
    paced: bool,
    /// When the next sample is due then.
    due: Instant,
    hailed: Option<Instant>,
    sent: u64,
    dropped: u64,
    /// Of these, the ones not reported yet.
    unreported: u64,
}

impl MicrophonePublisher {
    fn listen(&mut self, mut input: OpenSource, notices: &Receiver<Notice>, stop: &AtomicBool) {
        let mut piece = vec![0.0; 4096];
        while !stop.load(Ordering::Relaxed) {
            notices.try_iter().for_each(|notice| publish_qos1(&notice));
            let Some(feed) = input.feeds.first_mut() else { return };
            match feed.reader.read(&mut piece) {
                Read::Rate(rate) => {
                    self.flush();
                    (self.rate, self.session, self.next) = (rate, Ulid::generate().0 as u32, 0);
                    self.due = Instant::now();
                }
                Read::Samples(count) => self.take(piece.get(..count).unwrap_or_default()),
                Read::Gap { lost } => {
                    self.flush();
                    self.next += lost;
                }
                Read::Empty => drop(feed.reader.wait(POLL_INTERVAL)),
                Read::Closed => {
                    self.flush();
                    break;
                }
            }
            self.send_hello();
        }
        notices.try_iter().for_each(|notice| publish_qos1(&notice));
    }

    fn chunk(&self) -> usize {
        let frames = (u64::from(self.rate) * u64::from(self.chunk_ms) / 1000).max(1);
        let most = (LARGEST_CHUNK - CHUNK_HEADER) / self.format.bytes();
        usize::try_from(frames).map_or(most, |frames| frames.min(most))
    }

    fn take(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
        let length = self.chunk();
        while self.samples.len() >= length {
            self.send(length);
            self.send_hello();
        }
    }

    fn flush(&mut self) {
        if !self.samples.is_empty() {
            self.send(self.samples.len());
        }
    }

    /// Sends the first `count` samples.
    fn send(&mut self, count: usize) {
        if self.paced {
            thread::sleep(self.due.saturating_duration_since(Instant::now()));
            self.due = self.due.max(Instant::now().checked_sub(POLL_INTERVAL).unwrap_or(self.due))
                + Duration::from_secs_f64(count as f64 / (f64::from(self.rate.max(1)) * PACE));
        }
        let samples = self.samples.drain(..count);
        let bytes: Vec<u8> = match self.format {
            PcmFormat::F32le => samples.flat_map(f32::to_le_bytes).collect(),
            PcmFormat::S16le => samples.flat_map(|x| to_integer(x).to_le_bytes()).collect(),
        };
        let pcm = PcmForm { rate: self.rate, channels: 1, format: self.format };
        let chunk = Chunk { pcm, session: self.session, first: self.next, bytes: &bytes };
        self.next += count as u64;
        if self.client.publish_qos0(self.audio.clone(), chunk.write()) {
            self.sent += 1;
            if self.unreported > 0 {
                tracing::warn!("{} chunks were dropped, since the broker was away", self.unreported);
                self.unreported = 0;
            }
        } else {
            (self.dropped, self.unreported) = (self.dropped + 1, self.unreported + 1);
        }
    }

    /// Sends a hello, when it is due.
    fn send_hello(&mut self) {
        let now = Instant::now();
        if self.rate == 0 || self.hailed.is_some_and(|last| now < last + HELLO_INTERVAL) {
            return;
        }
        let document = json!({ "rate": self.rate, "channels": 1, "session": self.session });
        if self.client.publish_qos1(self.hello.clone(), document.to_string().into_bytes()) {
            self.hailed = Some(now);
        }
    }
}

/// A sample as an integer of 16 bits, the inverse of how it is read.
fn to_integer(x: f32) -> i16 {
    (x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

fn publish_qos1(notice: &Notice) {
    let source = &notice.source;
    match &notice.change {
        SourceChange::Online { description } => tracing::info!("{source}: {description}"),
        SourceChange::Offline { reason } => tracing::warn!("{source}: offline: {reason}"),
        SourceChange::WrongRate { nominal, measured } => {
            tracing::warn!("{source}: it says {nominal} Hz and gives {measured}; it is taken at that");
        }
        SourceChange::RateOff { nominal, measured } => {
            tracing::warn!("{source}: {measured} samples a second come where {nominal} are configured");
        }
        SourceChange::Xrun { count } => tracing::warn!("{source}: {}", xruns(*count)),
        SourceChange::Ended { frames, failure } => {
            let why = failure.as_deref().unwrap_or("end of the input");
            tracing::info!("{source}: {why} after {frames} samples");
        }
        SourceChange::Elsewhere { .. } => {}
    }
}
