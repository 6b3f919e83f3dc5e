// What sampling needs of a row of logits, so that the row itself stays on the device.
//
// Grid: a block per row. Block: whole warps. Shared: a few words per warp; a histogram of 256.
#include "reduce.cuh"

// Of [rows][vocabulary] logits, [rows][3]: whether any is not finite, the bits of the largest, and
// its lowest index.
extern "C" __global__ void best_token(const float* logits, unsigned* out, int vocabulary) {
    __shared__ float values[LANES];
    __shared__ int tokens[LANES];
    __shared__ int odd;
    if (threadIdx.x == 0) odd = 0;
    __syncthreads();
    logits += (size_t)blockIdx.x * vocabulary;
    float best = NONE;
    int token = 0x7fffffff;
    for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        const float logit = logits[i];
        if (!(fabsf(logit) <= 3.4028234663852886e38f)) odd = 1;
        if (logit > best) {
            best = logit;
            token = i;
        }
    }
    for (int offset = LANES / 2; offset > 0; offset /= 2) {
        const float other = __shfl_xor_sync(FULL_WARP, best, offset);
        const int other_token = __shfl_xor_sync(FULL_WARP, token, offset);
        if (other > best || (other == best && other_token < token)) {
            best = other;
            token = other_token;
        }
    }
    if (threadIdx.x % LANES == 0) {
        values[threadIdx.x / LANES] = best;
        tokens[threadIdx.x / LANES] = token;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int warp = 1; warp < (int)(blockDim.x / LANES); warp++) {
            if (values[warp] > best || (values[warp] == best && tokens[warp] < token)) {
                best = values[warp];
                token = tokens[warp];
            }
        }
        unsigned* row = out + 3 * (size_t)blockIdx.x;
        row[0] = odd;
        row[1] = __float_as_uint(best);
        row[2] = token;
    }
}

// Orders as the logit does, the lower index first among equals; all keys of a row differ.
__device__ __forceinline__ unsigned long long likelihood_key(float logit, int token) {
    const unsigned bits = __float_as_uint(logit);
    const unsigned ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (unsigned long long)ordered << 32 | (0xffffffffu - (unsigned)token);
}

// The `count` likeliest tokens of each row in no order, by radix selection over keys of 64 bits,
// eight at a time from the top. out is [rows][2][count]: tokens, and bits of their logits.
extern "C" __global__ void likeliest_tokens(
    const float* logits, unsigned* out, int vocabulary, int count) {
    __shared__ int histogram[256];
    __shared__ int wanted, filled;
    __shared__ unsigned long long prefix;
    logits += (size_t)blockIdx.x * vocabulary;
    if (threadIdx.x == 0) {
        wanted = count;
        filled = 0;
        prefix = 0;
    }
    for (int shift = 56; shift >= 0; shift -= 8) {
        __syncthreads();
        for (int i = threadIdx.x; i < 256; i += blockDim.x) histogram[i] = 0;
        __syncthreads();
        for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) {
            const unsigned long long key = likelihood_key(logits[i], i);
            if (shift == 56 || key >> (shift + 8) == prefix)
                atomicAdd(&histogram[(int)(key >> shift & 0xff)], 1);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int digit = 255;
            while (digit > 0 && histogram[digit] < wanted) wanted -= histogram[digit--];
            prefix = prefix << 8 | (unsigned)digit;
        }
    }
    __syncthreads();
    unsigned* tokens = out + 2 * (size_t)blockIdx.x * count;
    for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        if (likelihood_key(logits[i], i) >= prefix) {
            const int place = atomicAdd(&filled, 1);
            tokens[place] = i;
            tokens[count + place] = __float_as_uint(logits[i]);
        }
    }
}
