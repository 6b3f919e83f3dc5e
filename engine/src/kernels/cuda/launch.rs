//! One launch of a kernel: its grid, its threads, its parameters.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};

use super::{Kernel, Kernels};

/// A launch that writes one tensor. The parameters are those of the kernel's function in order.
pub(crate) struct Launch<'a> {
    pub(crate) kernels: &'a Kernels,
    pub(crate) kernel: Kernel,
    pub(crate) grid: [usize; 3],
    /// Of a block: whole warps.
    pub(crate) threads: usize,
    pub(crate) arguments: &'a [Argument<'a>],
}

#[derive(Clone, Copy)]
pub(crate) enum Argument<'a> {
    /// The tensor that is written.
    Out,
    In(&'a Tensor),
    Null,
    Int(usize),
    Float(f32),
}

impl Launch<'_> {
    /// Tensors are whole or follow each other without gaps: kernels know no strides.
    pub(crate) fn write(&self, out: &Tensor) -> Result<()> {
        if self.grid.contains(&0) {
            return Ok(());
        }
        if let Some(size) = self.grid.iter().find(|size| u32::try_from(**size).is_err()) {
            candle_core::bail!("{:?} over {size} blocks", self.kernel);
        }
        for argument in self.arguments {
            match argument {
                Argument::In(tensor) if !tensor.is_contiguous() => {
                    candle_core::bail!("{:?} reads a tensor with gaps", self.kernel);
                }
                Argument::Int(value) if i32::try_from(*value).is_err() => {
                    candle_core::bail!("{:?} with a parameter of {value}", self.kernel);
                }
                _ => {}
            }
        }
        out.inplace_op1(self)
    }

    fn grid(&self) -> [u32; 3] {
        self.grid.map(|size| size as u32)
    }
}

impl InplaceOp1 for Launch<'_> {
    fn name(&self) -> &'static str {
        "trireme kernel"
    }

    #[cfg_attr(not(emulated_kernels), allow(unused_variables, reason = "for the emulator alone"))]
    fn cpu_fwd(&self, out: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match self.kernels {
            #[cfg(emulated_kernels)]
            Kernels::Emulated => super::emulated::run(self, out, layout, self.grid()),
            _ => candle_core::bail!("{:?} does not run on the CPU", self.kernel),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, out: &mut candle_core::CudaStorage, layout: &Layout) -> Result<()> {
        match self.kernels {
            Kernels::Loaded(loaded) => loaded.run(self, out, layout, self.grid()),
            _ => candle_core::bail!("{:?} was not loaded", self.kernel),
        }
    }
}
