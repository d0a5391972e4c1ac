//! Microphones that publish their sound: chunks of PCM or FLAC over MQTT.
//!
//! Such a source is live, as a device is. A chunk has its position in its session, so that missing frames become a gap
//! of exactly their length, and repeated or reordered chunks are corrected ([`ReorderBuffer`]).

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chunk;
mod flac;
mod mqtt_audio_input;
mod reorder;
mod topics;

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

pub use chunk::{CHUNK_HEADER, CHUNK_MAGIC, CHUNK_VERSION, Chunk, ChunkCoding, LARGEST_CHUNK};
pub use mqtt_audio_input::MqttAudioInput;
use mqtt_audio_input::needed;
use reorder::{OrderedStep, Piece, ReorderBuffer};
pub use topics::MicTopics;

use super::config::SourceConfig;
use super::driver::{Opened, Opening, SourceDriver, USUAL_RATE};
use super::intake::Intake;
use super::link::{ReportedState, SourceChange, SourceLink};
use super::pcm::decode;
use super::timeline::Timeline;
use crate::error::{Error, Result};
use crate::mqtt::{Incoming, IncomingMessage, is_valid_id};

/// Messages that wait for the source at most.
const QUEUE: usize = 256;
/// Without sound for so long it is offline.
const SILENT: Duration = Duration::from_secs(2);
/// Longest wait for a message.
const LOOK: Duration = Duration::from_millis(100);

/// A microphone that publishes its sound.
struct MicDriver(String);

/// The driver of `mqtt`.
pub(super) fn driver(source: &SourceConfig) -> Option<Result<Box<dyn SourceDriver>>> {
    Some(Ok(Box::new(MicDriver(source.mqtt.clone()?))))
}

impl SourceDriver for MicDriver {
    fn name(&self) -> String {
        format!("microphone {}", self.0)
    }

    fn default_id(&self) -> String {
        self.0.clone()
    }

    fn is_live(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        if is_valid_id(&self.0) {
            return Ok(());
        }
        Err(Error::config(
            format!("the microphone {:?} is not made of letters, digits, _ and - (at most 64)", self.0),
            "write in `mqtt` the id that the microphone was given, like \"porch\"",
        ))
    }

    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened> {
        let microphones = needed(opening.microphones)?;
        let (way, posts) = bounded(QUEUE);
        let (intake, readers) = (opening.rings)(USUAL_RATE)?;
        microphones.listen(&self.0, &way);
        let link = opening.link;
        let opened = Opened::new(readers, move || run(&self.0, &posts, intake, &link));
        Ok(Opened { mic: Some(way), ..opened })
    }
}

/// Runs such a source until it is stopped.
fn run(id: &str, posts: &Receiver<Incoming>, intake: Intake, link: &SourceLink) {
    let mut receiver = ChunkReceiver {
        id,
        intake,
        link,
        reorder: ReorderBuffer::default(),
        timeline: Timeline::default(),
        reported: ReportedState::default(),
    };
    let mut steps = Vec::new();
    let (mut last_received, mut rests, mut away) = (Instant::now(), false, None::<String>);
    while !link.stopping() {
        let due = receiver.reorder.due().map_or(LOOK, |due| due.saturating_duration_since(Instant::now()));
        match posts.recv_timeout(due.min(LOOK)) {
            Ok(Incoming::Message(message)) if !rests => receiver.take(&message, &mut steps),
            Ok(Incoming::Message(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Incoming::Connected) => {
                (rests, away) = (false, None);
                last_received = Instant::now();
            }
            Ok(Incoming::ByOtherPath) => {
                (rests, away) = (false, None);
                last_received = Instant::now();
                receiver.reported.online(link, || format!("microphone {id}, stored by the cluster"));
            }
            Ok(Incoming::Disconnected(reason)) => away = Some(format!("the broker is away ({reason})")),
            Ok(Incoming::Refused(reason)) => away = Some(reason.to_string()),
            Ok(Incoming::Elsewhere(node)) => {
                // another worker analyses it meanwhile: the time until its return is not a gap of this one
                (receiver.reorder, receiver.timeline, rests) =
                    (ReorderBuffer::default(), Timeline::default(), true);
                receiver.rest(node.as_deref());
            }
            Err(RecvTimeoutError::Disconnected) => drop(link.sleep_until(Instant::now() + LOOK)),
        }
        receiver.reorder.give_up(Instant::now(), &link.counters.chunks, &mut steps);
        if !steps.is_empty() {
            last_received = Instant::now();
            receiver.play(&mut steps);
        }
        if !rests && last_received.elapsed() >= SILENT {
            receiver.report_offline(match &away {
                Some(reason) => format!("microphone {id}: {reason}"),
                None => format!("microphone {id}: no sound for {} s", SILENT.as_secs()),
            });
        }
    }
}

struct ChunkReceiver<'a> {
    id: &'a str,
    intake: Intake,
    link: &'a SourceLink,
    reorder: ReorderBuffer,
    timeline: Timeline,
    reported: ReportedState,
}

impl ChunkReceiver<'_> {
    fn take(&mut self, message: &IncomingMessage, steps: &mut Vec<OrderedStep>) {
        let counts = &self.link.counters.chunks;
        counts.count(|c| &c.taken);
        let chunk = match Chunk::read(&message.payload) {
            Ok(chunk) if chunk.pcm.channels >= self.intake.channels_needed() => chunk,
            refused => {
                let why = refused.err().unwrap_or("it lacks a channel that is wanted");
                if counts.count(|c| &c.refused) == 0 {
                    tracing::warn!(
                        "microphone {}: a chunk is refused: {why}; others are only counted",
                        self.id
                    );
                }
                return;
            }
        };
        let mut samples = Vec::with_capacity(chunk.bytes.len() / chunk.pcm.format.bytes());
        decode(&chunk.bytes, chunk.pcm.format, &mut samples);
        let piece = Piece { first: chunk.first, frames: chunk.frames(), samples, at: message.at };
        self.reorder.take((chunk.pcm, chunk.session), piece, counts, steps);
    }

    fn play(&mut self, steps: &mut Vec<OrderedStep>) {
        for step in steps.drain(..) {
            match step {
                OrderedStep::Begin(form) => {
                    // channels were checked before
                    let _ = self.intake.expect(form.channels, form.rate);
                    self.timeline.reopened(form.rate);
                }
                OrderedStep::Gap(lost) => {
                    self.link.counters.chunks.add_missing(lost);
                    self.intake.mark_gap(lost);
                }
                OrderedStep::Sound(piece) => self.sound(&piece),
            }
        }
    }

    fn sound(&mut self, piece: &Piece) {
        let (rate, channels) = (self.intake.rate(), self.intake.channels());
        let id = self.id;
        self.reported.online(self.link, || format!("microphone {id} {rate} Hz {channels} ch"));
        let length = Duration::from_secs_f64(piece.frames as f64 / f64::from(self.intake.rate().max(1)));
        let captured = piece.at.checked_sub(length).unwrap_or(piece.at);
        let frames = usize::try_from(piece.frames).unwrap_or(usize::MAX);
        let lost = self.timeline.arrived(frames, Duration::ZERO, captured, false);
        if lost > 0 {
            self.intake.mark_gap(lost);
        }
        self.intake.anchor(captured);
        self.intake.take(&piece.samples);
    }

    fn rest(&mut self, node: Option<&str>) {
        let Some(node) = node else {
            return self.report_offline(format!("microphone {}: no worker analyses it yet", self.id));
        };
        self.link.notify(SourceChange::Elsewhere { node: node.to_owned() });
        self.reported = ReportedState::Nothing;
    }

    fn report_offline(&mut self, reason: String) {
        self.reported.offline(self.link, reason);
    }
}
