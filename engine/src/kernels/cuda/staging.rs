//! Page-locked host memory between a stage's rows and a CUDA device. Not run on a GPU so far.
//!
//! A copy from or to it is the device's own; from other memory the driver copies to its own locked
//! pages first.

use candle_core::cuda_backend::cudarc::driver::PinnedHostSlice;
use candle_core::cuda_backend::cudarc::driver::sys::CU_MEMHOSTALLOC_PORTABLE;
use candle_core::cuda_backend::{CudaDevice, WrapErr};
use candle_core::{
    CpuStorage, CudaStorage, DType, Device, InplaceOp1, Layout, Result, Storage, Tensor,
};

/// Room for a step's rows.
pub(crate) struct Staging {
    device: CudaDevice,
    locked: PinnedHostSlice<f32>,
}

impl Staging {
    pub(crate) fn new(device: &CudaDevice, floats: usize) -> Result<Self> {
        let context = device.cuda_stream().context().clone();
        // SAFETY: any bits are a float, and what is read was written before.
        let locked =
            unsafe { context.alloc_pinned_with_flags(floats.max(1), CU_MEMHOSTALLOC_PORTABLE) };
        Ok(Self { device: device.clone(), locked: locked.w()? })
    }

    /// A tensor of `values`, which are no more than there is room for.
    pub(crate) fn upload(&mut self, values: &[f32], shape: &[usize]) -> Result<Tensor> {
        let device = Device::Cuda(self.device.clone());
        let tensor = super::space(shape, DType::F32, &device)?;
        let room = self.locked.as_mut_slice().w()?;
        let Some(room) = room.get_mut(..values.len()) else {
            candle_core::bail!("{} values do not fit the staging buffer", values.len());
        };
        room.copy_from_slice(values);
        tensor.inplace_op1(&Upload(room))?;
        Ok(tensor)
    }

    /// Fills `values` from a tensor of as many.
    pub(crate) fn download(&mut self, tensor: &Tensor, values: &mut [f32]) -> Result<()> {
        let tensor = tensor.contiguous()?;
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cuda(cuda) = &*storage else {
            candle_core::bail!("staging reads another device's memory");
        };
        let first = layout.start_offset();
        let slice = cuda.as_cuda_slice::<f32>()?.slice(first..first + tensor.elem_count());
        let room = self.locked.as_mut_slice().w()?;
        let Some(room) = room.get_mut(..values.len()) else {
            candle_core::bail!("{} values do not fit the staging buffer", values.len());
        };
        let stream = self.device.cuda_stream();
        stream.memcpy_dtoh(&slice, room).w()?;
        stream.synchronize().w()?;
        values.copy_from_slice(room);
        Ok(())
    }
}

struct Upload<'a>(&'a [f32]);

impl InplaceOp1 for Upload<'_> {
    fn name(&self) -> &'static str {
        "upload"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
        candle_core::bail!("staging is for CUDA devices")
    }

    fn cuda_fwd(&self, out: &mut CudaStorage, layout: &Layout) -> Result<()> {
        let device = out.device.clone();
        let first = layout.start_offset();
        let slice = out.as_cuda_slice_mut::<f32>()?;
        device.memcpy_htod(self.0, &mut slice.slice_mut(first..first + self.0.len()))
    }
}
