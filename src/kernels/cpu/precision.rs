//! How many bits a weight has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What weights are kept as. Sums are in 32 bits whatever it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits, as the model file has them.
    #[default]
    F32,
    /// The upper 16 bits, rounded; inputs and sums keep 32.
    Bf16,
    /// 8 bits and a scale for each output; inputs are rounded to 15 bits of the largest of their row, and sums are
    /// exact. Bank, first layer, bands and gates keep 32 bits.
    Int8,
}

impl Precision {
    /// Every one, from the most bits to the fewest.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|precision| precision.name() == text).ok_or_else(|| {
            Error::config(format!("unknown precision `{text}`"), "write one of f32, bf16 and int8")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
            let json = serde_json::to_string(&precision).unwrap();
            assert_eq!(json, format!("\"{precision}\""));
            assert_eq!(serde_json::from_str::<Precision>(&json).unwrap(), precision);
        }
        let error = "fp16".parse::<Precision>().unwrap_err();
        assert_eq!(error.to_string(), "unknown precision `fp16`");
        assert_eq!(error.fix(), "write one of f32, bf16 and int8");
    }
}
