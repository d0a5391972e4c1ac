//! Types of numbers in a storage.

use candle_core::DType;

/// Type of the numbers of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 64 bit floating point.
    F64,
    /// 32 bit floating point.
    F32,
    /// 16 bit floating point.
    F16,
    /// 16 bit floating point with the exponent of `F32`.
    Bf16,
    /// 64 bit integer.
    I64,
    /// 32 bit integer.
    I32,
    /// 16 bit integer.
    I16,
    /// 8 bit integer.
    I8,
    /// 8 bit integer without a sign.
    U8,
    /// Truth value, one byte.
    Bool,
}

impl Dtype {
    /// The type that the storage class `name` of PyTorch holds.
    pub(super) fn of_storage(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of one number.
    #[must_use]
    pub fn size(self) -> u64 {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The same type of candle, where it is one for weights.
    pub(super) fn float(self) -> Option<DType> {
        match self {
            Self::F64 => Some(DType::F64),
            Self::F32 => Some(DType::F32),
            Self::F16 => Some(DType::F16),
            Self::Bf16 => Some(DType::BF16),
            _ => None,
        }
    }
}
