// Rotary position embedding (Su et al., arXiv 2104.09864): turns pairs of each head's first
// elements, copies the rest.
//
// Grid: rows x heads. Block: threads stride over the pairs. Shared: none.
#include "device.cuh"

// x and out are [rows][heads][dim], cos and sin [rows][half]. A pair is the elements i and
// i + half, or 2 i and 2 i + 1 where pairs are interleaved.
extern "C" __global__ void rotate(
    const float* x, const float* cos, const float* sin, float* out, int dim, int half,
    int interleaved) {
    const size_t head = ((size_t)blockIdx.x * gridDim.y + blockIdx.y) * dim;
    const size_t angles = (size_t)blockIdx.x * half;
    for (int i = threadIdx.x; i < half; i += blockDim.x) {
        const int first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + half;
        const float a = x[head + first], b = x[head + second];
        const float c = cos[angles + i], s = sin[angles + i];
        out[head + first] = a * c - b * s;
        out[head + second] = b * c + a * s;
    }
    for (int i = 2 * half + threadIdx.x; i < dim; i += blockDim.x) out[head + i] = x[head + i];
}
