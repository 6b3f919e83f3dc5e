//! Where a stage's layers and their state are.

use std::sync::Arc;

#[cfg(feature = "candle")]
use super::rates;
#[cfg(feature = "candle")]
use crate::device::Target;
use crate::error::EngineError;
use crate::gpu::DeviceRates;
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
pub struct Device(pub(crate) Target);

#[cfg(feature = "candle")]
impl Device {
    /// candle's own CPU device: it shows that the layers are right where there is no GPU.
    pub fn candle_cpu() -> Self {
        Self(Target::plain(candle_core::Device::Cpu))
    }

    /// candle's CPU device with the GPU's kernels emulated, to test those; none in a build that
    /// found no C++ compiler, or has CUDA itself.
    pub fn emulated() -> Option<Self> {
        Target::emulated().map(Self)
    }

    /// What a row yields depends on nothing but its own tokens, at the cost of a pass over the
    /// weights for every row of a step.
    pub fn deterministic(self) -> Self {
        Self(Target { deterministic: true, ..self.0 })
    }

    /// The CUDA device with this number; an error where the driver or a library is missing.
    #[cfg(feature = "cuda")]
    pub fn cuda(index: usize) -> Result<Self, EngineError> {
        crate::device::cuda::open(index).map(Self)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu(_) => f.write_str("cpu"),
            #[cfg(feature = "candle")]
            Self::Device(device) => match device.0.device.location() {
                candle_core::DeviceLocation::Cuda { gpu_id } => write!(f, "cuda:{gpu_id}"),
                _ => f.write_str("candle's CPU device"),
            },
        }
    }
}

impl Place {
    /// As `Device::deterministic`; the CPU is so always.
    pub fn deterministic(self) -> Self {
        match self {
            Self::Cpu(compute) => Self::Cpu(compute),
            #[cfg(feature = "candle")]
            Self::Device(device) => Self::Device(device.deterministic()),
        }
    }

    /// What no program has taken of a device's memory; none for the CPU, and where it is not told.
    pub fn free_bytes(&self) -> Option<u64> {
        match self {
            Self::Cpu(_) => None,
            #[cfg(feature = "cuda")]
            Self::Device(device) if device.0.device.is_cuda() => {
                crate::device::cuda::free_bytes(&device.0.device)
            }
            #[cfg(feature = "candle")]
            Self::Device(_) => None,
        }
    }

    /// Measures a device, in some tenths of a second; none for the CPU.
    pub fn rates(&self) -> Result<Option<DeviceRates>, EngineError> {
        match self {
            Self::Cpu(_) => Ok(None),
            #[cfg(feature = "candle")]
            Self::Device(device) => Ok(Some(rates::measure(&device.0.device)?)),
        }
    }

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
