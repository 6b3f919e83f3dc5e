// All kernels, one module.
#include "activate.cu"
#include "attention.cu"
#include "candidates.cu"
#include "rms_norm.cu"
#include "rotate.cu"
#include "store.cu"
