//! The payload of the embedding topic, and its configuration.
//!
//! A header of 48 bytes and the numbers, all little-endian:
//!
//! | byte | type | what |
//! | --- | --- | --- |
//! | 0 | 4 bytes | `CPCE` |
//! | 4 | u16 | version of the layout, 1 |
//! | 6 | u16 | bytes before the numbers, 48; a later layout may have more, so begin to read the numbers there |
//! | 8 | u8 | type of the numbers: 0 f32, 1 f16 |
//! | 9 | u8 | what they are: 0 c, the context |
//! | 10 | 6 bytes | first 6 bytes of the model's sha256, the `model` of events |
//! | 16 | u64 | first frame: it covers samples 160 u to 160 u + 159 at 16 kHz of the stream's clock |
//! | 24 | i64 | when the last sample was captured, nanoseconds since 1970 in UTC |
//! | 32 | u32 | frames of 10 ms that the numbers are the mean of |
//! | 36 | u32 | how many numbers |
//! | 40 | u32 | sequence number in this stream since the daemon's start; a hole is an embedding that did not come |
//! | 44 | u32 | 0 |

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::units::FRAME_RATE;

/// First bytes of every payload.
pub const EMBEDDING_MAGIC: [u8; 4] = *b"CPCE";
/// Version of the layout. Within it, fields are only ever added behind the last.
pub const EMBEDDING_VERSION: u16 = 1;
/// Bytes before the numbers.
pub const EMBEDDING_HEADER: usize = 48;

/// Whether and how contexts are published: the `[publish.embedding]` table. Embeddings are no sound, but they say much
/// of it, so nothing is sent unless asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddingConfig {
    /// Embeddings a second and stream: 0 (none) or a divisor of 100.
    pub rate_hz: u32,
    /// Type of the numbers.
    pub dtype: EmbeddingType,
    /// The source of the numbers.
    pub source: EmbeddingSource,
}

impl EmbeddingConfig {
    /// Refuses a rate that does not divide the frames of a second.
    ///
    /// # Errors
    /// A configuration error that names the key.
    pub fn validate(&self) -> Result<()> {
        if self.rate_hz == 0 || (self.rate_hz <= FRAME_RATE && FRAME_RATE.is_multiple_of(self.rate_hz)) {
            return Ok(());
        }
        Err(Error::config(
            format!("publish.embedding.rate_hz = {} does not divide {FRAME_RATE}", self.rate_hz),
            "choose 0 (none), 1, 2, 4, 5, 10, 20, 25, 50 or 100",
        ))
    }

    /// Frames an embedding; 0 for none.
    #[must_use]
    pub fn frames(&self) -> u32 {
        FRAME_RATE.checked_div(self.rate_hz).unwrap_or(0)
    }
}

/// Type of the numbers of an embedding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingType {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats (IEEE 754 binary16), half the bytes, three digits.
    F16,
}

/// The source of an embedding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingSource {
    /// Contexts c_t.
    #[default]
    C,
}

/// The mean of consecutive contexts of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// How the numbers are sent.
    pub dtype: EmbeddingType,
    /// Their source.
    pub source: EmbeddingSource,
    /// First bytes of the model's sha256.
    pub model: [u8; 6],
    /// Number of the first frame.
    pub first_frame: u64,
    /// When the last sample was captured, nanoseconds since 1970 in UTC.
    pub time_ns: i64,
    /// Frames that this is the mean of.
    pub frames: u32,
    /// Sequence number in the stream since the daemon's start.
    pub seq: u32,
    /// The numbers, `[h]`.
    pub values: Vec<f32>,
}

impl Embedding {
    /// The payload.
    ///
    /// # Errors
    /// Only where numbers cannot be converted.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let (kind, dtype) = match self.dtype {
            EmbeddingType::F32 => (0, DType::F32),
            EmbeddingType::F16 => (1, DType::F16),
        };
        let EmbeddingSource::C = self.source;
        let mut bytes = Vec::with_capacity(EMBEDDING_HEADER + 4 * self.values.len());
        bytes.extend(EMBEDDING_MAGIC);
        bytes.extend(EMBEDDING_VERSION.to_le_bytes());
        bytes.extend((EMBEDDING_HEADER as u16).to_le_bytes());
        bytes.extend([kind, 0]);
        bytes.extend(self.model);
        bytes.extend(self.first_frame.to_le_bytes());
        bytes.extend(self.time_ns.to_le_bytes());
        for word in [self.frames, self.values.len() as u32, self.seq, 0] {
            bytes.extend(word.to_le_bytes());
        }
        let values = Tensor::from_slice(&self.values, self.values.len(), &Device::Cpu)?;
        values.to_dtype(dtype)?.write_bytes(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a payload of this layout or one that only added to it.
    ///
    /// # Errors
    /// A broker error for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let header: &[u8; EMBEDDING_HEADER] =
            bytes.first_chunk().ok_or_else(|| foreign("it is too short"))?;
        let word = |at: usize| -> u64 { (0..4).map(|i| u64::from(header[at + i]) << (8 * i)).sum() };
        let long = |at: usize| word(at) | word(at + 4) << 32;
        let (version, start) = (word(4) & 0xffff, (word(4) >> 16) as usize);
        if header[..4] != EMBEDDING_MAGIC || version != u64::from(EMBEDDING_VERSION) {
            return Err(foreign("it does not begin with CPCE and version 1"));
        }
        let (dtype, kind, size) = match header[8] {
            0 => (EmbeddingType::F32, DType::F32, 4),
            1 => (EmbeddingType::F16, DType::F16, 2),
            _ => return Err(foreign("its type is not known")),
        };
        if header[9] != 0 {
            return Err(foreign("its source is not known"));
        }
        let width = word(36) as usize;
        let values =
            bytes.get(start..).filter(|values| start >= EMBEDDING_HEADER && values.len() == width * size);
        let values = values.ok_or_else(|| foreign("its length is not what it says"))?;
        let values = Tensor::from_raw_buffer(values, kind, &[width], &Device::Cpu)?;
        let mut model = [0; 6];
        model.copy_from_slice(&header[10..16]);
        Ok(Self {
            dtype,
            source: EmbeddingSource::C,
            model,
            first_frame: long(16),
            time_ns: long(24) as i64,
            frames: word(32) as u32,
            seq: word(40) as u32,
            values: values.to_dtype(DType::F32)?.to_vec1()?,
        })
    }
}

fn foreign(why: &str) -> Error {
    Error::broker(
        format!("this is no embedding: {why}"),
        "subscribe to PREFIX/NODE/STREAM/embedding of a daemon of this version",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedding(dtype: EmbeddingType) -> Embedding {
        Embedding {
            dtype,
            source: EmbeddingSource::C,
            model: [0x01, 0x23, 0x45, 0x67, 0x89, 0xab],
            first_frame: 0x0102_0304_0506_0708,
            time_ns: 1_767_323_045_123_456_789,
            frames: 10,
            seq: 7,
            values: vec![0.5, -1.0, 0.333_251_95],
        }
    }

    const HEADER: &str =
        "435043450100300000000123456789ab080706050403020115fff123f2ca86180a000000030000000700000000000000";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn the_layout_does_not_change() {
        let bytes = embedding(EmbeddingType::F32).to_bytes().unwrap();
        assert_eq!(hex(&bytes), format!("{HEADER}0000003f000080bf00a0aa3e"));
        let bytes = embedding(EmbeddingType::F16).to_bytes().unwrap();
        assert_eq!(hex(&bytes), format!("{}01{}003800bc5535", &HEADER[..16], &HEADER[18..]));
    }

    #[test]
    fn written_data_reads_back() {
        for dtype in [EmbeddingType::F32, EmbeddingType::F16] {
            let written = embedding(dtype);
            let mut bytes = written.to_bytes().unwrap();
            assert_eq!(Embedding::from_bytes(&bytes).unwrap(), written);
            bytes[6] += 8;
            bytes.splice(48..48, [9; 8]);
            assert_eq!(Embedding::from_bytes(&bytes).unwrap(), written, "a layout with a field more");
        }
    }

    #[test]
    fn invalid_embeddings_are_refused() {
        let good = embedding(EmbeddingType::F32).to_bytes().unwrap();
        for at in [0, 4, 6, 7, 8, 9, 36, 39] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x82;
            assert!(Embedding::from_bytes(&bytes).is_err(), "byte {at}");
        }
        for length in [0, 47, 48, good.len() - 1] {
            assert!(Embedding::from_bytes(&good[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn rates_divide_a_second() {
        let config = |rate_hz| EmbeddingConfig { rate_hz, ..EmbeddingConfig::default() };
        let frames: Vec<u32> =
            (0..=200).filter(|&r| config(r).validate().is_ok()).map(|r| config(r).frames()).collect();
        assert_eq!(frames, [0, 100, 50, 25, 20, 10, 5, 4, 2, 1]);
        assert!(config(3).validate().unwrap_err().to_string().contains("rate_hz"));
    }
}
