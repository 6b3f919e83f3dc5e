// What every kernel includes: CUDA's own headers, or the emulator where a host compiler reads it.
//
// Kernels keep to a plain subset (static shared memory, block barriers, whole-warp shuffles, atomics
// on shared integers), which the emulator has too.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define FULL_WARP 0xffffffffu
#else
#include "emulator.h"
#endif

#define LANES 32
#define NONE (-INFINITY)
