// Sums and maxima over a warp and a block, in an order that the number of threads alone decides.
#pragma once
#include "device.cuh"

__device__ __forceinline__ float warp_sum(float value) {
    for (int offset = LANES / 2; offset > 0; offset /= 2)
        value += __shfl_xor_sync(FULL_WARP, value, offset);
    return value;
}

__device__ __forceinline__ float warp_max(float value) {
    for (int offset = LANES / 2; offset > 0; offset /= 2)
        value = fmaxf(value, __shfl_xor_sync(FULL_WARP, value, offset));
    return value;
}

// Of whole warps, at most 32 of them; every thread gets the sum. `space` holds a float per warp.
__device__ __forceinline__ float block_sum(float value, float* space) {
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    value = warp_sum(value);
    if (lane == 0) space[warp] = value;
    __syncthreads();
    value = warp_sum(lane < (int)(blockDim.x / LANES) ? space[lane] : 0.0f);
    __syncthreads();
    return value;
}
