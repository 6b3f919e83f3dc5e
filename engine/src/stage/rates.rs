//! How fast a device of candle's copies and multiplies, for the planner.

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Result, Tensor};

use crate::gpu::DeviceRates;

/// What is copied: larger than the caches of GPUs.
const COPY_BYTES: usize = 256 << 20;
/// Rows, columns and depth of the product.
const SIDE: usize = 4096;
/// candle's CPU device is there for tests.
const SMALL: usize = 32;
const ROUNDS: u32 = 8;

pub(super) fn measure(device: &Device) -> Result<DeviceRates> {
    let gpu = device.is_cuda();
    let (part, dtype) = if gpu { (1, DType::BF16) } else { (SMALL, DType::F32) };
    let values = COPY_BYTES / 4 / part;
    let source = Tensor::zeros(values, DType::F32, device)?;
    let copying = fastest(device, || source.copy().map(drop))?;
    let side = SIDE / part;
    let (a, b) =
        (Tensor::ones((side, side), dtype, device)?, Tensor::ones((side, side), dtype, device)?);
    let multiplying = fastest(device, || a.matmul(&b).map(drop))?;
    Ok(DeviceRates {
        bytes_per_second: 8.0 * values as f64 / copying.as_secs_f64(),
        macs_per_second: (side as f64).powi(3) / multiplying.as_secs_f64(),
    })
}

/// The first round, which loads kernels, does not count.
fn fastest(device: &Device, mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    work()?;
    device.synchronize()?;
    let mut least = Duration::MAX;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        work()?;
        device.synchronize()?;
        least = least.min(begun.elapsed());
    }
    Ok(least.max(Duration::from_nanos(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_positive_and_finite() {
        let rates = measure(&Device::Cpu).expect("runs");
        for rate in [rates.bytes_per_second, rates.macs_per_second] {
            assert!(rate.is_finite() && rate > 1e6, "{rate}");
        }
    }
}
