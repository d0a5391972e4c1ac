//! The sending side of `microphone`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use ulid::Ulid;

use super::args::MicrophoneArgs;
use super::sender::{Piece, Sender};
use crate::capture::{
    CHUNK_HEADER, CaptureConfig, ChunkCoding, LARGEST_CHUNK, Notice, OpenSource, PcmForm, PcmFormat,
    SourceChange, SourceConfig, open, xruns,
};
use crate::cli::args::stop_flag;
use crate::error::Result;
use crate::mqtt::check_id;
use crate::ring::Read;
use crate::units::to_i16;

/// Longest wait for sound.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A pipe is read a little faster than the clock goes, so that what records into it never waits.
const PACE: f64 = 1.001;

impl MicrophoneArgs {
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
    let stop = stop_flag()?;
    let source = args.source();
    source.validate()?;
    let sender = Sender::start(args)?;
    // a file or a pipe can wait for its hearers, a device cannot
    while args.device.is_none() && !sender.is_up() && !stop.load(Ordering::Relaxed) {
        thread::sleep(POLL_INTERVAL);
    }
    let (notify, notices) = bounded(64);
    let capture = CaptureConfig { chunk_ms: args.chunk_ms, ..CaptureConfig::default() };
    let input = open(&source, &capture, notify)?;
    let mut speaker = MicrophonePublisher {
        sender,
        format: if args.float { PcmFormat::F32le } else { PcmFormat::S16le },
        coding: args.compress.coding(),
        chunk_ms: args.chunk_ms,
        rate: 0,
        session: 0,
        next: 0,
        samples: Vec::new(),
        paced: source.stdin.is_some(),
        due: Instant::now(),
    };
    speaker.listen(input, &notices, &stop);
    speaker.sender.finish();
    Ok(())
}

struct MicrophonePublisher {
    sender: Sender,
    format: PcmFormat,
    coding: ChunkCoding,
    chunk_ms: u32,
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
}

impl MicrophonePublisher {
    fn listen(&mut self, mut input: OpenSource, notices: &Receiver<Notice>, stop: &AtomicBool) {
        let mut piece = vec![0.0; 4096];
        while !stop.load(Ordering::Relaxed) {
            notices.try_iter().for_each(|notice| log_notice(&notice));
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
        }
        notices.try_iter().for_each(|notice| log_notice(&notice));
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
            PcmFormat::S16le => samples.flat_map(|x| to_i16(x).to_le_bytes()).collect(),
        };
        let pcm = PcmForm { rate: self.rate, channels: 1, format: self.format };
        let piece = Piece { pcm, session: self.session, first: self.next, bytes, coding: self.coding };
        self.next += count as u64;
        self.sender.send(piece, Instant::now());
    }
}

fn log_notice(notice: &Notice) {
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
