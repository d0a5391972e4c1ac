//! A file as a source: paced like a microphone, or as fast as it is analysed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::config::SourceConfig;
use super::driver::{Opened, Opening, SourceDriver};
use super::intake::Intake;
use super::link::{SourceChange, SourceLink};
use crate::audio_file::AudioReader;
use crate::error::Result;
use crate::mqtt::slug;

/// A file.
struct FileDriver(PathBuf);

/// The driver of `file`.
pub(super) fn driver(source: &SourceConfig) -> Option<Result<Box<dyn SourceDriver>>> {
    Some(Ok(Box::new(FileDriver(source.file.clone()?))))
}

impl SourceDriver for FileDriver {
    fn name(&self) -> String {
        format!("file {}", self.0.display())
    }

    fn default_id(&self) -> String {
        slug(&self.0.file_stem().unwrap_or_default().to_string_lossy(), '_', "source")
    }

    fn is_live(&self) -> bool {
        false
    }

    fn keeps_pace(&self) -> bool {
        true
    }

    fn open(self: Box<Self>, opening: Opening<'_>) -> Result<Opened> {
        let reader = AudioReader::open(&self.0)?;
        let (mut intake, readers) = (opening.rings)(reader.rate())?;
        intake.expect(reader.channels(), reader.rate()).map_err(|e| e.context(self.0.display()))?;
        let pace = if opening.source.fast { Pace::Fast } else { Pace::Microphone };
        let (chunk_ms, link) = (opening.capture.chunk_ms, opening.link);
        Ok(Opened::new(readers, move || run(reader, &mut intake, pace, chunk_ms, &link)))
    }
}

/// The pace of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// In real time, in chunks; samples that find the ring full are lost, as from a microphone.
    Microphone,
    /// As fast as the reader takes it; nothing is lost.
    Fast,
}

fn run(mut reader: AudioReader, intake: &mut Intake, pace: Pace, chunk_ms: u32, link: &SourceLink) {
    let length = reader.duration_s().map_or_else(String::new, |s| format!(" {s:.1} s"));
    let (rate, channels) = (reader.rate(), reader.channels());
    link.notify(SourceChange::Online { description: format!("file {rate} Hz {channels} ch{length}") });
    let mut player = Player { start: Instant::now(), given: 0, pace, intake, link };
    let chunk = (u64::from(rate) * u64::from(chunk_ms) / 1000).max(1) as usize * usize::from(channels);
    let (mut waiting, mut block) = (Vec::new(), Vec::new());
    let failure = loop {
        match reader.next_block(&mut block) {
            Ok(true) => waiting.extend_from_slice(&block),
            Ok(false) => {
                player.give(&waiting);
                break None;
            }
            Err(e) => break Some(e.to_string()),
        }
        let whole = waiting.len() / chunk * chunk;
        if !waiting[..whole].chunks(chunk).all(|chunk| player.give(chunk)) {
            return;
        }
        waiting.drain(..whole);
    };
    let frames = player.given;
    link.notify(SourceChange::Ended { frames, failure });
}

struct Player<'a> {
    start: Instant,
    /// Frames given so far.
    given: u64,
    pace: Pace,
    intake: &'a mut Intake,
    link: &'a SourceLink,
}

impl Player<'_> {
    /// Gives one chunk, in time; false when the source is to stop.
    fn give(&mut self, chunk: &[f32]) -> bool {
        let first = self.time_of(self.given);
        self.given += (chunk.len() / self.intake.channels()) as u64;
        match self.pace {
            Pace::Fast => self.intake.take_blocking(chunk, || !self.link.stopping()),
            Pace::Microphone => {
                if !self.link.sleep_until(self.time_of(self.given)) {
                    return false;
                }
                self.intake.anchor(first);
                self.intake.take(chunk);
                true
            }
        }
    }

    /// The time at which a microphone would have captured frame `index`.
    fn time_of(&self, index: u64) -> Instant {
        self.start + Duration::from_secs_f64(index as f64 / f64::from(self.intake.rate()))
    }
}
