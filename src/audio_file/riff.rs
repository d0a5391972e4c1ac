//! WAV and its relatives: RIFF, RIFX (big-endian), RF64 and BW64 (64-bit sizes), Wave64 and AU.
//!
//! Recorders that lose power, pipes and long recordings leave headers whose sizes are 0, all ones, too small or too
//! large. The sound is read for as long as the header says, and to the end of the file where it cannot be right.

use std::io;

use super::bytes::Bytes;
use super::format::{Coding, Format};

/// Bytes of a `fmt ` chunk that matter.
const LARGEST_FORMAT: usize = 256;
/// Sizes from here on stand for "not known yet" in files that are written as they come.
const PLACEHOLDER: u64 = 0x7fff_0000;
/// First bytes of a Wave64 file: the GUID of its RIFF chunk.
const WAVE64: &[u8] = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00";

/// The format of the sound behind a header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) format: Format,
    /// Bytes of sound; none where they go on to the end of the input.
    pub(super) bytes: Option<u64>,
    /// The fault of the header, if there is one.
    pub(super) complaint: Option<String>,
}

/// The kind of a file by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Riff { big_endian: bool },
    Wave64,
    Au,
}

fn kind(start: &[u8]) -> Option<Kind> {
    let wave = start.get(8..12) == Some(b"WAVE");
    match start.get(..4)? {
        b"RIFF" | b"RF64" | b"BW64" if wave => Some(Kind::Riff { big_endian: false }),
        b"RIFX" if wave => Some(Kind::Riff { big_endian: true }),
        b"riff" if start.starts_with(WAVE64) => Some(Kind::Wave64),
        b".snd" => Some(Kind::Au),
        _ => None,
    }
}

/// Whether the file that starts so is one of these.
pub(super) fn is_riff(start: &[u8]) -> bool {
    kind(start).is_some()
}

/// Why a header leads to no sound.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It cannot be read.
    Io(io::Error),
    /// It is none, or of a coding that is not known here.
    Unknown(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn unknown<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Unknown(why.into()))
}

/// Reads up to the first byte of the sound.
pub(super) fn read_header(bytes: &mut Bytes) -> Result<Header, Refusal> {
    match kind(bytes.peek(40)?) {
        Some(Kind::Riff { big_endian }) => {
            bytes.skip(12)?;
            Walk { bytes, big_endian, wave64: false, sizes: None }.run()
        }
        Some(Kind::Wave64) => {
            bytes.skip(40)?;
            Walk { bytes, big_endian: false, wave64: true, sizes: None }.run()
        }
        Some(Kind::Au) => au(bytes),
        None => unknown("it has no RIFF header"),
    }
}

/// Goes from chunk to chunk.
struct Walk<'a> {
    bytes: &'a mut Bytes,
    big_endian: bool,
    wave64: bool,
    /// The size of the data chunk in a `ds64` chunk.
    sizes: Option<u64>,
}

impl Walk<'_> {
    fn run(mut self) -> Result<Header, Refusal> {
        let mut format = None;
        while let Some((id, size)) = self.next_chunk()? {
            match (&id, &format) {
                (b"data", None) => return unknown("its sound comes before the chunk that describes it"),
                (b"data", Some(_)) => {
                    let size = self.data_size(size)?;
                    let Some(format) = format else { break };
                    return Ok(self.header(format, size));
                }
                (b"fmt ", None) => {
                    let body = self.body(size, LARGEST_FORMAT)?;
                    format = Some(Format::parse(&body, self.big_endian).or_else(unknown)?);
                }
                (b"ds64", _) => {
                    let body = self.body(size, 64)?;
                    let data = body.get(8..16).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
                    self.sizes = data.filter(|&size| size > 0);
                }
                _ => {
                    self.body(size, 0)?;
                }
            }
        }
        unknown("it has no chunk with sound")
    }

    /// Name and size of the next chunk; none at the end.
    fn next_chunk(&mut self) -> io::Result<Option<([u8; 4], u64)>> {
        let length = if self.wave64 { 24 } else { 8 };
        let head = self.bytes.next_bytes(length)?;
        let Some(id) = head.get(..4).and_then(|id| id.try_into().ok()) else { return Ok(None) };
        let size = if self.wave64 {
            let size = head.get(16..24).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
            // the size counts the head
            size.map(|size| size.saturating_sub(24))
        } else {
            let size = head.get(4..8).and_then(|b| b.try_into().ok());
            size.map(|size| {
                u64::from(if self.big_endian { u32::from_be_bytes(size) } else { u32::from_le_bytes(size) })
            })
        };
        Ok(size.map(|size| (id, size)))
    }

    /// Takes a chunk of `size` bytes with its padding; gives up to `most` bytes of it.
    fn body(&mut self, size: u64, most: usize) -> io::Result<Vec<u8>> {
        let kept = usize::try_from(size).unwrap_or(usize::MAX).min(most);
        let body = self.bytes.next_bytes(kept)?;
        self.bytes.skip(size - kept as u64)?;
        if self.wave64 {
            self.bytes.skip(size.next_multiple_of(8) - size)?;
        } else if size % 2 == 1 && !self.is_unpadded()? {
            self.bytes.skip(1)?;
        }
        Ok(body)
    }

    /// Whether a chunk begins here, where the byte that pads an odd one should be: some programs leave it out.
    fn is_unpadded(&mut self) -> io::Result<bool> {
        let next = self.bytes.peek(5)?;
        let known = |id: &[u8]| KNOWN.contains(&id) || [b"data".as_slice(), b"fmt "].contains(&id);
        let (here, after) = (next.get(..4).unwrap_or_default(), next.get(1..5).unwrap_or_default());
        Ok(next.first() != Some(&0) && (known(here) || (here.len() == 4 && is_name(here) && !known(after))))
    }

    /// The size of the data chunk, where it can be right.
    fn data_size(&mut self, size: u64) -> io::Result<Size> {
        let size = match self.sizes {
            Some(known) if size == 0xffff_ffff => known,
            _ => size,
        };
        let left = self.bytes.remaining();
        Ok(match (size, left) {
            (0, Some(0)) => Size::Known(0),
            (0, _) => {
                // an empty chunk before others, or a file whose writer never came back to fill the size in
                let next = self.bytes.peek(8)?;
                let follows = next.get(..4).is_some_and(|id| KNOWN.contains(&id)) || next.is_empty();
                if follows { Size::Known(0) } else { Size::Unknown(size) }
            }
            (size, None) if size >= PLACEHOLDER => Size::Unknown(size),
            (size, Some(left)) if size >= PLACEHOLDER && size > left => Size::Unknown(size),
            (size, _) => Size::Known(size),
        })
    }

    fn header(&self, format: Format, size: Size) -> Header {
        match size {
            Size::Known(bytes) => Header { format, bytes: Some(bytes), complaint: None },
            Size::Unknown(said) => {
                // what comes by a pipe has no better size
                let complaint = self.bytes.remaining().map(|left| {
                    format!("its header says {said} bytes of sound and {left} follow: all of them are read")
                });
                Header { format, bytes: None, complaint }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Size {
    Known(u64),
    /// As the header says, which cannot be right.
    Unknown(u64),
}

/// Chunks that follow an empty data chunk in files that really hold no sound.
const KNOWN: [&[u8]; 12] = [
    b"LIST", b"fact", b"cue ", b"PEAK", b"bext", b"iXML", b"id3 ", b"ID3 ", b"smpl", b"inst", b"JUNK",
    b"junk",
];

fn is_name(id: &[u8]) -> bool {
    id.iter().all(|&b| (b' '..=b'~').contains(&b))
}

/// Sun and NeXT: a header of six big-endian words.
fn au(bytes: &mut Bytes) -> Result<Header, Refusal> {
    let head = bytes.next_bytes(24)?;
    let word = |at: usize| head.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    let (Some(offset), Some(size), Some(encoding), Some(rate), Some(channels)) =
        (word(4), word(8), word(12), word(16), word(20))
    else {
        return unknown("its header is cut off");
    };
    let format = Format::of_au(encoding, rate, channels).or_else(unknown)?;
    bytes.skip(u64::from(offset).saturating_sub(24))?;
    let known = Some(u64::from(size)).filter(|&size| size < PLACEHOLDER);
    Ok(Header { format, bytes: known, complaint: None })
}

/// Whether the sound can be cut anywhere between frames.
impl Header {
    /// Frames of sound, where that is known. `left` bytes follow the header, where that is known.
    pub(super) fn frames(&self, left: Option<u64>) -> Option<u64> {
        let bytes = match (self.bytes, left) {
            (Some(bytes), Some(left)) => bytes.min(left),
            (bytes, left) => bytes.or(left)?,
        };
        let (block, frames) = match self.format.coding {
            Coding::Pcm(layout) => (layout.frame_bytes() as u64, 1),
            Coding::Adpcm { block, frames, .. } => (u64::from(block), u64::from(frames)),
        };
        Some(bytes / block.max(1) * frames)
    }
}
