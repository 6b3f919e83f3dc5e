//! Loops over f32 slices, compiled for AVX2 beside the baseline, with the same bits from both.
//!
//! Each body is written once with a fixed number of lanes and without fused multiply-add, so that
//! the instruction set decides the speed and never the result.

/// Defines a function that runs `$body` as compiled for AVX2 where the CPU has it.
macro_rules! widened {
    (
        $(#[$doc:meta])*
        fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? = $body:path
    ) => {
        $(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($arg: $type),*) $(-> $ret)? {
                    $body($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the CPU has AVX2, the only feature that `wide` asks for.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

pub(in crate::kernels) use widened;

mod convolution;
mod dot;
mod exp;
mod halves;
mod softplus;

pub(crate) use convolution::convolve;
pub(crate) use dot::{add, dot, max, scale, scale_into, sum, sum_of_squares, weighted_sum};
pub(crate) use exp::{exp, exp_shifted, sigmoid_times, silu_times, soft_cap};
pub(crate) use halves::{f32_to_bf16, f32_to_f16, round_to_bf16};
pub(crate) use softplus::softplus;
