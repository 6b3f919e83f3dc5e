//! The element types that weights may be stored in.

use std::fmt;

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

const NOT_IN_GGUF: u32 = u32::MAX;

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
    #[serde(rename = "Q4_1")]
    Q4_1,
    #[serde(rename = "Q5_1")]
    Q5_1,
    #[serde(rename = "Q2_K")]
    Q2K,
    #[serde(rename = "Q3_K")]
    Q3K,
    #[serde(rename = "Q5_K")]
    Q5K,
    #[serde(rename = "IQ4_NL")]
    Iq4Nl,
    #[serde(rename = "IQ4_XS")]
    Iq4Xs,
    #[serde(rename = "MXFP4")]
    Mxfp4,
    /// 128 floats of 8 bits (E4M3) behind their scale in f32.
    #[serde(rename = "F8_128")]
    F8x128,
    /// 4-bit codes in groups of 32, 64 or 128 behind an f16 scale and the code of zero.
    #[serde(rename = "INT4_32")]
    Int4x32,
    #[serde(rename = "INT4_64")]
    Int4x64,
    #[serde(rename = "INT4_128")]
    Int4x128,
    /// Parts of a matrix that lies in several tensors (`StoredMatrix`): never a matrix alone.
    U8,
    #[serde(rename = "F8_E4M3")]
    F8E4M3,
    I32,
}

impl WeightType {
    /// Those that a matrix is made of; the others are parts of one.
    pub const ALL: [Self; 20] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q5_0,
        Self::Q4K,
        Self::Q6K,
        Self::Q4_1,
        Self::Q5_1,
        Self::Q2K,
        Self::Q3K,
        Self::Q5K,
        Self::Iq4Nl,
        Self::Iq4Xs,
        Self::Mxfp4,
        Self::F8x128,
        Self::Int4x32,
        Self::Int4x64,
        Self::Int4x128,
    ];

    pub const fn block_elements(self) -> u64 {
        self.facts().1
    }

    pub const fn block_bytes(self) -> u64 {
        self.facts().2
    }

    /// The name that GGUF tools print.
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// The number that stands for the type in a GGUF tensor table (`ggml_type`).
    pub const fn ggml_number(self) -> Option<u32> {
        let number = self.facts().3;
        if number == NOT_IN_GGUF { None } else { Some(number) }
    }

    /// Name, values of a block, bytes of a block, number in GGUF.
    const fn facts(self) -> (&'static str, u64, u64, u32) {
        match self {
            Self::F32 => ("F32", 1, 4, 0),
            Self::F16 => ("F16", 1, 2, 1),
            Self::BF16 => ("BF16", 1, 2, 30),
            Self::Q4_0 => ("Q4_0", 32, 18, 2),
            Self::Q4_1 => ("Q4_1", 32, 20, 3),
            Self::Q5_0 => ("Q5_0", 32, 22, 6),
            Self::Q5_1 => ("Q5_1", 32, 24, 7),
            Self::Q8_0 => ("Q8_0", 32, 34, 8),
            Self::Q2K => ("Q2_K", 256, 84, 10),
            Self::Q3K => ("Q3_K", 256, 110, 11),
            Self::Q4K => ("Q4_K", 256, 144, 12),
            Self::Q5K => ("Q5_K", 256, 176, 13),
            Self::Q6K => ("Q6_K", 256, 210, 14),
            Self::Iq4Nl => ("IQ4_NL", 32, 18, 20),
            Self::Iq4Xs => ("IQ4_XS", 256, 136, 23),
            Self::Mxfp4 => ("MXFP4", 32, 17, 39),
            Self::F8x128 => ("F8_128", 128, 132, NOT_IN_GGUF),
            Self::Int4x32 => ("INT4_32", 32, 19, NOT_IN_GGUF),
            Self::Int4x64 => ("INT4_64", 64, 35, NOT_IN_GGUF),
            Self::Int4x128 => ("INT4_128", 128, 67, NOT_IN_GGUF),
            Self::U8 => ("U8", 1, 1, NOT_IN_GGUF),
            Self::I32 => ("I32", 1, 4, NOT_IN_GGUF),
            Self::F8E4M3 => ("F8_E4M3", 1, 1, NOT_IN_GGUF),
        }
    }

    /// Columns and bytes of a unit of the panels of 16 rows that products take: the engine's layout
    /// of the type, which its tests hold to this.
    pub const fn panel_unit(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 64),
            Self::F16 | Self::BF16 => (1, 32),
            Self::Q4_0 | Self::Iq4Nl => (64, 576),
            Self::Q4_1 => (64, 640),
            Self::Q5_0 => (64, 704),
            Self::Q5_1 => (64, 768),
            Self::Q8_0 => (64, 1088),
            Self::Q2K => (256, 1344),
            Self::Q3K => (256, 1792),
            Self::Q4K => (256, 2304),
            Self::Q5K => (256, 2816),
            Self::Q6K => (256, 3392),
            Self::Iq4Xs => (256, 2240),
            Self::Mxfp4 | Self::Int4x128 => (128, 1088),
            Self::F8x128 => (128, 2112),
            Self::Int4x32 => (128, 1216),
            Self::Int4x64 => (128, 1152),
            // Never packed alone.
            Self::U8 | Self::F8E4M3 | Self::I32 => (1, 64),
        }
    }

    /// Bytes of a matrix in panels: whole units of 16 rows.
    pub const fn panel_bytes(self, rows: u64, columns: u64) -> u64 {
        let (unit_columns, unit_bytes) = self.panel_unit();
        let units = columns.div_ceil(unit_columns).saturating_mul(rows.div_ceil(16));
        units.saturating_mul(unit_bytes)
    }

    pub fn is_quantised(self) -> bool {
        self.block_elements() > 1
    }

    /// Whether a tensor of the type is no more than a part of a matrix.
    pub fn is_part(self) -> bool {
        !Self::ALL.contains(&self)
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
