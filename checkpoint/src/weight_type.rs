//! The element types that weights may be stored in.

use std::fmt;

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// A storage type; quantised ones hold `block_elements` values in `block_bytes` bytes.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    SchemaWrite,
    SchemaRead,
)]
pub enum WeightType {
    F32,
    F16,
    BF16,
    #[serde(rename = "Q8_0")]
    Q8_0,
    #[serde(rename = "Q4_0")]
    Q4_0,
    #[serde(rename = "Q5_0")]
    Q5_0,
    #[serde(rename = "Q4_K")]
    Q4K,
    #[serde(rename = "Q6_K")]
    Q6K,
}

impl WeightType {
    pub const ALL: [Self; 8] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q5_0,
        Self::Q4K,
        Self::Q6K,
    ];

    pub fn block_elements(self) -> u64 {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q5_0 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    pub fn block_bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q5_0 => 22,
            Self::Q4K => 144,
            Self::Q6K => 210,
        }
    }

    /// The name that GGUF tools print.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q5_0 => "Q5_0",
            Self::Q4K => "Q4_K",
            Self::Q6K => "Q6_K",
        }
    }

    pub fn is_quantised(self) -> bool {
        self.block_elements() > 1
    }

    /// Bytes of a tensor of `shape` (rows first), or `None` if a row is not made of whole blocks
    /// or the product overflows.
    pub fn tensor_bytes(self, shape: &[u64]) -> Option<u64> {
        let row = shape.last().copied().unwrap_or(1);
        if row % self.block_elements() != 0 {
            return None;
        }
        let elements = shape.iter().try_fold(1_u64, |n, &d| n.checked_mul(d))?;
        (elements / self.block_elements()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
