//! Whether the libraries are there that CUDA needs at run time.

/// The first that is missing, by what people install. A program that links to them would not have
/// started without; only one that loads them as it runs can ask.
pub(crate) fn missing_cuda_library() -> Option<&'static str> {
    #[cfg(feature = "cuda-loading")]
    {
        use cudarc::{cublas, cublaslt, curand, driver, nvrtc};
        // SAFETY: these load a library and nothing else; NVIDIA's do nothing when they are loaded.
        let found = unsafe {
            [
                ("the NVIDIA driver (libcuda.so.1)", driver::sys::is_culib_present()),
                ("cuBLAS (libcublas.so)", cublas::sys::is_culib_present()),
                ("cuBLASLt (libcublasLt.so)", cublaslt::sys::is_culib_present()),
                ("cuRAND (libcurand.so)", curand::sys::is_culib_present()),
                ("NVRTC (libnvrtc.so)", nvrtc::sys::is_culib_present()),
            ]
        };
        return found.into_iter().find(|(_, present)| !present).map(|(name, _)| name);
    }
    #[cfg(not(feature = "cuda-loading"))]
    None
}
