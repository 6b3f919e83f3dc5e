//! Opens a CUDA device, or says what is missing.

use candle_core::Device;

use crate::error::EngineError;

/// Looks for the libraries first: opening a device without them would end the process.
pub(crate) fn open(index: usize) -> Result<Device, EngineError> {
    if let Some(library) = crate::kernels::missing_cuda_library() {
        let reason = format!("{library} is not installed");
        return Err(EngineError::NoCuda { reason });
    }
    let failed = |error: candle_core::Error| EngineError::NoCuda {
        reason: format!("device {index} does not open: {error}"),
    };
    Device::new_cuda(index).map_err(failed)
}
