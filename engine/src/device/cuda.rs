//! Opens a CUDA device, or says what is missing, and asks for its free memory.

use std::sync::Arc;

use candle_core::Device;

use super::Target;
use crate::error::EngineError;
use crate::kernels::cuda::{Kernels, LoadedKernels};

/// Looks for the libraries first: opening a device without them would end the process.
///
/// The device has one stream of its own: a stage is loaded by one thread and run by another, and
/// the default stream would be another one in each.
pub(crate) fn open(index: usize) -> Result<Target, EngineError> {
    if let Some(library) = crate::kernels::missing_cuda_library() {
        let reason = format!("{library} is not installed");
        return Err(EngineError::NoCuda { reason });
    }
    let failed = |error: candle_core::Error| EngineError::NoCuda {
        reason: format!("device {index} does not open: {error}"),
    };
    let device = Device::new_cuda_with_stream(index).map_err(failed)?;
    let kernels = LoadedKernels::load(device.as_cuda_device().map_err(failed)?).map_err(failed)?;
    Ok(Target { kernels: Kernels::Loaded(Arc::new(kernels)), ..Target::plain(device) })
}

/// What no program has taken of the device's memory; none where the driver does not tell.
pub(crate) fn free_bytes(device: &Device) -> Option<u64> {
    let stream = device.as_cuda_device().ok()?.cuda_stream();
    stream.context().mem_get_info().ok().map(|(free, _)| free as u64)
}
