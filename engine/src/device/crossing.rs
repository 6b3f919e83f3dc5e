//! How a step's rows come to the device and back: on CUDA through page-locked memory.

use candle_core::Tensor;

use super::DeviceResult;
use super::target::Target;

pub(super) struct Crossing {
    target: Target,
    #[cfg(feature = "cuda")]
    staging: Option<std::sync::Mutex<crate::kernels::cuda::Staging>>,
}

impl Crossing {
    /// Of up to `floats` at a time.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "for CUDA alone"))]
    pub(super) fn new(target: &Target, floats: usize) -> candle_core::Result<Self> {
        #[cfg(feature = "cuda")]
        let staging = match &target.device {
            candle_core::Device::Cuda(device) => {
                let staging = crate::kernels::cuda::Staging::new(device, floats)?;
                Some(std::sync::Mutex::new(staging))
            }
            _ => None,
        };
        Ok(Self {
            target: target.clone(),
            #[cfg(feature = "cuda")]
            staging,
        })
    }

    pub(super) fn upload(&self, values: &[f32], shape: (usize, usize)) -> DeviceResult {
        #[cfg(feature = "cuda")]
        if let Some(mut staging) = self.staging() {
            return staging.upload(values, &[shape.0, shape.1]);
        }
        Tensor::from_slice(values, shape, &self.target.device)
    }

    pub(super) fn download(&self, x: &Tensor, values: &mut [f32]) -> candle_core::Result<()> {
        #[cfg(feature = "cuda")]
        if let Some(mut staging) = self.staging() {
            return staging.download(x, values);
        }
        values.copy_from_slice(&x.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn staging(&self) -> Option<std::sync::MutexGuard<'_, crate::kernels::cuda::Staging>> {
        // Who broke off in the middle left numbers there that nobody reads.
        let staging = self.staging.as_ref()?;
        Some(staging.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
