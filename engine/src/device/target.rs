//! Where layers compute, and by what.

use candle_core::{Device, Tensor};

use super::DeviceResult;
use crate::kernels::cuda::{Argument, Kernel, Kernels, Launch};

/// Values of which a launch with a thread for each takes one block.
const ELEMENT_THREADS: usize = 256;
/// Blocks of such a launch at most: threads go on with further values.
const ELEMENT_BLOCKS: usize = 4096;

/// A device of candle's with the kernels that run there.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) device: Device,
    pub(crate) kernels: Kernels,
    /// What a row yields depends on nothing but its own tokens: products take one row at a time,
    /// since candle's choose their kernel, and with it the order of a sum, by the number of rows.
    pub(crate) deterministic: bool,
}

impl Target {
    /// candle's operations alone.
    pub(crate) fn plain(device: Device) -> Self {
        Self { device, kernels: Kernels::Plain, deterministic: false }
    }

    /// candle's CPU device with our kernels in the emulator, where the build has one.
    pub(crate) fn emulated() -> Option<Self> {
        #[cfg(emulated_kernels)]
        return Some(Self { kernels: Kernels::Emulated, ..Self::plain(Device::Cpu) });
        #[cfg(not(emulated_kernels))]
        None
    }

    /// `product` of all rows of `x`, or of each alone where that could make a difference.
    pub(super) fn rows(
        &self,
        x: &Tensor,
        product: impl Fn(&Tensor) -> DeviceResult,
    ) -> DeviceResult {
        let rows = x.dim(0)?;
        if !self.deterministic || rows <= 1 {
            return product(x);
        }
        let each = (0..rows).map(|row| product(&x.narrow(0, row, 1)?));
        Tensor::cat(&each.collect::<candle_core::Result<Vec<_>>>()?, 0)
    }

    pub(super) fn launch(
        &self,
        kernel: Kernel,
        grid: [usize; 3],
        threads: usize,
        arguments: &[Argument<'_>],
        out: &Tensor,
    ) -> candle_core::Result<()> {
        Launch { kernels: &self.kernels, kernel, grid, threads, arguments }.write(out)
    }

    /// A launch over `count` values.
    pub(super) fn launch_each(
        &self,
        kernel: Kernel,
        count: usize,
        arguments: &[Argument<'_>],
        out: &Tensor,
    ) -> candle_core::Result<()> {
        let blocks = count.div_ceil(ELEMENT_THREADS).min(ELEMENT_BLOCKS);
        self.launch(kernel, [blocks, 1, 1], ELEMENT_THREADS, arguments, out)
    }
}

/// Threads of a block that strides over `width` values, a few for each: whole warps.
pub(super) fn threads_for(width: usize) -> usize {
    width.div_ceil(4).next_multiple_of(32).clamp(32, 1024)
}
