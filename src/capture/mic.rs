//! Microphones that publish their sound: chunks of PCM over MQTT.
//!
//! Such a source is live, as a device is. A chunk says where it stands in its session, so that what is missing is a gap of
//! exactly its length, and what comes twice or out of order is put right ([`Order`]).

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod air;
mod chunk;
mod order;
mod topics;

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

pub use air::Air;
pub(super) use air::needed;
pub use chunk::{CHUNK_HEADER, CHUNK_MAGIC, CHUNK_VERSION, Chunk, LARGEST_CHUNK};
use order::{Order, Piece, Step};
pub use topics::{MicTopic, MicTopics};

use super::intake::Intake;
use super::source::{Change, Link};
use super::stdin::decode;
use super::timeline::Timeline;
use super::wire::tell_offline;
use crate::mqtt::{Letter, Post};

/// Messages that wait for the source at most.
pub(super) const QUEUE: usize = 256;
/// Without sound for so long it is offline.
const SILENT: Duration = Duration::from_secs(2);
/// Longest wait for a message.
const LOOK: Duration = Duration::from_millis(100);

/// The life of such a source, until it is told to stop.
pub(super) fn run(id: &str, posts: &Receiver<Post>, intake: Intake, link: &Link) {
    let mut ear =
        Ear { id, intake, link, order: Order::default(), timeline: Timeline::default(), told: Told::Nothing };
    let mut steps = Vec::new();
    let (mut heard, mut rests, mut away) = (Instant::now(), false, None::<String>);
    while !link.stopping() {
        let due = ear.order.due().map_or(LOOK, |due| due.saturating_duration_since(Instant::now()));
        match posts.recv_timeout(due.min(LOOK)) {
            Ok(Post::Letter(letter)) if !rests => ear.take(&letter, &mut steps),
            Ok(Post::Letter(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Post::Up) => {
                (rests, away) = (false, None);
                heard = Instant::now();
            }
            Ok(Post::Here) => {
                (rests, away) = (false, None);
                heard = Instant::now();
                ear.tell_online(|| format!("microphone {id}, kept by the cluster"));
            }
            Ok(Post::Down(reason)) => away = Some(format!("the broker is away ({reason})")),
            Ok(Post::Refused(reason)) => away = Some(reason.to_string()),
            Ok(Post::Rest(node)) => {
                // whoever hears it meanwhile, the time until it comes back is none of ours
                (ear.order, ear.timeline, rests) = (Order::default(), Timeline::default(), true);
                ear.rest(node.as_deref());
            }
            Err(RecvTimeoutError::Disconnected) => drop(link.sleep_until(Instant::now() + LOOK)),
        }
        ear.order.give_up(Instant::now(), &link.counters.chunks, &mut steps);
        if !steps.is_empty() {
            heard = Instant::now();
            ear.play(&mut steps);
        }
        if !rests && heard.elapsed() >= SILENT {
            ear.tell_offline(match &away {
                Some(reason) => format!("microphone {id}: {reason}"),
                None => format!("microphone {id}: no sound for {} s", SILENT.as_secs()),
            });
        }
    }
}

enum Told {
    Nothing,
    Online,
    Offline(String),
}

struct Ear<'a> {
    id: &'a str,
    intake: Intake,
    link: &'a Link,
    order: Order,
    timeline: Timeline,
    told: Told,
}

impl Ear<'_> {
    fn take(&mut self, letter: &Letter, steps: &mut Vec<Step>) {
        let counts = &self.link.counters.chunks;
        counts.count(|c| &c.taken);
        let chunk = match Chunk::read(&letter.payload) {
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
        decode(chunk.bytes, chunk.pcm.format, &mut samples);
        let piece = Piece { first: chunk.first, frames: chunk.frames(), samples, at: letter.at };
        self.order.take((chunk.pcm, chunk.session), piece, counts, steps);
    }

    fn play(&mut self, steps: &mut Vec<Step>) {
        for step in steps.drain(..) {
            match step {
                Step::Begin(form) => {
                    // channels were looked at before
                    let _ = self.intake.expect(form.channels, form.rate);
                    self.timeline.reopened(form.rate);
                }
                Step::Gap(lost) => {
                    self.link.counters.chunks.add_missing(lost);
                    self.intake.mark_gap(lost);
                }
                Step::Sound(piece) => self.sound(&piece),
            }
        }
    }

    fn sound(&mut self, piece: &Piece) {
        let (rate, channels) = (self.intake.rate(), self.intake.channels());
        let id = self.id;
        self.tell_online(|| format!("microphone {id} {rate} Hz {channels} ch"));
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

    fn tell_online(&mut self, description: impl FnOnce() -> String) {
        if !matches!(self.told, Told::Online) {
            self.link.tell(Change::Online { description: description() });
            self.told = Told::Online;
        }
    }

    fn rest(&mut self, node: Option<&str>) {
        let Some(node) = node else {
            return self.tell_offline(format!("microphone {}: no worker hears it yet", self.id));
        };
        self.link.tell(Change::Elsewhere { node: node.to_owned() });
        self.told = Told::Nothing;
    }

    fn tell_offline(&mut self, reason: String) {
        let mut told = match std::mem::replace(&mut self.told, Told::Nothing) {
            Told::Offline(reason) => Some(reason),
            _ => None,
        };
        tell_offline(self.link, &mut told, reason);
        self.told = told.map_or(Told::Nothing, Told::Offline);
    }
}
