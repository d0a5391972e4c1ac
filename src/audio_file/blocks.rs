//! Sound behind a RIFF header, block by block.

use std::io::{self, Read as _};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::bytes::Bytes;
use super::format::Coding;
use super::riff::Header;
use super::step::Step;
use super::transcoder::Transcoder;

/// Frames of a block, at most.
const BLOCK: usize = 4096;
/// Bytes of a block, unless a frame has more.
const BLOCK_BYTES: usize = 1 << 16;

/// The sound of one input.
pub(super) struct Blocks {
    bytes: Bytes,
    header: Header,
    /// Bytes of sound to come, where the header says so.
    left: Option<u64>,
    adpcm: Option<Box<dyn AudioDecoder>>,
    /// The program that writes the input, if there is one.
    writer: Option<Transcoder>,
}

impl Blocks {
    /// The sound of `bytes`, which stand behind `header`. `writer` is kept until the end, and asked how it went.
    ///
    /// # Errors
    /// Why the coding cannot be read.
    pub(super) fn new(bytes: Bytes, header: Header, writer: Option<Transcoder>) -> Result<Self, String> {
        let format = header.format;
        let adpcm = match format.coding {
            Coding::Pcm(_) => None,
            Coding::Adpcm { codec, frames, .. } => {
                let mut parameters = AudioCodecParameters::new();
                parameters
                    .for_codec(codec)
                    .with_sample_rate(format.rate)
                    .with_channels(Channels::Discrete(format.channels))
                    .with_max_frames_per_packet(u64::from(frames))
                    .with_frames_per_block(u64::from(frames));
                let decoders = symphonia::default::get_codecs();
                let decoder = decoders.make_audio_decoder(&parameters, &AudioDecoderOptions::default());
                Some(decoder.map_err(|e| e.to_string())?)
            }
        };
        Ok(Self { left: header.bytes, bytes, header, adpcm, writer })
    }

    /// Rate in Hz, and channels.
    pub(super) fn form(&self) -> (u32, u16) {
        (self.header.format.rate, self.header.format.channels)
    }

    /// Frames of sound, where they are known.
    pub(super) fn frames(&self) -> Option<u64> {
        self.header.frames(self.bytes.remaining())
    }

    /// Replaces `block` by the next samples, interleaved.
    pub(super) fn next(&mut self, block: &mut Vec<f32>) -> Step {
        if let Some(complaint) = self.header.complaint.take() {
            return Step::Odd(complaint);
        }
        let (unit, units) = match self.header.format.coding {
            Coding::Pcm(layout) => {
                (layout.frame_bytes(), BLOCK.min(BLOCK_BYTES / layout.frame_bytes()).max(1))
            }
            Coding::Adpcm { block, .. } => (usize::from(block), 1),
        };
        let wanted =
            self.left.map_or(units, |left| usize::try_from(left).map_or(units, |l| units.min(l / unit)));
        if wanted == 0 {
            return self.end(None);
        }
        let bytes = match self.read(unit, wanted) {
            Ok(bytes) => bytes,
            Err(e) => return Step::Failed(e),
        };
        let whole = bytes.len() / unit * unit;
        if whole == 0 {
            let early = self.left.is_some_and(|left| left > 0) || !bytes.is_empty();
            return self.end(early.then(|| "it ends before its time".to_owned()));
        }
        if let Some(left) = &mut self.left {
            *left -= whole as u64;
        }
        match (self.header.format.coding, &mut self.adpcm) {
            (Coding::Pcm(layout), _) => {
                layout.decode(bytes.get(..whole).unwrap_or_default(), block);
                Step::Sound
            }
            (Coding::Adpcm { frames, .. }, Some(decoder)) => {
                let packet = Packet::new(0, Timestamp::ZERO, Duration::from(u64::from(frames)), bytes);
                match decoder.decode(&packet) {
                    Ok(decoded) => {
                        decoded.copy_to_vec_interleaved(block);
                        Step::Sound
                    }
                    Err(e) => Step::Bad(e.to_string()),
                }
            }
            (Coding::Adpcm { .. }, None) => self.end(None),
        }
    }

    /// What is there of the next `units` units of so many bytes: at least one where there is one, since whoever writes
    /// a pipe may take its time.
    fn read(&mut self, unit: usize, units: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; unit * units];
        let count = loop {
            match self.bytes.read(&mut bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        bytes.truncate(count);
        let missing = (unit - count % unit) % unit;
        if count > 0 && missing > 0 {
            bytes.extend(self.bytes.next_bytes(missing)?);
        }
        Ok(bytes)
    }

    fn end(&mut self, early: Option<String>) -> Step {
        Step::End(self.writer.as_mut().and_then(Transcoder::finish).or(early))
    }
}
