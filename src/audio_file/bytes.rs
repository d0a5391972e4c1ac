//! The bytes of a file or a pipe, with a look ahead.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use symphonia::core::io::{MediaSource, ReadOnlySource};

/// Bytes that are looked at before they are read, at most.
const LOOK_AHEAD: usize = 4096;

/// Bytes of an ID3v1 tag.
const TAG: u64 = 128;
/// The smallest block that a FLAC stream may have, in frames.
const LEAST_FLAC_BLOCK: u8 = 16;

/// Bytes that are read once, forward. A seekable source seeks only to skip unused bytes.
pub(super) struct Bytes {
    inner: Box<dyn MediaSource>,
    /// Read from `inner` and not given yet: from `start` on.
    ahead: Vec<u8>,
    start: usize,
    /// Bytes given so far.
    given: u64,
}

impl Bytes {
    /// Bytes of a file that may be a pipe or a device.
    pub(super) fn of_file(file: File) -> Self {
        let regular = file.metadata().is_ok_and(|m| m.is_file());
        Self::new(if regular { Box::new(file) } else { Box::new(ReadOnlySource::new(file)) })
    }

    /// Bytes that come from a pipe.
    pub(super) fn of_pipe(pipe: impl Read + Send + Sync + 'static) -> Self {
        Self::new(Box::new(ReadOnlySource::new(pipe)))
    }

    /// Bytes in memory.
    pub(super) fn of_memory(bytes: &'static [u8]) -> Self {
        Self::new(Box::new(Cursor::new(bytes)))
    }

    fn new(inner: Box<dyn MediaSource>) -> Self {
        Self { inner, ahead: Vec::new(), start: 0, given: 0 }
    }

    /// The next `count` bytes without taking them, fewer at the end; at most 4096.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let count = count.min(LOOK_AHEAD);
        if self.ahead.len() - self.start < count {
            self.ahead.drain(..self.start);
            self.start = 0;
            let missing = (count - self.ahead.len()) as u64;
            self.inner.by_ref().take(missing).read_to_end(&mut self.ahead)?;
        }
        let end = (self.start + count).min(self.ahead.len());
        Ok(self.ahead.get(self.start..end).unwrap_or_default())
    }

    /// Takes up to `count` bytes; fewer only at the end.
    pub(super) fn next_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(count.min(1 << 16));
        self.by_ref().take(count as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Passes over `count` bytes, or all there are; gives how many there were.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<u64> {
        let ahead = self.ahead.len() - self.start;
        let from_ahead = usize::try_from(count).map_or(ahead, |count| count.min(ahead));
        self.start += from_ahead;
        self.given += from_ahead as u64;
        let left = count - from_ahead as u64;
        if left == 0 {
            return Ok(count);
        }
        let skipped = match self.remaining() {
            Some(remaining) => {
                let skipped = left.min(remaining);
                self.inner.seek(SeekFrom::Current(i64::try_from(skipped).unwrap_or(i64::MAX)))?;
                self.given += skipped;
                skipped
            }
            None => io::copy(&mut self.by_ref().take(left), &mut io::sink())?,
        };
        Ok(from_ahead as u64 + skipped)
    }

    /// Bytes that are still to come, where that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        let length = self.inner.byte_len().filter(|_| self.inner.is_seekable())?;
        Some(length.saturating_sub(self.given))
    }

    /// Whether the bytes can be read a second time.
    pub(super) fn is_seekable(&self) -> bool {
        self.inner.is_seekable()
    }

    /// All bytes again, from the first, for a reader of symphonia. Only while nothing was taken.
    pub(super) fn into_media(mut self) -> io::Result<Box<dyn MediaSource>> {
        if self.peek(4)? == b"fLaC" {
            return self.into_flac();
        }
        if self.inner.is_seekable() {
            self.inner.rewind()?;
            return Ok(self.inner);
        }
        let ahead = Cursor::new(self.ahead.split_off(self.start));
        Ok(Box::new(ReadOnlySource::new(ahead.chain(self.inner))))
    }

    /// A FLAC stream without what its reader stumbles over: an ID3v1 tag behind it, as old programs put it there, and a
    /// smallest block of 0 in its description, as some encoders write.
    fn into_flac(mut self) -> io::Result<Box<dyn MediaSource>> {
        let mut sound = u64::MAX;
        if let Some(length) = self.remaining().filter(|&length| length > TAG) {
            let mut tag = [0; 3];
            self.inner.seek(SeekFrom::End(-(TAG as i64)))?;
            self.inner.read_exact(&mut tag)?;
            sound = if &tag == b"TAG" { length - TAG } else { length };
            self.inner.seek(SeekFrom::Start(self.ahead.len() as u64))?;
        }
        let mut start = self.ahead.split_off(self.start);
        if let Some([least_high, least_low, high, low]) = start.get_mut(8..12)
            && *least_high == 0
            && *least_low < LEAST_FLAC_BLOCK
        {
            // blocks of one size, as nearly all streams have
            (*least_high, *least_low) = (*high, *low);
        }
        let rest = sound.saturating_sub(start.len() as u64);
        Ok(Box::new(ReadOnlySource::new(Cursor::new(start).chain(self.inner.take(rest)))))
    }
}

impl Read for Bytes {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let ahead = self.ahead.get(self.start..).unwrap_or_default();
        let count = if ahead.is_empty() {
            self.inner.read(out)?
        } else {
            let count = ahead.len().min(out.len());
            if let (Some(out), Some(ahead)) = (out.get_mut(..count), ahead.get(..count)) {
                out.copy_from_slice(ahead);
            }
            self.start += count;
            count
        };
        self.given += count as u64;
        Ok(count)
    }
}
