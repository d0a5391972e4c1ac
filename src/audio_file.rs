//! Audio files (WAV, FLAC, OGG/Vorbis) decoded block by block in constant memory.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use crate::error::{Error, Result};

const READABLE: &str = "give a WAV, FLAC or OGG/Vorbis file with sound in it";

/// Undecodable packets in a row after which the rest of a file is given up.
const BAD_PACKETS: u32 = 64;

/// An audio file, read from its start to its end.
pub struct AudioReader {
    path: PathBuf,
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    rate: u32,
    channels: u16,
    frames: Option<u64>,
    /// Decoded when the file was opened, to know that it holds sound.
    first: Option<Vec<f32>>,
    decoded: u64,
    damaged: bool,
    ended: bool,
}

impl AudioReader {
    /// Opens the file at `path` and decodes its first block.
    ///
    /// # Errors
    /// A device error with its fix when the file is missing, is no audio file of a known kind, or holds no sample.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let shown = path.display();
        let file = File::open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                Error::device(format!("the audio file {shown} does not exist"), "check the path")
            }
            _ => Error::device(format!("cannot open the audio file {shown}: {e}"), "check its permissions"),
        })?;
        let size = file.metadata().map_or(0, |m| m.len());
        if path.is_dir() {
            return Err(Error::device(format!("{shown} is a directory, not an audio file"), READABLE));
        }
        if size == 0 {
            return Err(Error::device(format!("the audio file {shown} is empty (0 bytes)"), READABLE));
        }
        Self::read(Box::new(file), path, size)
    }

    /// Reads a source of `size` bytes that is known to people as `path`.
    fn read(source: Box<dyn MediaSource>, path: &Path, size: u64) -> Result<Self> {
        contained(|| Self::probe(source, path, size)).unwrap_or_else(|| {
            Err(Error::device(format!("{} is damaged beyond reading", path.display()), READABLE))
        })
    }

    fn probe(source: Box<dyn MediaSource>, path: &Path, size: u64) -> Result<Self> {
        let shown = path.display();
        let not_audio = |why: String| {
            Error::device(format!("{shown} is no audio file that can be read: {why}"), READABLE)
        };
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
            hint.with_extension(extension);
        }
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let format = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|e| not_audio(e.to_string()))?;
        let track = format
            .default_track(TrackType::Audio)
            .ok_or_else(|| not_audio("it has no audio track".into()))?;
        let parameters = track
            .codec_params
            .as_ref()
            .and_then(|p| p.audio())
            .ok_or_else(|| not_audio("its audio codec is not known".into()))?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|e| not_audio(e.to_string()))?;
        let (id, frames) = (track.id, track.num_frames);
        let mut reader = Self {
            path: path.to_owned(),
            format,
            decoder,
            track: id,
            rate: 0,
            channels: 0,
            frames,
            first: None,
            decoded: 0,
            damaged: false,
            ended: false,
        };
        let mut first = Vec::new();
        if !reader.decode(&mut first)? {
            return Err(Error::device(
                format!("{shown} holds no samples ({size} bytes, a header alone)"),
                "record it again, or give a file with sound in it",
            ));
        }
        reader.first = Some(first);
        Ok(reader)
    }

    /// Sample rate of the file in Hz.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Channels, at least 1.
    #[must_use]
    pub fn channels(&self) -> u16 {
        self.channels
    }

    /// Length in seconds as the header tells it, where it does.
    #[must_use]
    pub fn duration_s(&self) -> Option<f64> {
        self.frames.filter(|&n| n > 0).map(|n| n as f64 / f64::from(self.rate))
    }

    /// Whether a damaged place was met: what could be decoded was delivered and a warning logged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Replaces `block` by the next samples, interleaved, in [-1, 1] for integer formats; false at the end.
    /// Float files may hold anything, NaN too.
    ///
    /// # Errors
    /// When the file changes its rate or channels on the way, or cannot be read. Damage is no error: see
    /// [`AudioReader::is_damaged`].
    pub fn next_block(&mut self, block: &mut Vec<f32>) -> Result<bool> {
        if let Some(first) = self.first.take() {
            *block = first;
            return Ok(true);
        }
        self.decode(block)
    }

    /// Replaces `block` by the next samples of one channel (numbered from 0), or the mean of all for `None`;
    /// false at the end. What is not a number becomes 0.
    ///
    /// # Errors
    /// Like [`AudioReader::next_block`], and when there is no such channel.
    pub fn next_mono(&mut self, channel: Option<u16>, block: &mut Vec<f32>) -> Result<bool> {
        if let Some(channel) = channel.filter(|&c| c >= self.channels) {
            return Err(Error::device(
                format!("{} has no channel {channel}, only 0..{}", self.path.display(), self.channels),
                "choose another channel (they count from 0)",
            ));
        }
        let more = self.next_block(block)?;
        to_mono(block, self.channels, channel);
        Ok(more)
    }

    fn decode(&mut self, block: &mut Vec<f32>) -> Result<bool> {
        contained(|| self.decode_on(block)).unwrap_or_else(|| {
            block.clear();
            self.ended = true;
            self.damage("the decoder gave up");
            Ok(false)
        })
    }

    fn decode_on(&mut self, block: &mut Vec<f32>) -> Result<bool> {
        block.clear();
        let mut bad = 0;
        while !self.ended {
            match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track => match self.decoder.decode(&packet) {
                    Ok(decoded) if decoded.frames() > 0 => {
                        let found = (decoded.spec().rate(), decoded.num_planes() as u16);
                        decoded.copy_to_vec_interleaved(block);
                        self.decoded += decoded.frames() as u64;
                        self.keeps_its_form(found)?;
                        return Ok(true);
                    }
                    Ok(_) => {}
                    Err(e) => {
                        bad += 1;
                        self.ended = bad == BAD_PACKETS;
                        self.damage(&e.to_string());
                    }
                },
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.ended = true;
                    if self.frames.is_some_and(|frames| self.decoded < frames) {
                        self.damage("it ends before its time");
                    }
                }
                Err(Symphonia::IoError(e)) if e.kind() != io::ErrorKind::UnexpectedEof => {
                    let cause = format!("cannot read {}: {e}", self.path.display());
                    return Err(Error::device(cause, "check the disk and the file"));
                }
                Err(e) => {
                    self.ended = true;
                    self.damage(&e.to_string());
                }
            }
        }
        Ok(false)
    }

    fn keeps_its_form(&mut self, found: (u32, u16)) -> Result<()> {
        if self.rate == 0 {
            (self.rate, self.channels) = found;
        }
        if found == (self.rate, self.channels) && found.0 > 0 && found.1 > 0 {
            return Ok(());
        }
        let (shown, rate, channels) = (self.path.display(), self.rate, self.channels);
        Err(Error::device(
            format!(
                "{shown} changes from {rate} Hz, {channels} channels to {} Hz, {} channels",
                found.0, found.1
            ),
            "split it where it changes",
        ))
    }

    fn damage(&mut self, why: &str) {
        if !self.damaged {
            self.damaged = true;
            tracing::warn!(file = %self.path.display(), why, "damaged audio file: what could be decoded is used");
        }
    }
}

/// Runs `work` of the decoders; none where one of them panics, as some do over headers that were forged.
fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    // what panicked is not used again: a reader that was not made, or one that has ended
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Turns interleaved samples into one channel, or the mean of all for `None`, in place. What is not finite
/// becomes 0.
pub fn to_mono(samples: &mut Vec<f32>, channels: u16, channel: Option<u16>) {
    let width = usize::from(channels.max(1));
    let count = samples.len() / width;
    for i in 0..count {
        let Some(frame) = samples.get(i * width..(i + 1) * width) else { break };
        let clean = |x: f32| if x.is_finite() { x } else { 0.0 };
        let mixed = match channel {
            Some(c) => frame.get(usize::from(c)).map_or(0.0, |&x| clean(x)),
            None => frame.iter().map(|&x| clean(x)).sum::<f32>() / width as f32,
        };
        if let Some(sample) = samples.get_mut(i) {
            *sample = mixed;
        }
    }
    samples.truncate(count);
}

/// The whole file as mono samples (the mean of its channels, finite) and its rate in Hz: for training, where
/// the clips are short.
///
/// # Errors
/// Like [`AudioReader::open`] and [`AudioReader::next_block`].
pub fn read_mono(path: impl AsRef<Path>) -> Result<(Vec<f32>, u32)> {
    collect(AudioReader::open(path)?)
}

/// All samples of an audio file that is part of this program, mixed to mono, and their rate.
///
/// # Errors
/// When it is no audio file.
pub fn decode_mono(bytes: &'static [u8]) -> Result<(Vec<f32>, u32)> {
    collect(AudioReader::read(
        Box::new(io::Cursor::new(bytes)),
        Path::new("a bundled clip"),
        bytes.len() as u64,
    )?)
}

fn collect(mut reader: AudioReader) -> Result<(Vec<f32>, u32)> {
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    while reader.next_mono(None, &mut block)? {
        samples.extend_from_slice(&block);
    }
    Ok((samples, reader.rate()))
}
