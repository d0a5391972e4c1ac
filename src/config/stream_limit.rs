//! The most streams that a daemon takes.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The word for a limit that is measured.
const AUTO: &str = "auto";

/// The most streams that a daemon analyses: `"auto"` or a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StreamLimit {
    /// As many as this machine analyses in 70 % of its time, by a measurement at the start.
    #[default]
    Auto,
    /// So many.
    Streams(u32),
}

impl fmt::Display for StreamLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(AUTO),
            Self::Streams(streams) => streams.fmt(f),
        }
    }
}

impl Serialize for StreamLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Streams(streams) => serializer.serialize_u32(*streams),
        }
    }
}

impl<'de> Deserialize<'de> for StreamLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LimitVisitor)
    }
}

struct LimitVisitor;

impl Visitor<'_> for LimitVisitor {
    type Value = StreamLimit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"auto\" or a whole number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<StreamLimit, E> {
        match text.parse() {
            _ if text == AUTO => Ok(StreamLimit::Auto),
            Ok(streams) => Ok(StreamLimit::Streams(streams)),
            Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, streams: u64) -> Result<StreamLimit, E> {
        // what is too large for the number is too large for the range as well
        Ok(StreamLimit::Streams(u32::try_from(streams).unwrap_or(u32::MAX)))
    }

    fn visit_i64<E: de::Error>(self, streams: i64) -> Result<StreamLimit, E> {
        match u64::try_from(streams) {
            Ok(streams) => self.visit_u64(streams),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(streams), &self)),
        }
    }
}
