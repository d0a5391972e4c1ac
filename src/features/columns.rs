//! Parquet: a row a frame, z and c as lists.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Encoding;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::part::{PartFile, cannot_write};
use super::rows::{CARD_KEY, Card, Rows, Sink};
use crate::error::{Error, Result};

/// The three-level lists of the format's specification, which every reader knows.
const SCHEMA: &str = "message features {
    REQUIRED BYTE_ARRAY file (STRING);
    REQUIRED DOUBLE t_s;
    REQUIRED GROUP z (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } }
    REQUIRED GROUP c (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } }
}";

/// Rows of a row group: 82 s of sound.
const GROUP: usize = 8192;

/// The columns of the current row group.
pub(super) struct Columns {
    part: PartFile,
    out: SerializedFileWriter<File>,
    widths: (usize, usize),
    file: Vec<ByteArray>,
    t: Vec<f64>,
    z: Vec<f32>,
    c: Vec<f32>,
}

type Outcome<T> = std::result::Result<T, parquet::errors::ParquetError>;

impl Columns {
    pub(super) fn create(path: &Path, widths: (usize, usize)) -> Result<Self> {
        let (part, file) = PartFile::create(path)?;
        let schema =
            parse_message_type(SCHEMA).map_err(|e| Error::internal(format!("Parquet schema: {e}")))?;
        // floats do not repeat: a dictionary and statistics would only take space
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_column_dictionary_enabled("file".into(), true)
            .set_encoding(Encoding::PLAIN)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_column_statistics_enabled("t_s".into(), EnabledStatistics::Chunk)
            .build();
        let out = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties));
        let out = out.map_err(|e| cannot_write(path, &e))?;
        let (t, z, c) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { part, out, widths, file: Vec::new(), t, z, c })
    }

    fn flush(&mut self) -> Result<()> {
        if self.t.is_empty() {
            return Ok(());
        }
        let written = self.group();
        written.map_err(|e| cannot_write(self.part.target(), &e))?;
        self.file.clear();
        self.t.clear();
        self.z.clear();
        self.c.clear();
        Ok(())
    }

    fn group(&mut self) -> Outcome<()> {
        let mut group = self.out.next_row_group()?;
        if let Some(mut column) = group.next_column()? {
            column.typed::<ByteArrayType>().write_batch(&self.file, None, None)?;
            column.close()?;
        }
        if let Some(mut column) = group.next_column()? {
            column.typed::<DoubleType>().write_batch(&self.t, None, None)?;
            column.close()?;
        }
        lists(&mut group, &self.z, self.widths.0)?;
        lists(&mut group, &self.c, self.widths.1)?;
        group.close().map(drop)
    }
}

/// A column of lists of `width` numbers: the first of each list begins a row (repetition level 0), the others go on
/// with it.
fn lists(group: &mut SerializedRowGroupWriter<'_, File>, values: &[f32], width: usize) -> Outcome<()> {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    let repetition: Vec<i16> = (0..values.len()).map(|i| i16::from(i % width != 0)).collect();
    let definition = vec![1; values.len()];
    column.typed::<FloatType>().write_batch(values, Some(&definition), Some(&repetition))?;
    column.close()
}

impl Sink for Columns {
    fn write(&mut self, rows: &Rows) -> Result<()> {
        let name = ByteArray::from(rows.name.as_bytes().to_vec());
        let (d, h) = self.widths;
        let chunks = rows.t.chunks(GROUP).zip(rows.z.chunks(GROUP * d).zip(rows.c.chunks(GROUP * h)));
        for (t, (z, c)) in chunks {
            self.file.extend(std::iter::repeat_n(name.clone(), t.len()));
            self.t.extend_from_slice(t);
            self.z.extend_from_slice(z);
            self.c.extend_from_slice(c);
            if self.t.len() >= GROUP {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, card: &Card) -> Result<()> {
        self.flush()?;
        self.out.append_key_value_metadata(KeyValue::new(CARD_KEY.to_owned(), card.json()?));
        let Self { part, out, .. } = *self;
        out.close().map_err(|e| cannot_write(part.target(), &e))?;
        part.keep()
    }
}
