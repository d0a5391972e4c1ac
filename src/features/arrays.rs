//! NumPy arrays: a header of fixed size that is filled in at the end, then the values.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;

use super::part::{PartFile, cannot_write, sibling};
use super::rows::{Card, Rows, Sink};
use crate::error::Result;

/// Bytes before the values: magic, version, length and a dictionary padded with blanks.
const HEADER: usize = 128;

/// An array that grows along its first dimension.
pub(super) struct Array {
    part: PartFile,
    out: BufWriter<File>,
    kind: &'static str,
    width: Option<usize>,
    rows: usize,
}

impl Array {
    /// An array of `kind` (`<f4`), `[rows]` or `[rows, width]`.
    pub(super) fn create(path: &Path, kind: &'static str, width: Option<usize>) -> Result<Self> {
        let (part, file) = PartFile::create(path)?;
        let mut array = Self { part, out: BufWriter::new(file), kind, width, rows: 0 };
        array.put(&[0; HEADER])?;
        Ok(array)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|e| cannot_write(self.part.target(), &e))
    }

    /// Appends `rows` rows of little-endian values.
    pub(super) fn append(&mut self, rows: usize, bytes: &[u8]) -> Result<()> {
        self.rows += rows;
        self.put(bytes)
    }

    /// Fills in the header and moves the file to its place.
    pub(super) fn finish(mut self) -> Result<()> {
        let header = header(self.kind, self.rows, self.width);
        let done =
            self.out.rewind().and_then(|()| self.out.write_all(&header)).and_then(|()| self.out.flush());
        done.map_err(|e| cannot_write(self.part.target(), &e))?;
        self.part.keep()
    }
}

/// The header of version 1.0 of the format.
fn header(kind: &str, rows: usize, width: Option<usize>) -> Vec<u8> {
    let shape = width.map_or_else(|| format!("({rows},)"), |width| format!("({rows}, {width})"));
    let dictionary = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let length = HEADER - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{dictionary:<width$}\n", width = length - 1).bytes());
    bytes
}

pub(super) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub(super) fn f64_bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub(super) fn repeated(index: u32, count: usize) -> Vec<u8> {
    index.to_le_bytes().repeat(count)
}

/// c, z, t and, with more than one recording, `file`.
pub(super) struct Arrays {
    c: Array,
    z: Array,
    t: Array,
    file: Option<Array>,
}

impl Arrays {
    pub(super) fn create(path: &Path, (d, h): (usize, usize), several: bool) -> Result<Self> {
        let file = several.then(|| Array::create(&sibling(path, "file"), "<u4", None)).transpose()?;
        Ok(Self {
            c: Array::create(path, "<f4", Some(h))?,
            z: Array::create(&sibling(path, "z"), "<f4", Some(d))?,
            t: Array::create(&sibling(path, "t"), "<f8", None)?,
            file,
        })
    }
}

impl Sink for Arrays {
    fn write(&mut self, rows: &Rows) -> Result<()> {
        let frames = rows.frames();
        self.c.append(frames, &f32_bytes(&rows.c))?;
        self.z.append(frames, &f32_bytes(&rows.z))?;
        self.t.append(frames, &f64_bytes(&rows.t))?;
        self.file.as_mut().map_or(Ok(()), |file| file.append(frames, &repeated(rows.file, frames)))
    }

    fn finish(self: Box<Self>, _: &Card) -> Result<()> {
        let Self { c, z, t, file } = *self;
        z.finish()?;
        t.finish()?;
        file.map_or(Ok(()), Array::finish)?;
        c.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_what_numpy_writes() {
        let bytes = header("<f4", 12_345_678_901, Some(4096));
        assert_eq!(bytes.len(), HEADER);
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let text = std::str::from_utf8(&bytes[10..]).unwrap();
        assert!(
            text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (12345678901, 4096), } ")
        );
        assert!(text.ends_with(" \n"));
        assert!(String::from_utf8_lossy(&header("<f8", 3, None)).contains("'shape': (3,), }"));
    }
}
