// The part of CUDA C++ that the kernels use, for a host compiler: a block is run by fibers of one
// thread, one block after another.
//
// It shows whether a kernel computes the right numbers at the right places. Races between threads,
// bank conflicts and speed it cannot show.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct Dim {
    unsigned x, y, z;
};

extern thread_local Dim threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __forceinline__ inline
// One thread runs one block at a time.
#define __shared__ static thread_local
#define FULL_WARP 0xffffffffu

// Waits for all threads of the block that have not ended.
void __syncthreads();
// Leaves 32 bits for the other lanes and takes those of lane `from`.
uint32_t emulator_exchange(uint32_t own, unsigned from);

template <typename T>
T __shfl_xor_sync(unsigned, T value, int lanes) {
    static_assert(sizeof(T) == 4, "a word");
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits = emulator_exchange(bits, (threadIdx.x % 32) ^ (unsigned)lanes);
    memcpy(&value, &bits, 4);
    return value;
}

// Fibers change only where they wait.
inline int atomicAdd(int* place, int value) {
    const int old = *place;
    *place += value;
    return old;
}

template <typename T>
T min(T a, T b) {
    return a < b ? a : b;
}

template <typename T>
T max(T a, T b) {
    return a > b ? a : b;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits;
}

inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

struct __nv_bfloat16 {
    uint16_t bits;
};

struct __half {
    uint16_t bits;
};

inline float __bfloat162float(__nv_bfloat16 value) {
    return __uint_as_float((unsigned)value.bits << 16);
}

// To nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
    const unsigned bits = __float_as_uint(value);
    if (value != value) return {0x7fff};
    return {(uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}

inline float __half2float(__half value) {
    const unsigned sign = (unsigned)(value.bits & 0x8000) << 16;
    const int exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | (unsigned)fraction << 13);
    const float size =
        exponent ? ldexpf((float)(1024 + fraction), exponent - 25) : ldexpf((float)fraction, -24);
    return sign ? -size : size;
}

// To nearest, ties to even.
inline __half __float2half_rn(float value) {
    const uint16_t sign = __float_as_uint(value) >> 16 & 0x8000;
    const float size = fabsf(value);
    if (size != size) return {0x7fff};
    if (size >= 65520.0f) return {(uint16_t)(sign | 0x7c00)};
    int exponent = size < ldexpf(1.0f, -14) ? -14 : ilogbf(size);
    const int fraction = (int)nearbyintf(ldexpf(size, 10 - exponent));
    // A fraction of 2048 carries over into the exponent by itself.
    const int bits = exponent == -14 && fraction < 1024
                         ? fraction
                         : ((exponent + 15) << 10) + (fraction - 1024);
    return {(uint16_t)(sign | bits)};
}
