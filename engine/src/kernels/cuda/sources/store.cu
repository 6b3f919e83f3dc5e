// Puts the keys or values of a step's rows into their slots of the pages, rounded to their type.
//
// Grid: a block per row. Block: threads stride over the width; for eight bits a warp rounds the 32
// values that share a scale. Shared: none.
#include "element.cuh"
#include "reduce.cuh"

// rows is [rows][width], slots [rows].
template <typename E>
__device__ __forceinline__ void store(
    const float* rows, const unsigned* slots, void* pages, int width) {
    const float* row = rows + (size_t)blockIdx.x * width;
    const size_t slot = slots[blockIdx.x];
    for (int d = threadIdx.x; d < width; d += blockDim.x) E::store(pages, slot, width, d, row[d]);
}

extern "C" __global__ void store_f32(
    const float* rows, const unsigned* slots, void* pages, int width) {
    store<F32>(rows, slots, pages, width);
}

extern "C" __global__ void store_f16(
    const float* rows, const unsigned* slots, void* pages, int width) {
    store<F16>(rows, slots, pages, width);
}

extern "C" __global__ void store_bf16(
    const float* rows, const unsigned* slots, void* pages, int width) {
    store<Bf16>(rows, slots, pages, width);
}

extern "C" __global__ void store_q8_0(
    const float* rows, const unsigned* slots, void* pages, int width) {
    const float* row = rows + (size_t)blockIdx.x * width;
    unsigned char* codes = (unsigned char*)pages + slots[blockIdx.x] * Q8::row_bytes(width);
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    for (int block = warp; block < width / LANES; block += blockDim.x / LANES) {
        const float x = row[block * LANES + lane];
        const float largest = warp_max(fabsf(x));
        // What is no number becomes a scale that is none: it must show.
        const bool odd = warp_sum(x != x ? 1.0f : 0.0f) > 0.0f;
        const float scale = odd ? NAN : largest / 127.0f;
        const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
        const float code = roundf(x * inverse);
        codes[block * LANES + lane] =
            code == code ? (unsigned char)(signed char)(int)fminf(fmaxf(code, -128.0f), 127.0f) : 0;
        if (lane == 0) ((__half*)(codes + width))[block] = __float2half_rn(scale);
    }
}
