//! safetensors: the header needs the lengths, so each tensor waits in a file of its own until they are known.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::arrays::{f32_bytes, f64_bytes, repeated};
use super::part::{PartFile, cannot_write, sibling};
use super::rows::{CARD_KEY, Card, Rows, Sink};
use crate::error::{Error, Result};

struct PendingTensor {
    name: &'static str,
    dtype: Dtype,
    width: Option<usize>,
    part: PartFile,
    out: BufWriter<File>,
}

/// `t`, `z`, `c` and `file`, wider types first, so that all are aligned.
pub(super) struct Tensors {
    part: PartFile,
    out: File,
    waiting: Vec<PendingTensor>,
    rows: usize,
}

impl Tensors {
    pub(super) fn create(path: &Path, (d, h): (usize, usize)) -> Result<Self> {
        let (part, out) = PartFile::create(path)?;
        let waiting = [
            ("t", Dtype::F64, None),
            ("z", Dtype::F32, Some(d)),
            ("c", Dtype::F32, Some(h)),
            ("file", Dtype::U32, None),
        ]
        .into_iter()
        .map(|(name, dtype, width)| {
            let (part, file) = PartFile::create(&sibling(path, name))?;
            Ok(PendingTensor { name, dtype, width, part, out: BufWriter::new(file) })
        })
        .collect::<Result<Vec<_>>>()?;
        Ok(Self { part, out, waiting, rows: 0 })
    }

    fn header(&self, card: &Card) -> Result<Vec<u8>> {
        let mut at = 0;
        let tensors = self.waiting.iter().map(|tensor| {
            let shape: Vec<usize> = std::iter::once(self.rows).chain(tensor.width).collect();
            let bytes = shape.iter().product::<usize>() * tensor.dtype.bitsize() / 8;
            let data_offsets = (at, at + bytes);
            at += bytes;
            (tensor.name.to_owned(), TensorInfo { dtype: tensor.dtype, shape, data_offsets })
        });
        let metadata = HashMap::from([(CARD_KEY.to_owned(), card.json()?)]);
        let fault = |e: &dyn std::fmt::Display| Error::internal(format!("the header of safetensors: {e}"));
        let header = Metadata::new(Some(metadata), tensors.collect()).map_err(|e| fault(&e))?;
        let mut json = serde_json::to_vec(&header).map_err(|e| fault(&e))?;
        json.resize(json.len().next_multiple_of(8), b' ');
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut json);
        Ok(bytes)
    }
}

impl Sink for Tensors {
    fn write(&mut self, rows: &Rows) -> Result<()> {
        let frames = rows.frames();
        self.rows += frames;
        let values =
            [f64_bytes(&rows.t), f32_bytes(&rows.z), f32_bytes(&rows.c), repeated(rows.file, frames)];
        for (tensor, values) in self.waiting.iter_mut().zip(values) {
            tensor.out.write_all(&values).map_err(|e| cannot_write(tensor.part.target(), &e))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, card: &Card) -> Result<()> {
        let header = self.header(card)?;
        let failed = |e: std::io::Error| cannot_write(self.part.target(), &e);
        self.out.write_all(&header).map_err(failed)?;
        for tensor in self.waiting.drain(..) {
            let mut file = tensor.out.into_inner().map_err(|e| failed(e.into_error()))?;
            file.rewind().and_then(|()| std::io::copy(&mut file, &mut self.out)).map_err(failed)?;
        }
        self.part.keep()
    }
}
