// The gated activations of feed-forwards (Shazeer, arXiv 2002.05202), as families have them.
//
// Grid and block: threads stride over all values. Shared: none.
#include "device.cuh"

enum { SILU = 0, GELU_TANH = 1, CLAMPED_SWIGLU = 2 };

// out = activation(gate) * up
extern "C" __global__ void activate(
    const float* gate, const float* up, float* out, int count, int kind, float alpha, float limit) {
    const size_t stride = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < (size_t)count; i += stride) {
        float x = gate[i], y = up[i];
        if (kind == SILU) {
            out[i] = x / (1.0f + expf(-x)) * y;
        } else if (kind == GELU_TANH) {
            const float inner = 0.7978845608028654f * x * (1.0f + 0.044715f * x * x);
            out[i] = 0.5f * x * (1.0f + tanhf(inner)) * y;
        } else {
            // Comparisons, not fminf: what is no number must show.
            if (x > limit) x = limit;
            if (y > limit) y = limit;
            if (y < -limit) y = -limit;
            out[i] = x / (1.0f + expf(-alpha * x)) * (y + 1.0f);
        }
    }
}
