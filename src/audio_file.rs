//! Audio files decoded block by block in constant memory.
//!
//! WAV and its relatives, with headers as recorders leave them, are read here; FLAC, Ogg/Vorbis, MP3, AAC, ALAC, AIFF, CAF
//! and Matroska by symphonia; anything else that is a container of sound by ffmpeg, where that is installed.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blocks;
mod bytes;
mod format;
pub(crate) mod frames;
mod packets;
mod pcm;
mod riff;
mod step;
#[cfg(test)]
mod tests;
mod transcoder;

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use blocks::Blocks;
use bytes::Bytes;
use packets::Packets;
use step::Step;
use transcoder::Transcoder;

use crate::error::{Error, Result};
use crate::units::is_valid_sample;

const READABLE: &str = "give a WAV, FLAC, OGG, MP3, M4A, AIFF or CAF file with sound in it; with ffmpeg installed most other \
                        kinds are read too";

/// Endings of the names of files that folders are searched for, in lower case.
pub const ENDINGS: [&str; 36] = [
    "wav", "wave", "bwf", "w64", "rf64", "flac", "ogg", "oga", "opus", "mp3", "m4a", "m4b", "mp4", "aac",
    "aif", "aiff", "aifc", "caf", "mka", "webm", "au", "snd", "wma", "amr", "wv", "mp2", "ac3", "tta", "voc",
    "ape", "spx", "mkv", "mov", "avi", "3gp", "ts",
];

/// Whether the name of the file at `path` ends as those of audio files do.
#[must_use]
pub fn is_named_like_audio(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// The container that `start`, the first bytes of an input (12 suffice), belongs to, for people; none where it may be raw
/// PCM.
#[must_use]
pub fn container(start: &[u8]) -> Option<&'static str> {
    match start {
        [b'R', b'I', b'F', b'F' | b'X', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some("WAV"),
        [b'R', b'F', b'6', b'4', ..] | [b'B', b'W', b'6', b'4', ..] => Some("WAV with 64-bit sizes"),
        [b'r', b'i', b'f', b'f', 0x2e, 0x91, ..] => Some("Wave64"),
        [b'f', b'L', b'a', b'C', ..] => Some("FLAC"),
        [b'O', b'g', b'g', b'S', ..] => Some("Ogg"),
        [b'I', b'D', b'3', 0..=4, ..] => Some("MP3"),
        [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', b'F' | b'C', ..] => Some("AIFF"),
        [b'c', b'a', b'f', b'f', ..] => Some("CAF"),
        [b'.', b's', b'n', b'd', ..] => Some("AU"),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some("Matroska"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some("MP4"),
        [b'w', b'v', b'p', b'k', ..] => Some("WavPack"),
        [b'T', b'T', b'A', b'1' | b'2', ..] => Some("True Audio"),
        [b'M', b'A', b'C', b' ', ..] => Some("Monkey's Audio"),
        [b'#', b'!', b'A', b'M', b'R', ..] => Some("AMR"),
        [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, ..] => Some("ASF"),
        [b'C', b'r', b'e', b'a', b't', b'i', b'v', b'e', b' ', b'V', b'o', b'i', ..] => Some("VOC"),
        _ => None,
    }
}

enum Source {
    Blocks(Blocks),
    Packets(Packets),
}

impl Source {
    fn form(&self) -> (u32, u16) {
        match self {
            Self::Blocks(blocks) => blocks.form(),
            Self::Packets(packets) => packets.form(),
        }
    }

    fn frames(&self) -> Option<u64> {
        match self {
            Self::Blocks(blocks) => blocks.frames(),
            Self::Packets(packets) => packets.frames(),
        }
    }
}

/// An audio file, read from its start to its end.
pub struct AudioReader {
    path: PathBuf,
    source: Source,
    rate: u32,
    channels: u16,
    frames: Option<u64>,
    /// Decoded when the file was opened, to know that it holds sound.
    first: Option<Vec<f32>>,
    damaged: bool,
    ended: bool,
}

impl AudioReader {
    /// Opens the file at `path`, which may be a pipe, and decodes its first block.
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
        if path.is_dir() {
            return Err(Error::device(format!("{shown} is a directory, not an audio file"), READABLE));
        }
        let mut bytes = Bytes::of_file(file);
        let start = bytes.peek(16).map(<[u8]>::to_vec).map_err(|e| unreadable(path, &e))?;
        if start.is_empty() {
            return Err(Error::device(format!("the audio file {shown} is empty (0 bytes)"), READABLE));
        }
        let regular = bytes.is_seekable();
        let opened = Self::read(bytes, path);
        let Err(error) = opened else { return opened };
        if regular
            && (transcoder::may_know(&start) || is_named_like_audio(path) && container(&start).is_none())
        {
            return Self::transcode(path).map_err(|why| match why {
                Some(why) => Error::device(format!("{error}; {why}"), error.fix()),
                None => error,
            });
        }
        Err(error)
    }

    /// Reads sound in a container from a pipe that people know as `name`.
    ///
    /// # Errors
    /// When it is no container of sound, or one that can only be read from a file.
    pub fn from_pipe(pipe: impl io::Read + Send + Sync + 'static, name: &str) -> Result<Self> {
        Self::read(Bytes::of_pipe(pipe), Path::new(name))
    }

    /// Reads a source that is known to people as `path`.
    fn read(source: Bytes, path: &Path) -> Result<Self> {
        contained(|| Self::probe(source, path)).unwrap_or_else(|| {
            Err(Error::device(format!("{} is damaged beyond reading", path.display()), READABLE))
        })
    }

    fn probe(mut bytes: Bytes, path: &Path) -> Result<Self> {
        let not_audio = |why: String| {
            Error::device(format!("{} is no audio file that can be read: {why}", path.display()), READABLE)
        };
        let start = bytes.peek(40).map_err(|e| unreadable(path, &e))?;
        if riff::is_riff(start) {
            let header = riff::read_header(&mut bytes).map_err(|refusal| match refusal {
                riff::Refusal::Io(e) => unreadable(path, &e),
                riff::Refusal::Unknown(why) => not_audio(why),
            })?;
            return Self::begin(Source::Blocks(Blocks::new(bytes, header, None).map_err(not_audio)?), path);
        }
        let seekable = bytes.is_seekable();
        let media = bytes.into_media().map_err(|e| unreadable(path, &e))?;
        let packets = Packets::open(media, path).map_err(|why| {
            let pipe = if seekable { "" } else { " (from a pipe, which cannot be read twice)" };
            not_audio(format!("{why}{pipe}"))
        })?;
        Self::begin(Source::Packets(packets), path)
    }

    /// The file at `path` by way of ffmpeg; the reason where it runs and cannot read it either.
    fn transcode(path: &Path) -> std::result::Result<Self, Option<String>> {
        // an error to start it is no news: most machines do not have it
        let Ok((mut bytes, mut writer)) = Transcoder::start(path) else { return Err(None) };
        let Ok(header) = riff::read_header(&mut bytes) else { return Err(writer.finish()) };
        let blocks = Blocks::new(bytes, header, Some(writer)).map_err(Some)?;
        Self::begin(Source::Blocks(blocks), path).map_err(|_| None)
    }

    fn begin(source: Source, path: &Path) -> Result<Self> {
        let mut reader = Self {
            path: path.to_owned(),
            frames: source.frames(),
            source,
            rate: 0,
            channels: 0,
            first: None,
            damaged: false,
            ended: false,
        };
        let mut first = Vec::new();
        if !reader.decode(&mut first)? {
            return Err(Error::device(
                format!("{} holds no samples (a header alone)", path.display()),
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
    /// false at the end. Invalid samples ([`is_valid_sample`]) become 0.
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
        while !self.ended {
            let step = match &mut self.source {
                Source::Blocks(blocks) => blocks.next(block),
                Source::Packets(packets) => packets.next(block),
            };
            match step {
                Step::Sound if block.is_empty() => {}
                Step::Sound => {
                    self.keeps_its_form(self.source.form())?;
                    return Ok(true);
                }
                Step::Odd(why) => tracing::warn!(file = %self.path.display(), why, "odd audio file"),
                Step::Bad(why) => {
                    block.clear();
                    self.damage(&why);
                }
                Step::End(missing) => {
                    self.ended = true;
                    missing.iter().for_each(|why| self.damage(why));
                }
                Step::Failed(e) => return Err(unreadable(&self.path, &e)),
            }
        }
        block.clear();
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

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::device(format!("cannot read {}: {error}", path.display()), "check the disk and the file")
}

/// Runs `work` of the decoders; none where one of them panics, as some do over headers that were forged.
fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    // what panicked is not used again: a reader that was not made, or one that has ended
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Turns interleaved samples into one channel, or the mean of all for `None`, in place. Invalid samples
/// ([`is_valid_sample`]) become 0.
pub fn to_mono(samples: &mut Vec<f32>, channels: u16, channel: Option<u16>) {
    let width = usize::from(channels.max(1));
    let count = samples.len() / width;
    let clean = |x: f32| if is_valid_sample(x) { x } else { 0.0 };
    if width == 1 && channel.is_none_or(|channel| channel == 0) {
        samples.iter_mut().for_each(|x| *x = clean(*x));
        return;
    }
    for i in 0..count {
        let Some(frame) = samples.get(i * width..(i + 1) * width) else { break };
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
    collect(AudioReader::read(Bytes::of_memory(bytes), Path::new("a bundled clip"))?)
}

fn collect(mut reader: AudioReader) -> Result<(Vec<f32>, u32)> {
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    while reader.next_mono(None, &mut block)? {
        samples.extend_from_slice(&block);
    }
    Ok((samples, reader.rate()))
}
