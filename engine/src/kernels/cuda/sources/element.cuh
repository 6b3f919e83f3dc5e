// The types that pages hold. A row of pages has the values of all heads at one position.
#pragma once
#include "device.cuh"

struct F32 {
    static __device__ __forceinline__ float value(const void* pages, size_t slot, int width, int d) {
        return ((const float*)pages)[slot * width + d];
    }
    static __device__ __forceinline__ void store(void* pages, size_t slot, int width, int d, float x) {
        ((float*)pages)[slot * width + d] = x;
    }
};

struct F16 {
    static __device__ __forceinline__ float value(const void* pages, size_t slot, int width, int d) {
        return __half2float(((const __half*)pages)[slot * width + d]);
    }
    static __device__ __forceinline__ void store(void* pages, size_t slot, int width, int d, float x) {
        ((__half*)pages)[slot * width + d] = __float2half_rn(x);
    }
};

struct Bf16 {
    static __device__ __forceinline__ float value(const void* pages, size_t slot, int width, int d) {
        return __bfloat162float(((const __nv_bfloat16*)pages)[slot * width + d]);
    }
    static __device__ __forceinline__ void store(void* pages, size_t slot, int width, int d, float x) {
        ((__nv_bfloat16*)pages)[slot * width + d] = __float2bfloat16_rn(x);
    }
};

// Eight bits with an f16 scale for each 32 values, rounded as the Q8_0 weight type is (ggml). A row
// is its codes and then its scales.
struct Q8 {
    static __device__ __forceinline__ size_t row_bytes(int width) { return width + width / 16; }
    static __device__ __forceinline__ float value(const void* pages, size_t slot, int width, int d) {
        const unsigned char* row = (const unsigned char*)pages + slot * row_bytes(width);
        const __half scale = ((const __half*)(row + width))[d / 32];
        return (float)(signed char)row[d] * __half2float(scale);
    }
};
