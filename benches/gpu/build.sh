#!/usr/bin/env bash
# Builds `trireme` and the bench `gpu` with CUDA and NCCL on a machine that needs neither a GPU nor a
# CUDA toolkit.
#
#   benches/gpu/build.sh [FOLDER [tests]]
#
# `tests`: the engine's tests too, for a machine with a GPU; run.sh runs them.
# FOLDER (default: target/cuda) keeps the compiler, which comes from PyPI (105 MB), the patched
# candle and the build, so that a second run compiles only what changed. The result starts without
# NVIDIA's libraries and loads them where they are. Kernels are SASS for compute capability 8.0 to
# 8.9 and PTX for later ones.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(realpath -m "${1:-target/cuda}")
mkdir -p "$folder"

toolkit=$folder/toolkit
if [ ! -x "$toolkit/nvidia/cu13/bin/nvcc" ]; then
    python3 -m pip install --quiet --no-deps --target "$toolkit" \
        nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 \
        nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
fi
export CUDA_HOME=$toolkit/nvidia/cu13
mkdir -p "$folder/stubs"
ln -sf "$CUDA_HOME/lib/libcudart_static.a" "$folder/stubs/libcudart.a"
export PATH=$CUDA_HOME/bin:$PATH NVCC=$CUDA_HOME/bin/nvcc LIBRARY_PATH=$folder/stubs
export CUDA_COMPUTE_CAP=80 NVCC_APPEND_FLAGS=-gencode=arch=compute_80,code=compute_80
export CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-2}

# candle links to NVIDIA's libraries; one word makes it load them instead.
cargo fetch --locked
candle=$(cargo metadata --format-version 1 --locked --all-features |
    python3 -c 'import json,sys; print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "candle-core"))')
patched=$folder/candle-core
if [ ! -d "$patched" ]; then
    cp -r "$(dirname "$candle")" "$patched.new"
    chmod -R u+w "$patched.new"
    sed -i 's/"dynamic-linking"/"dynamic-loading"/' "$patched.new/Cargo.toml"
    rm -f "$patched.new/Cargo.lock"
    mv "$patched.new" "$patched"
fi

# The lock file is that of the unpatched candle.
cp Cargo.lock "$folder/Cargo.lock.kept"
trap 'cp "$folder/Cargo.lock.kept" Cargo.lock' EXIT
export CARGO_TARGET_DIR=$folder/build
patch=(--config "patch.crates-io.candle-core.path=\"$patched\"")
cargo build --release -p cli -p benches --bin trireme --bin gpu \
    --features cli/cuda-loading,cli/nccl,benches/cuda-loading,benches/nccl "${patch[@]}"
if [ "${2:-}" = tests ]; then
    cargo test --release --no-run -p engine --features cuda-loading,nccl "${patch[@]}"
fi

program=$folder/build/release/trireme
echo "built $program"
if ldd "$program" | grep -E 'libcuda|libcublas|libcurand|libnvrtc|libnccl|libnvidia'; then
    echo "it must not need NVIDIA's libraries to start" >&2
    exit 1
fi
"$program" version
