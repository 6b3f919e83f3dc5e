//! Kernels of our own for what candle's CUDA device lacks: their sources, and how they are started.
//!
//! The same sources run on a GPU, from PTX, and in tests without one in an emulator. What the
//! kernels compute stands with the layers that call them, beside a version in candle's operations.

#[cfg(emulated_kernels)]
mod emulated;
mod launch;
#[cfg(feature = "cuda")]
mod loaded;
#[cfg(feature = "cuda")]
mod staging;

use candle_core::{DType, Device, Result, Tensor};

pub(crate) use launch::{Argument, Launch};
#[cfg(feature = "cuda")]
pub(crate) use loaded::LoadedKernels;
#[cfg(feature = "cuda")]
pub(crate) use staging::Staging;

/// A kernel by the name of its function in the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    Activate,
    AddRmsNorm,
    AttendBf16,
    AttendF16,
    AttendF32,
    AttendQ8,
    BestToken,
    LikeliestTokens,
    MergeSpans,
    RmsNorm,
    RmsNormAdd,
    Rotate,
    StoreBf16,
    StoreF16,
    StoreF32,
    StoreQ8,
}

impl Kernel {
    /// In the order of their declaration.
    #[cfg(feature = "cuda")]
    const ALL: [Self; 16] = [
        Self::Activate,
        Self::AddRmsNorm,
        Self::AttendBf16,
        Self::AttendF16,
        Self::AttendF32,
        Self::AttendQ8,
        Self::BestToken,
        Self::LikeliestTokens,
        Self::MergeSpans,
        Self::RmsNorm,
        Self::RmsNormAdd,
        Self::Rotate,
        Self::StoreBf16,
        Self::StoreF16,
        Self::StoreF32,
        Self::StoreQ8,
    ];

    fn name(self) -> &'static std::ffi::CStr {
        match self {
            Self::Activate => c"activate",
            Self::AddRmsNorm => c"add_rms_norm",
            Self::AttendBf16 => c"attend_bf16",
            Self::AttendF16 => c"attend_f16",
            Self::AttendF32 => c"attend_f32",
            Self::AttendQ8 => c"attend_q8_0",
            Self::BestToken => c"best_token",
            Self::LikeliestTokens => c"likeliest_tokens",
            Self::MergeSpans => c"merge_spans",
            Self::RmsNorm => c"rms_norm",
            Self::RmsNormAdd => c"rms_norm_add",
            Self::Rotate => c"rotate",
            Self::StoreBf16 => c"store_bf16",
            Self::StoreF16 => c"store_f16",
            Self::StoreF32 => c"store_f32",
            Self::StoreQ8 => c"store_q8_0",
        }
    }
}

/// What runs the kernels on a device.
#[derive(Clone)]
pub(crate) enum Kernels {
    /// Nothing: candle's operations take their place.
    Plain,
    /// This machine's processor, for tests.
    #[cfg(emulated_kernels)]
    Emulated,
    #[cfg(feature = "cuda")]
    Loaded(std::sync::Arc<LoadedKernels>),
}

impl Kernels {
    pub(crate) fn are_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }
}

/// A tensor that a kernel fills: zeros where that costs nothing worth saving.
pub(crate) fn space(shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if device.is_cuda() {
        // SAFETY: any bits are a value of the numbers that tensors hold, and the kernel that this
        // is for writes all that is read.
        return unsafe { Tensor::empty(shape, dtype, device) };
    }
    Tensor::zeros(shape, dtype, device)
}
