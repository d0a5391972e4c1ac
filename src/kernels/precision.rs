//! How exact products are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Numbers that products are made of; sums are always of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 19 bits, on a GPU.
    Tf32,
    /// 16 bits.
    Bf16,
    /// Weights in 8 bits with a scale for each output, inputs in 15 with a scale for each row; on a processor.
    Int8,
    /// Weights and inputs in 8 bits, with such scales; on a processor.
    W8a8,
    /// Weights and inputs in 7 bits, with such scales: four products an instruction of any AVX2; on a processor.
    Int7,
    /// The fastest of a processor whose scores stay near, chosen by a measurement at the start.
    Auto,
}

impl Precision {
    /// All of a processor, from the most exact to the least.
    pub const OF_PROCESSORS: [Self; 5] = [Self::F32, Self::Bf16, Self::Int8, Self::W8a8, Self::Int7];

    /// Whether products are of integers.
    #[must_use]
    pub fn is_integer(self) -> bool {
        matches!(self, Self::Int8 | Self::W8a8 | Self::Int7)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::W8a8 => "w8a8",
            Self::Int7 => "int7",
            Self::Auto => "auto",
        })
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::F32, Self::Tf32, Self::Bf16, Self::Int8, Self::W8a8, Self::Int7, Self::Auto];
        all.into_iter().find(|precision| precision.to_string() == text).ok_or_else(|| {
            Error::config(
                format!("unknown precision `{text}`"),
                "choose one of: f32, tf32, bf16, int8, w8a8, int7, auto",
            )
        })
    }
}
