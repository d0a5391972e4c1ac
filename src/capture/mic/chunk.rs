//! The wire format of a chunk of sound: a header of 32 bytes, little-endian, and PCM or a frame of FLAC.
//!
//! | byte | type | |
//! | --- | --- | --- |
//! | 0 | 4 bytes | `CPCA` |
//! | 4 | u16 | version, 1; fields are only ever added |
//! | 6 | u16 | where the sound begins, 32 |
//! | 8 | u32 | frames a second, Hz |
//! | 12 | u16 | interleaved channels, 1 to 32 |
//! | 14 | u8 | 0: s16le, 1: f32le, 2: one frame of FLAC with samples of 16 bits, which are s16le for whoever reads it |
//! | 15 | u8 | 0 |
//! | 16 | u32 | session: another number after each start of the microphone |
//! | 20 | u32 | how long its last frame was captured before it was sent, ms; 0 where it is sent at once |
//! | 24 | u64 | how many frames the session had before this chunk, lost ones included |

use std::borrow::Cow;

use super::flac;
use crate::capture::pcm::{PcmForm, PcmFormat};
use crate::ring::RATES;

/// Bytes of the header.
pub const CHUNK_HEADER: usize = 32;
/// The first bytes of a chunk.
pub const CHUNK_MAGIC: [u8; 4] = *b"CPCA";
/// Version of the header.
pub const CHUNK_VERSION: u16 = 1;
/// Bytes of a chunk at most, its header included; what is compressed has no more before.
pub const LARGEST_CHUNK: usize = 64 * 1024;
/// Interleaved channels at most.
const CHANNELS: u16 = 32;
/// Place of the sound in versions to come, at most.
const LONGEST_HEADER: usize = 256;

/// The number of FLAC in the header; those of PCM are 0 and 1.
const FLAC: u8 = 2;

/// How the samples of a chunk are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChunkCoding {
    /// As PCM.
    #[default]
    Pcm,
    /// As a frame of FLAC where they are integers and it is smaller, else as PCM.
    Flac,
}

/// A chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Form of the sound.
    pub pcm: PcmForm,
    /// Number of this run of the microphone.
    pub session: u32,
    /// Index of the first frame in the session.
    pub first: u64,
    /// How long its last frame was captured before it was sent, ms: it waited while the servers were away.
    pub delay_ms: u32,
    /// Whole frames of PCM, whatever they were written as.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Chunk<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(message: &'a [u8]) -> Result<Self, &'static str> {
        if message.len() > LARGEST_CHUNK {
            return Err("it is larger than 64 KiB");
        }
        let header = Header { bytes: message.get(..CHUNK_HEADER).ok_or("it is shorter than its header")? };
        if header.take::<4>(0) != CHUNK_MAGIC {
            return Err("it does not begin with CPCA");
        }
        // later versions only add fields
        if u16::from_le_bytes(header.take(4)) < CHUNK_VERSION {
            return Err("its version is 0");
        }
        let start = usize::from(u16::from_le_bytes(header.take(6)));
        let rate = u32::from_le_bytes(header.take(8));
        let channels = u16::from_le_bytes(header.take(12));
        let [number] = header.take(14);
        let format = match number {
            0 | FLAC => PcmFormat::S16le,
            1 => PcmFormat::F32le,
            _ => return Err("its format is not known here: neither s16le, f32le nor FLAC"),
        };
        if !RATES.contains(&rate) {
            return Err("its rate makes no sense");
        }
        if !(1..=CHANNELS).contains(&channels) {
            return Err("it has no channel, or more than 32");
        }
        if !(CHUNK_HEADER..=LONGEST_HEADER).contains(&start) {
            return Err("its sound does not begin behind its header");
        }
        let sound = message.get(start..).unwrap_or_default();
        let bytes = match number {
            FLAC => Cow::Owned(flac::decode(sound, channels, LARGEST_CHUNK - CHUNK_HEADER)?),
            _ => Cow::Borrowed(sound),
        };
        let frame = format.bytes() * usize::from(channels);
        if bytes.is_empty() || !bytes.len().is_multiple_of(frame) {
            return Err("it has no sound, or a part of a frame");
        }
        let chunk = Self {
            pcm: PcmForm { rate, channels, format },
            session: u32::from_le_bytes(header.take(16)),
            first: u64::from_le_bytes(header.take(24)),
            delay_ms: u32::from_le_bytes(header.take(20)),
            bytes,
        };
        chunk.first.checked_add(chunk.frames()).map(|_| chunk).ok_or("its place is past the end of numbers")
    }

    /// Frames in it.
    #[must_use]
    pub fn frames(&self) -> u64 {
        (self.bytes.len() / (self.pcm.format.bytes() * usize::from(self.pcm.channels).max(1))) as u64
    }

    /// The wire format.
    #[must_use]
    pub fn write(&self, coding: ChunkCoding) -> Vec<u8> {
        let flac = match (coding, self.pcm.format) {
            (ChunkCoding::Flac, PcmFormat::S16le) => flac::encode(&self.bytes, self.pcm),
            _ => None,
        };
        let (number, sound) = match (&flac, self.pcm.format) {
            (Some(frame), _) if frame.len() < self.bytes.len() => (FLAC, frame.as_slice()),
            (_, PcmFormat::S16le) => (0, &*self.bytes),
            (_, PcmFormat::F32le) => (1, &*self.bytes),
        };
        let mut out = Vec::with_capacity(CHUNK_HEADER + sound.len());
        out.extend(CHUNK_MAGIC);
        out.extend(CHUNK_VERSION.to_le_bytes());
        out.extend((CHUNK_HEADER as u16).to_le_bytes());
        out.extend(self.pcm.rate.to_le_bytes());
        out.extend(self.pcm.channels.to_le_bytes());
        out.extend([number, 0]);
        out.extend(self.session.to_le_bytes());
        out.extend(self.delay_ms.to_le_bytes());
        out.extend(self.first.to_le_bytes());
        out.extend(sound);
        out
    }
}

struct Header<'a> {
    bytes: &'a [u8],
}

impl Header<'_> {
    /// The `N` bytes at `at`; zeros past the end.
    fn take<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(pcm: PcmForm, bytes: &[u8]) -> Chunk<'_> {
        Chunk { pcm, session: 1, first: 2, delay_ms: 0, bytes: bytes.into() }
    }

    #[test]
    fn the_layout_is_that_of_the_documentation() {
        let pcm = PcmForm { rate: 48_000, channels: 2, format: PcmFormat::S16le };
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        let (session, first) = (0x0403_0201, 0x0102_0304_0506_0708);
        let chunk = Chunk { pcm, session, first, delay_ms: 9, bytes: bytes[..].into() };
        let expected =
            b"CPCA\x01\0\x20\0\x80\xbb\0\0\x02\0\0\0\x01\x02\x03\x04\x09\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01";
        let written = chunk.write(ChunkCoding::Pcm);
        assert_eq!(written[..CHUNK_HEADER], expected[..]);
        assert_eq!(written[CHUNK_HEADER..], bytes);
        assert_eq!(chunk.frames(), 2);
        assert_eq!(Chunk::read(&written), Ok(chunk));
    }

    #[test]
    fn a_longer_header_of_a_later_version_is_read_over() {
        let pcm = PcmForm::default();
        let mut later = chunk(pcm, &[]).write(ChunkCoding::Pcm);
        (later[4], later[6]) = (2, 40);
        later.extend([9; 8]);
        later.extend([1, 0, 2, 0]);
        assert_eq!(*Chunk::read(&later).unwrap().bytes, [1, 0, 2, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut message in proptest::collection::vec(any::<u8>(), 0..200), magic: bool) {
            if magic && message.len() >= 16 {
                message[..16].copy_from_slice(b"CPCA\x01\0\x20\0\x80\x3e\0\0\x01\0\0\0");
            }
            if let Ok(chunk) = Chunk::read(&message) {
                prop_assert!(chunk.frames() >= 1);
                prop_assert!(chunk.first.checked_add(chunk.frames()).is_some());
                for coding in [ChunkCoding::Pcm, ChunkCoding::Flac] {
                    let again = chunk.write(coding);
                    prop_assert_eq!(Chunk::read(&again), Ok(chunk.clone()));
                }
            }
        }

        #[test]
        fn compressed_samples_are_the_same(
            noise in proptest::collection::vec(any::<i16>(), 1..3000),
            channels in 1u16..12,
            rate in prop::sample::select(vec![4_000, 16_000, 22_051, 44_100, 48_000, 88_201, 384_000]),
            quieter in 0u32..16,
            slope in -40i32..40,
        ) {
            let sample = |(n, x): (usize, &i16)| (i32::from(x >> quieter) + n as i32 * slope) as i16;
            let mut bytes: Vec<u8> = noise.iter().enumerate().flat_map(|x| sample(x).to_le_bytes()).collect();
            let pcm = PcmForm { rate, channels, format: PcmFormat::S16le };
            bytes.truncate((bytes.len() / pcm.frame_bytes()).max(1) * pcm.frame_bytes());
            bytes.resize(bytes.len().next_multiple_of(pcm.frame_bytes()), 0);
            let chunk = chunk(pcm, &bytes);
            let (written, plain) = (chunk.write(ChunkCoding::Flac), chunk.write(ChunkCoding::Pcm));
            prop_assert!(written.len() <= plain.len());
            prop_assert_eq!(Chunk::read(&written), Ok(chunk));
        }

        #[test]
        fn damaged_flac_is_read_or_refused(
            noise in proptest::collection::vec(-200i16..200, 1..700),
            flips in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..4),
            cut in any::<prop::sample::Index>(),
            tail in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let bytes: Vec<u8> = noise.iter().flat_map(|x| x.to_le_bytes()).collect();
            let mut message = chunk(PcmForm::default(), &bytes).write(ChunkCoding::Flac);
            for (at, bit) in &flips {
                let at = at.index(message.len());
                message[at] ^= 1 << bit;
            }
            message.truncate(CHUNK_HEADER + cut.index(message.len() + 1 - CHUNK_HEADER));
            message.extend(tail);
            message[14] = FLAC;
            if let Ok(chunk) = Chunk::read(&message) {
                prop_assert!(chunk.bytes.len() <= LARGEST_CHUNK - CHUNK_HEADER);
            }
        }
    }
}
