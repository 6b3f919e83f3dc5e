// Attention of query heads over paged keys and values, read through block tables.
//
// Positions come in spans of 128 with absolute borders. A block computes the softmax of some
// queries over one span; a second pass merges a row's spans in order ("Online normalizer
// calculation for softmax", Milakov and Gimelshein, arXiv 1805.02867; the split over positions is
// that of Flash-Decoding, Dao et al. 2023). Decoding and prefill are the same pass: what a row
// yields depends on its query, its position and its pages, never on the rows beside it.
#include "element.cuh"
#include "reduce.cuh"

enum { SPAN = 128, QUERIES = 8, CHUNK = 32 };

// The first position that the row at `own` sees.
__device__ __forceinline__ int first_seen(int own, int window) {
    return window > 0 && own >= window ? own + 1 - window : 0;
}

// One span of one tile.
//
// Grid: tiles x (KV heads x head tiles) x spans. A tile is `[first row, rows, position of the first
// row, sequence]`, rows of one sequence in order; rows times `head_tile` are at most QUERIES.
// Block: SPAN threads; each has a position for the scores, then a dimension of the values. Shared:
// 23 KiB, a chunk of the span's keys and the weights.
//
// query is [rows][heads][key_dim], tables [sequences][table_stride], partial
// [rows][heads][spans][value_dim + 2]: weighted sums, the largest score, the sum of the weights.
// Rows count from `base_row` there. Pages have `key_width` and `value_width` values per position;
// without pages of values these are the beginnings of the keys (latent attention).
template <typename E>
__device__ __forceinline__ void attend_span(
    const float* query, const void* keys, const void* values, const unsigned* tables,
    const unsigned* tiles, float* partial, int heads, int kv_heads, int head_tile, int key_dim,
    int value_dim, int key_width, int value_width, int table_stride, int block_size, int window,
    int base_row, float scale, float cap) {
    __shared__ float key_chunk[SPAN][CHUNK + 1];
    __shared__ float query_chunk[QUERIES][CHUNK];
    __shared__ float weights[QUERIES][SPAN];
    __shared__ unsigned slots[SPAN];
    const int thread = threadIdx.x;
    const unsigned* tile = tiles + 4 * (size_t)blockIdx.x;
    const int first_row = tile[0], rows = tile[1], position = tile[2], last = position + rows - 1;
    const int group = heads / kv_heads, group_tiles = (group + head_tile - 1) / head_tile;
    const int kv_head = blockIdx.y / group_tiles;
    const int head_in_group = blockIdx.y % group_tiles * head_tile;
    const int first_head = kv_head * group + head_in_group;
    const int tile_heads = min(head_tile, group - head_in_group);
    const int count = rows * tile_heads;
    const int start = first_seen(position, window);
    const int span = start / SPAN + blockIdx.z;
    const int first = span * SPAN;
    if (first > last) return;

    const int at = first + thread;
    const bool held = at >= start && at <= last;
    const unsigned* table = tables + (size_t)tile[3] * table_stride;
    slots[thread] = held ? table[at / block_size] * block_size + at % block_size : 0xffffffffu;

    float scores[QUERIES];
#pragma unroll
    for (int q = 0; q < QUERIES; q++) scores[q] = 0.0f;
    for (int chunk = 0; chunk < key_dim; chunk += CHUNK) {
        __syncthreads();
        for (int i = thread; i < SPAN * CHUNK; i += SPAN) {
            const int p = i / CHUNK, d = chunk + i % CHUNK;
            const unsigned slot = slots[p];
            const bool there = slot != 0xffffffffu && d < key_dim;
            key_chunk[p][i % CHUNK] =
                there ? E::value(keys, slot, key_width, kv_head * key_dim + d) : 0.0f;
        }
        for (int i = thread; i < QUERIES * CHUNK; i += SPAN) {
            const int q = i / CHUNK, d = chunk + i % CHUNK;
            float x = 0.0f;
            if (q < count && d < key_dim) {
                const size_t row = first_row + q / tile_heads, head = first_head + q % tile_heads;
                x = query[(row * heads + head) * key_dim + d];
            }
            query_chunk[q][i % CHUNK] = x;
        }
        __syncthreads();
        for (int d = 0; d < CHUNK; d++) {
            const float key = key_chunk[thread][d];
#pragma unroll
            for (int q = 0; q < QUERIES; q++) scores[q] = fmaf(query_chunk[q][d], key, scores[q]);
        }
    }
#pragma unroll
    for (int q = 0; q < QUERIES; q++) {
        const int own = position + q / tile_heads;
        float score = scores[q] * scale;
        if (cap > 0.0f) score = cap * tanhf(score / cap);
        const bool seen = q < count && at <= own && at >= first_seen(own, window);
        weights[q][thread] = seen ? score : NONE;
    }
    __syncthreads();

    // A warp turns a query's scores into weights.
    for (int q = thread / LANES; q < count; q += SPAN / LANES) {
        const int lane = thread % LANES;
        float largest = NONE, total = 0.0f;
        for (int p = lane; p < SPAN; p += LANES) largest = fmaxf(largest, weights[q][p]);
        largest = warp_max(largest);
        for (int p = lane; p < SPAN; p += LANES) {
            const float score = weights[q][p];
            const float weight = score == NONE ? 0.0f : expf(score - largest);
            weights[q][p] = weight;
            total += weight;
        }
        total = warp_sum(total);
        const int own = position + q / tile_heads;
        const int place = span - first_seen(own, window) / SPAN;
        if (lane == 0 && place >= 0 && first <= own) {
            const size_t row = first_row + q / tile_heads - base_row;
            const size_t head = first_head + q % tile_heads;
            float* out = partial + ((row * heads + head) * gridDim.z + place) * (value_dim + 2);
            out[value_dim] = largest;
            out[value_dim + 1] = total;
        }
    }
    __syncthreads();

    if (!values) values = keys;
    const int begin = max(start - first, 0), end = min(last - first + 1, (int)SPAN);
    for (int d = thread; d < value_dim; d += SPAN) {
        float sums[QUERIES];
#pragma unroll
        for (int q = 0; q < QUERIES; q++) sums[q] = 0.0f;
#pragma unroll 4
        for (int p = begin; p < end; p++) {
            const float value = E::value(values, slots[p], value_width, kv_head * value_dim + d);
#pragma unroll
            for (int q = 0; q < QUERIES; q++) sums[q] = fmaf(weights[q][p], value, sums[q]);
        }
#pragma unroll
        for (int q = 0; q < QUERIES; q++) {
            const int own = position + q / tile_heads;
            const int place = span - first_seen(own, window) / SPAN;
            if (q < count && place >= 0 && first <= own) {
                const size_t row = first_row + q / tile_heads - base_row;
                const size_t head = first_head + q % tile_heads;
                partial[((row * heads + head) * gridDim.z + place) * (value_dim + 2) + d] = sums[q];
            }
        }
    }
}

#define ATTEND(NAME, ELEMENT)                                                                      \
    extern "C" __global__ void NAME(                                                               \
        const float* query, const void* keys, const void* values, const unsigned* tables,          \
        const unsigned* tiles, float* partial, int heads, int kv_heads, int head_tile,             \
        int key_dim, int value_dim, int key_width, int value_width, int table_stride,              \
        int block_size, int window, int base_row, float scale, float cap) {                        \
        attend_span<ELEMENT>(                                                                      \
            query, keys, values, tables, tiles, partial, heads, kv_heads, head_tile, key_dim,      \
            value_dim, key_width, value_width, table_stride, block_size, window, base_row, scale,  \
            cap);                                                                                  \
    }

ATTEND(attend_f32, F32)
ATTEND(attend_f16, F16)
ATTEND(attend_bf16, Bf16)
ATTEND(attend_q8_0, Q8)

// Merges the spans of a row's head. A sink is a score that takes weight and gives no value
// (gpt-oss); sinks is [heads] or null.
//
// Grid: rows x heads. Block: threads stride over the dimensions. Shared: none.
//
// positions is [rows], counted from `base_row` as partial's are; out is [rows][heads][value_dim].
extern "C" __global__ void merge_spans(
    const float* partial, const unsigned* positions, const float* sinks, float* out, int spans,
    int value_dim, int window) {
    const int heads = gridDim.y, own = positions[blockIdx.x];
    const size_t head = (size_t)blockIdx.x * heads + blockIdx.y;
    const int count = own / SPAN - first_seen(own, window) / SPAN + 1;
    const float* parts = partial + head * spans * (value_dim + 2);
    float largest = sinks ? sinks[blockIdx.y] : NONE;
    for (int s = 0; s < count; s++)
        largest = fmaxf(largest, parts[(size_t)s * (value_dim + 2) + value_dim]);
    float total = sinks ? expf(sinks[blockIdx.y] - largest) : 0.0f;
    for (int s = 0; s < count; s++) {
        const float* part = parts + (size_t)s * (value_dim + 2);
        total = fmaf(part[value_dim + 1], expf(part[value_dim] - largest), total);
    }
    for (int d = threadIdx.x; d < value_dim; d += blockDim.x) {
        float sum = 0.0f;
        for (int s = 0; s < count; s++) {
            const float* part = parts + (size_t)s * (value_dim + 2);
            sum = fmaf(part[d], expf(part[value_dim] - largest), sum);
        }
        out[head * value_dim + d] = sum / total;
    }
}
