//! Where a stage's layers and their state are.

use std::sync::Arc;

use crate::error::EngineError;
use crate::kernels::Compute;

/// Threads of this process, or a device.
#[derive(Clone)]
pub enum Place {
    Cpu(Arc<Compute>),
    #[cfg(feature = "candle")]
    Device(Device),
}

/// A device of candle's.
#[cfg(feature = "candle")]
#[derive(Clone)]
pub struct Device(pub(crate) candle_core::Device);

#[cfg(feature = "candle")]
impl Device {
    /// candle's own CPU device: it shows that the layers are right where there is no GPU.
    pub fn candle_cpu() -> Self {
        Self(candle_core::Device::Cpu)
    }

    /// The CUDA device with this number; an error where the driver or a library is missing.
    #[cfg(feature = "cuda")]
    pub fn cuda(index: usize) -> Result<Self, EngineError> {
        crate::device::cuda::open(index).map(Self)
    }
}

impl Place {
    /// By name: `cpu`, or `cuda:N` in a build with CUDA.
    pub fn named(name: &str) -> Result<Self, EngineError> {
        match name.strip_prefix("cuda:").map(str::parse::<usize>) {
            #[cfg(feature = "cuda")]
            Some(Ok(index)) => Device::cuda(index).map(Self::Device),
            #[cfg(not(feature = "cuda"))]
            Some(Ok(_)) => Err(EngineError::NoCuda {
                reason: "this program was built without CUDA (feature `cuda`)".to_owned(),
            }),
            _ if name == "cpu" => Ok(Self::Cpu(Arc::clone(Compute::of_process()))),
            _ => Err(EngineError::BadPlace { name: name.to_owned() }),
        }
    }
}
