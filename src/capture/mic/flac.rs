//! Samples of a chunk as one frame of FLAC (RFC 9639), without the header of a stream: what that would say stands in the chunk's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use flac_codec::encode::{FlacStreamWriter, Options};
use flac_codec::stream::FrameHeader;
use symphonia::core::checksum::Crc16Ansi;
use symphonia::core::codecs::audio::well_known::CODEC_ID_FLAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoderOptions};
use symphonia::core::io::Monitor;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};

use crate::capture::pcm::PcmForm;

/// Bits of a sample.
const BITS: u32 = 16;
/// 2 to the power of this is the number of parts of a block, each with a Rice parameter of its own.
const PARTITION_ORDER: u32 = 3;
/// Frames that the header of a stream may state as the length of a block, at least.
const SHORTEST: u16 = 16;

/// The frame of samples of 16 bits; none where FLAC has no such channels, rate or length.
///
/// Predictors are the fixed ones: those that are fitted to a block (LPC) save 0 to 3 % more for twice the time.
pub(super) fn encode(bytes: &[u8], pcm: PcmForm) -> Option<Vec<u8>> {
    let channels = u8::try_from(pcm.channels).ok()?;
    let samples: Vec<i32> = bytes.as_chunks().0.iter().map(|&x| i16::from_le_bytes(x).into()).collect();
    if samples.is_empty() {
        return None;
    }
    let options = Options::default().max_partition_order(PARTITION_ORDER).ok()?.max_lpc_order(None).ok()?;
    let mut frame = Vec::with_capacity(bytes.len());
    FlacStreamWriter::new(&mut frame, options).write(pcm.rate, channels, BITS, &samples).ok()?;
    Some(frame)
}

/// The samples of a frame as PCM of 16 bits, little-endian and interleaved, `most` bytes at most. The rate in the frame does not count.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn decode(frame: &[u8], channels: u16, most: usize) -> Result<Vec<u8>, &'static str> {
    let header = FrameHeader::read_subset(&mut &*frame).map_err(|_| "it has no frame of FLAC")?;
    if u16::from(header.channel_assignment.count()) != channels {
        return Err("its FLAC has other channels");
    }
    if u32::from(header.bits_per_sample) != BITS {
        return Err("its FLAC has samples of other than 16 bits");
    }
    let frames = u16::from(header.block_size);
    let length = usize::from(frames) * usize::from(channels) * 2;
    if length > most {
        return Err("its FLAC has more than 64 KiB of sound");
    }
    // the last two bytes of a frame are its checksum, so that the one of all of it is 0
    let mut sum = Crc16Ansi::new(0);
    sum.process_buf_bytes(frame);
    let samples =
        (sum.crc() == 0).then(|| catch_unwind(AssertUnwindSafe(|| samples(frame, frames, channels))));
    let samples = samples.and_then(Result::ok).flatten().filter(|samples| 2 * samples.len() == length);
    Ok(samples.ok_or("its FLAC is damaged")?.into_iter().flat_map(i16::to_le_bytes).collect())
}

fn samples(frame: &[u8], frames: u16, channels: u16) -> Option<Vec<i16>> {
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(CODEC_ID_FLAC).with_extra_data(stream_header(frames, channels).into());
    let decoders = symphonia::default::get_codecs();
    let mut decoder = decoders.make_audio_decoder(&parameters, &AudioDecoderOptions::default()).ok()?;
    let packet = PacketRef::new(0, Timestamp::new(0), Duration::new(frames.into()), frame);
    let mut samples = Vec::new();
    decoder.decode_ref(&packet).ok()?.copy_to_vec_interleaved(&mut samples);
    Some(samples)
}

/// The header of a stream (STREAMINFO) of one frame; its rate says nothing.
fn stream_header(frames: u16, channels: u16) -> [u8; 34] {
    let mut header = [0; 34];
    let longest = frames.max(SHORTEST).to_be_bytes();
    let form = 16_000u64 << 44 | u64::from(channels.wrapping_sub(1) & 7) << 41 | u64::from(BITS - 1) << 36;
    let fields = [longest, longest].into_iter().flatten().chain([0; 6]).chain(form.to_be_bytes());
    header.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::pcm::PcmFormat;

    const MOST: usize = 1 << 16;

    fn form(channels: u16) -> PcmForm {
        PcmForm { rate: 16_000, channels, format: PcmFormat::S16le }
    }

    #[test]
    fn a_frame_may_not_hold_more_than_a_chunk() {
        let silence = encode(&[0; 2 * 65_535], form(1)).unwrap();
        assert!(silence.len() < 20, "{}", silence.len());
        assert_eq!(decode(&silence, 1, MOST), Err("its FLAC has more than 64 KiB of sound"));
        let silence = encode(&[0; 16 * 4096], form(8)).unwrap();
        assert_eq!(decode(&silence, 8, MOST).map(|bytes| bytes.len()), Ok(MOST));
        assert_eq!(decode(&silence, 7, MOST), Err("its FLAC has other channels"));
        assert_eq!(decode(&[&silence[..], &[1]].concat(), 8, MOST), Err("its FLAC is damaged"));
    }

    proptest! {
        /// Whoever forges a frame gives it the right checksum.
        #[test]
        fn forged_frames_are_decoded_or_refused(
            noise in prop::collection::vec(-3000i16..3000, 16..600),
            channels in 1u16..4,
            forged in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = noise.len() / usize::from(channels) * usize::from(channels);
            let bytes: Vec<u8> = noise[..whole].iter().flat_map(|x| x.to_le_bytes()).collect();
            let mut frame = encode(&bytes, form(channels)).unwrap();
            prop_assert_eq!(decode(&frame, channels, MOST), Ok(bytes));
            prop_assume!(frame.len() > 12);
            // behind the header, which has a checksum of its own
            frame.truncate(frame.len() - cut.index(frame.len() - 12));
            for (at, byte) in forged {
                let at = 9 + at.index(frame.len() - 11);
                frame[at] = byte;
            }
            frame.truncate(frame.len() - 2);
            let mut sum = Crc16Ansi::new(0);
            sum.process_buf_bytes(&frame);
            frame.extend(sum.crc().to_be_bytes());
            if let Ok(decoded) = decode(&frame, channels, MOST) {
                prop_assert!(decoded.len() <= MOST);
            }
        }
    }
}
