//! The content of a `fmt ` chunk: coding, rate and channels.

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS};

use super::pcm::{Encoding, Layout};

/// Channels beyond which a header is taken for damaged.
const MOST_CHANNELS: u16 = 1024;

/// How sound is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Samples as they are.
    Pcm(Layout),
    /// Differences in 4 bits, in blocks of so many bytes and frames.
    Adpcm { codec: AudioCodecId, block: u16, frames: u16 },
}

/// Coding, rate and channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) coding: Coding,
    /// Hz.
    pub(super) rate: u32,
    pub(super) channels: u16,
}

impl Format {
    /// Reads the body of a `fmt ` chunk.
    ///
    /// # Errors
    /// Its fault, or the unknown coding that it names.
    pub(super) fn parse(body: &[u8], big_endian: bool) -> Result<Self, String> {
        let word = |at: usize| {
            let bytes: [u8; 2] = body.get(at..at + 2)?.try_into().ok()?;
            Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
        };
        let long = |at: usize| {
            let bytes: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
            Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
        };
        let (Some(tag), Some(channels), Some(rate), Some(block)) = (word(0), word(2), long(4), word(12))
        else {
            return Err("the chunk that describes its sound is cut off".to_owned());
        };
        let bits = word(14).unwrap_or(0);
        // extensible: the coding is the start of a GUID
        let tag = if tag == 0xfffe { word(24).unwrap_or(tag) } else { tag };
        if channels == 0 || channels > MOST_CHANNELS || rate == 0 {
            return Err(format!("it describes {channels} channels at {rate} Hz"));
        }
        let width = width(block, channels, bits);
        let pcm = |encoding| Coding::Pcm(Layout { encoding, big_endian, channels });
        let adpcm = |codec, frames| Coding::Adpcm { codec, block, frames };
        let coding = match (tag, width) {
            (1, 1) => pcm(Encoding::Unsigned8),
            (1, 2..=4 | 8) => pcm(Encoding::Signed(width)),
            (3, 4 | 8) => pcm(Encoding::Float(width)),
            (6, _) => pcm(Encoding::ALaw),
            (7, _) => pcm(Encoding::MuLaw),
            (0x11, _) if bits == 4 && channels <= 2 => {
                // a head of 4 bytes a channel, the first sample in it; then two samples a byte
                let frames =
                    (u32::from(block).saturating_sub(4 * u32::from(channels))) * 2 / u32::from(channels) + 1;
                adpcm(CODEC_ID_ADPCM_IMA_WAV, word(18).filter(|&n| n > 0).unwrap_or(frames as u16))
            }
            (2, _) if bits == 4 && channels <= 2 => {
                let frames =
                    (u32::from(block).saturating_sub(7 * u32::from(channels))) * 2 / u32::from(channels) + 2;
                adpcm(CODEC_ID_ADPCM_MS, word(18).filter(|&n| n > 0).unwrap_or(frames as u16))
            }
            _ => return Err(format!("its coding {tag:#06x} with {bits} bits is not known")),
        };
        if matches!(coding, Coding::Adpcm { .. }) && u32::from(block) <= 7 * u32::from(channels) {
            return Err(format!("its blocks of {block} bytes hold no sample"));
        }
        Ok(Self { coding, rate, channels })
    }

    /// The format of a Sun or NeXT file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(super) fn of_au(encoding: u32, rate: u32, channels: u32) -> Result<Self, String> {
        let channels = u16::try_from(channels).ok().filter(|n| (1..=MOST_CHANNELS).contains(n) && rate > 0);
        let Some(channels) = channels else { return Err(format!("it describes no channel, or {rate} Hz")) };
        let encoding = match encoding {
            1 => Encoding::MuLaw,
            2..=5 => Encoding::Signed(encoding as usize - 1),
            6 => Encoding::Float(4),
            7 => Encoding::Float(8),
            27 => Encoding::ALaw,
            other => return Err(format!("its coding {other} is not known")),
        };
        Ok(Self { coding: Coding::Pcm(Layout { encoding, big_endian: true, channels }), rate, channels })
    }
}

/// Bytes of a sample: what its bits take, or what the block says of 24 bits in 32, and where the bits are not told.
fn width(block: u16, channels: u16, bits: u16) -> usize {
    let by_bits = usize::from(bits).div_ceil(8);
    let by_block = usize::from(block) / usize::from(channels);
    match (by_bits, by_block) {
        (0, _) | (3, 4) if block.is_multiple_of(channels) => by_block,
        _ => by_bits,
    }
}
