//! The GPUs that CUDA shows this process, before any of them is opened.

use crate::error::EngineError;

/// What the CUDA driver says of a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuFacts {
    /// CUDA's number for it, which counts those of `CUDA_VISIBLE_DEVICES` alone.
    pub ordinal: u32,
    pub name: String,
    /// As NVML and `CUDA_VISIBLE_DEVICES` write it: `GPU-8932f937-d72c-4106-c12f-20bd9faed9f6`.
    pub uuid: String,
    pub memory_total_bytes: u64,
    /// Major and minor number.
    pub compute_capability: (u32, u32),
    /// It has no memory of its own.
    pub integrated: bool,
    /// It reads the process's own pages, over a coherent link or because there are no others.
    pub uses_host_page_tables: bool,
    pub memory_clock_khz: u32,
    pub memory_bus_bits: u32,
    pub clock_khz: u32,
    pub multiprocessors: u32,
}

/// Rates of a device, for large pieces of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceRates {
    /// Bytes read and written per second by copies inside of its memory.
    pub bytes_per_second: f64,
    /// Multiply-accumulates per second, bf16 on a GPU, f32 on the CPU.
    pub macs_per_second: f64,
}

impl GpuFacts {
    /// Bytes per second that the clock and the width of its memory allow: two transfers a clock.
    pub fn memory_bandwidth_limit(&self) -> f64 {
        2.0 * 1e3 * f64::from(self.memory_clock_khz) * f64::from(self.memory_bus_bits) / 8.0
    }

    /// Half-precision multiply-accumulates per second that its tensor cores allow, dense, by the
    /// numbers per multiprocessor and clock in NVIDIA's architecture papers. GeForce cards reach
    /// half of it where sums are f32.
    pub fn matmul_limit(&self) -> f64 {
        let per_clock = match self.compute_capability {
            (10, _) => 4096.0,
            (9, _) => 2048.0,
            (8, 0) => 1024.0,
            (7.., _) => 512.0,
            // No tensor cores: two to a clock in each of 64 lanes.
            _ => 128.0,
        };
        per_clock * f64::from(self.multiprocessors) * f64::from(self.clock_khz) * 1e3
    }
}

/// Every GPU that CUDA shows; an error says what is missing.
pub fn visible_gpus() -> Result<Vec<GpuFacts>, EngineError> {
    #[cfg(feature = "cuda")]
    {
        if let Some(library) = crate::kernels::missing_cuda_library() {
            let reason = format!("{library} is not installed");
            return Err(EngineError::NoCuda { reason });
        }
        crate::kernels::cuda_devices().map_err(|reason| EngineError::NoCuda { reason })
    }
    #[cfg(not(feature = "cuda"))]
    Err(EngineError::NoCuda {
        reason: "this program was built without CUDA (feature `cuda`)".to_owned(),
    })
}

/// `GPU-` and the bytes in groups, as NVIDIA's tools write it.
#[cfg(any(feature = "cuda", test))]
pub(crate) fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let group = |from: usize, to: usize| &hex[from..to];
    let groups = [group(0, 8), group(8, 12), group(12, 16), group(16, 20), group(20, 32)];
    format!("GPU-{}", groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_written_as_nvidia_s_tools_write_it() {
        let bytes = [
            0x89, 0x32, 0xf9, 0x37, 0xd7, 0x2c, 0x41, 0x06, 0xc1, 0x2f, 0x20, 0xbd, 0x9f, 0xae,
            0xd9, 0xf6,
        ];
        assert_eq!(uuid_text(bytes), "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6");
    }

    #[test]
    fn limits_from_clocks_are_those_of_the_data_sheets() {
        // An RTX 3090: 936 GB/s; 142 TFLOP/s where sums are f16 too.
        let gpu = GpuFacts {
            compute_capability: (8, 6),
            memory_clock_khz: 9_751_000,
            memory_bus_bits: 384,
            clock_khz: 1_695_000,
            multiprocessors: 82,
            ..GpuFacts::default()
        };
        assert!((gpu.memory_bandwidth_limit() / 936e9 - 1.0).abs() < 0.01);
        assert!((2.0 * gpu.matmul_limit() / 142e12 - 1.0).abs() < 0.01);
        // An H100 SXM: 989 TFLOP/s, dense.
        let gpu = GpuFacts {
            compute_capability: (9, 0),
            clock_khz: 1_830_000,
            multiprocessors: 132,
            ..GpuFacts::default()
        };
        assert!((2.0 * gpu.matmul_limit() / 989e12 - 1.0).abs() < 0.01);
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_program_built_without_cuda_says_so() {
        let error = visible_gpus().expect_err("no CUDA").to_string();
        assert!(error.contains("built without CUDA"), "{error}");
    }
}
