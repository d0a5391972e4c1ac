//! Sound in the containers and codings that symphonia reads.

use std::io;
use std::path::Path;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::step::Step;

/// Undecodable packets in a row after which the rest of a file is given up.
const BAD_PACKETS: u32 = 64;

/// The sound of one input.
pub(super) struct Packets {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    /// Frames as the header says; none where more streams may follow one another in the file.
    frames: Option<u64>,
    decoded: u64,
    /// Undecodable packets in a row, and streams in a row without any packet.
    bad: u32,
    /// Rate and channels of the last block.
    form: (u32, u16),
}

impl Packets {
    /// The sound of `source`; `name` hints at its kind.
    ///
    /// # Errors
    /// Why it is no sound.
    pub(super) fn open(source: Box<dyn MediaSource>, name: &Path) -> Result<Self, String> {
        let mut hint = Hint::new();
        if let Some(extension) = name.extension().and_then(|e| e.to_str()) {
            hint.with_extension(extension);
        }
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let format = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|e| e.to_string())?;
        let (decoder, track, frames) = decoder_of(format.as_ref())?;
        let chains = format.format_info().short_name == "ogg";
        let frames = frames.filter(|_| !chains);
        Ok(Self { format, decoder, track, frames, decoded: 0, bad: 0, form: (0, 0) })
    }

    /// Rate in Hz, and channels, of the last block.
    pub(super) fn form(&self) -> (u32, u16) {
        self.form
    }

    /// Frames of sound, where they are known.
    pub(super) fn frames(&self) -> Option<u64> {
        self.frames
    }

    /// Replaces `block` by the next samples, interleaved.
    pub(super) fn next(&mut self, block: &mut Vec<f32>) -> Step {
        match self.format.next_packet() {
            Ok(Some(packet)) if packet.track_id == self.track => match self.decoder.decode(&packet) {
                Ok(decoded) => {
                    self.bad = 0;
                    if decoded.frames() > 0 {
                        self.form = (decoded.spec().rate(), decoded.num_planes() as u16);
                    }
                    self.decoded += decoded.frames() as u64;
                    decoded.copy_to_vec_interleaved(block);
                    Step::Sound
                }
                Err(Symphonia::ResetRequired) => self.begin_next(),
                Err(_) if self.bad + 1 >= BAD_PACKETS => {
                    Step::End(Some(format!("{BAD_PACKETS} bad packets in a row")))
                }
                Err(e) => {
                    self.bad += 1;
                    Step::Bad(e.to_string())
                }
            },
            Ok(Some(_)) => {
                block.clear();
                Step::Sound
            }
            Ok(None) => {
                let early = self.frames.is_some_and(|frames| self.decoded < frames);
                Step::End(early.then(|| "it ends before its time".to_owned()))
            }
            // one stream after another in a file: a joined recording, or a dump of web radio
            Err(Symphonia::ResetRequired) => self.begin_next(),
            Err(Symphonia::IoError(e)) if e.kind() != io::ErrorKind::UnexpectedEof => Step::Failed(e),
            Err(e) => Step::End(Some(e.to_string())),
        }
    }

    fn begin_next(&mut self) -> Step {
        self.bad += 1;
        if self.bad >= BAD_PACKETS {
            return Step::End(Some(format!("{BAD_PACKETS} streams without sound in a row")));
        }
        match decoder_of(self.format.as_ref()) {
            Ok((decoder, track, _)) => {
                (self.decoder, self.track) = (decoder, track);
                Step::Sound
            }
            Err(why) => Step::End(Some(format!("another stream follows, but {why}"))),
        }
    }
}

type Found = (Box<dyn AudioDecoder>, u32, Option<u64>);

/// The decoder of the first track with sound, its number and its length in frames.
fn decoder_of(format: &dyn FormatReader) -> Result<Found, String> {
    let track = format.default_track(TrackType::Audio).ok_or("it has no audio track")?;
    let parameters =
        track.codec_params.as_ref().and_then(|p| p.audio()).ok_or("its audio codec is not known")?;
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|e| e.to_string())?;
    Ok((decoder, track.id, track.num_frames))
}
