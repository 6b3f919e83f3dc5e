// Root-mean-square normalisation (Zhang and Sennrich, arXiv 1910.07467), alone and with the
// addition that stands beside it in a layer.
//
// Grid: a block per row. Block: whole warps, as many as the width asks for, so that the order of a
// row's sum depends on its width alone. Shared: a float per warp.
#include "reduce.cuh"

__device__ __forceinline__ float inverse_rms(float squares, int width, float epsilon, float* space) {
    return 1.0f / sqrtf(block_sum(squares, space) / (float)width + epsilon);
}

// out = x / rms(x) * weight
extern "C" __global__ void rms_norm(
    const float* x, const float* weight, float* out, int width, float epsilon) {
    __shared__ float space[LANES];
    x += (size_t)blockIdx.x * width;
    out += (size_t)blockIdx.x * width;
    float squares = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) squares = fmaf(x[i], x[i], squares);
    const float factor = inverse_rms(squares, width, epsilon, space);
    for (int i = threadIdx.x; i < width; i += blockDim.x) out[i] = x[i] * factor * weight[i];
}

// The first half of out is x + y, the second the norm of it.
extern "C" __global__ void add_rms_norm(
    const float* x, const float* y, const float* weight, float* out, int width, float epsilon) {
    __shared__ float space[LANES];
    x += (size_t)blockIdx.x * width;
    y += (size_t)blockIdx.x * width;
    float* sums = out + (size_t)blockIdx.x * width;
    float* normed = sums + (size_t)gridDim.x * width;
    float squares = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        const float sum = x[i] + y[i];
        sums[i] = sum;
        squares = fmaf(sum, sum, squares);
    }
    const float factor = inverse_rms(squares, width, epsilon, space);
    // Each thread reads the sums that it wrote.
    for (int i = threadIdx.x; i < width; i += blockDim.x) normed[i] = sums[i] * factor * weight[i];
}

// out = x + norm(y)
extern "C" __global__ void rms_norm_add(
    const float* x, const float* y, const float* weight, float* out, int width, float epsilon) {
    __shared__ float space[LANES];
    x += (size_t)blockIdx.x * width;
    y += (size_t)blockIdx.x * width;
    out += (size_t)blockIdx.x * width;
    float squares = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) squares = fmaf(y[i], y[i], squares);
    const float factor = inverse_rms(squares, width, epsilon, space);
    for (int i = threadIdx.x; i < width; i += blockDim.x) out[i] = x[i] + y[i] * factor * weight[i];
}
