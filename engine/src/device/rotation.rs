//! The angles of a step's rows on the device, and the rotation of heads by them.

use candle_core::{DType, Tensor};
use protocol::model_spec::RopeLayout;

use super::DeviceResult;
use super::target::{Target, threads_for};
use crate::kernels::cuda::{Argument, Kernel, space};
use crate::layers::Rope;

/// One of a model's rotations, for the rows of a step.
pub(super) struct Rotation {
    layout: RopeLayout,
    // [rows, 1, dims / 2]
    cos: Tensor,
    sin: Tensor,
    target: Target,
}

impl Rotation {
    /// Of a rope that was filled with the step's positions.
    pub(super) fn of(rope: &Rope, rows: usize, target: &Target) -> candle_core::Result<Self> {
        let (cos, sin) = rope.angles();
        let place = |angles: &[f32]| {
            Tensor::from_slice(angles, (rows, 1, angles.len() / rows.max(1)), &target.device)
        };
        let (cos, sin) = (place(cos)?, place(sin)?);
        Ok(Self { layout: rope.layout(), cos, sin, target: target.clone() })
    }

    /// Rotates the first elements of each head in `x` (`[rows, heads, dim]`).
    pub(super) fn rotate(&self, x: &Tensor) -> DeviceResult {
        if self.target.kernels.are_plain() {
            return self.rotate_plain(x);
        }
        let x = x.contiguous()?;
        let ((rows, heads, dim), half) = (x.dims3()?, self.cos.dim(2)?);
        let out = space(x.dims(), DType::F32, &self.target.device)?;
        let arguments = [
            Argument::In(&x),
            Argument::In(&self.cos),
            Argument::In(&self.sin),
            Argument::Out,
            Argument::Int(dim),
            Argument::Int(half),
            Argument::Int(usize::from(self.layout == RopeLayout::Interleaved)),
        ];
        self.target.launch(Kernel::Rotate, [rows, heads, 1], threads_for(dim), &arguments, &out)?;
        Ok(out)
    }

    fn rotate_plain(&self, x: &Tensor) -> DeviceResult {
        let (rows, heads, dim) = x.dims3()?;
        let half = self.cos.dim(2)?;
        let turned = x.narrow(2, 0, 2 * half)?;
        let (a, b) = match self.layout {
            RopeLayout::HalfSplit => (turned.narrow(2, 0, half)?, turned.narrow(2, half, half)?),
            RopeLayout::Interleaved => {
                let pairs = turned.contiguous()?.reshape((rows, heads, half, 2))?;
                (pairs.narrow(3, 0, 1)?.squeeze(3)?, pairs.narrow(3, 1, 1)?.squeeze(3)?)
            }
        };
        let first = (a.broadcast_mul(&self.cos)? - b.broadcast_mul(&self.sin)?)?;
        let second = (b.broadcast_mul(&self.cos)? + a.broadcast_mul(&self.sin)?)?;
        let turned = match self.layout {
            RopeLayout::HalfSplit => Tensor::cat(&[first, second], 2)?,
            RopeLayout::Interleaved => {
                Tensor::stack(&[first, second], 3)?.reshape((rows, heads, 2 * half))?
            }
        };
        if dim == 2 * half {
            return Ok(turned);
        }
        Tensor::cat(&[turned, x.narrow(2, 2 * half, dim - 2 * half)?], 2)
    }
}
