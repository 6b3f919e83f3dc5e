#!/usr/bin/env bash
# Everything that needs a GPU, in one run: the engine's tests on CUDA, then decoding, prompts,
# batches and pipelines of processes, beside PyTorch and llama.cpp. Prints one report in Markdown.
#
#   benches/gpu/run.sh [--program FOLDER] [--out FILE] [--shapes LIST] [--peers]
#
# --program  what build.sh FOLDER tests has built; without it, that is done first (target/cuda)
# --out      where the report is kept too (default: gpu-figures.md in FOLDER)
# --shapes   default: llama3.1-8b, and llama3.1-70b where it fits; weights are made as they are
#            loaded, no file holds them
# --peers    installs PyTorch and builds llama.cpp with CUDA (needs nvcc and cmake) in FOLDER
#
# Ends with `status: PASSED` (0), `status: FAILED` (1) or `status: SKIPPED` (77: no GPU here).
set -uo pipefail
cd "$(dirname "$0")/../.."
folder=target/cuda program= out= shapes= peers=
while [ $# -gt 0 ]; do
    case $1 in
        --program) program=$2; folder=$2; shift ;;
        --out) out=$2; shift ;;
        --shapes) shapes=$2; shift ;;
        --peers) peers=yes ;;
        *) sed -n '2,15s/^# \?//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
folder=$(realpath -m "$folder")
mkdir -p "$folder"
out=${out:-$folder/gpu-figures.md}
exec > >(tee "$out") 2>&1
failed=

say() { printf '%s\n' "$*"; }
section() { printf '\n## %s\n\n' "$*"; }
skip() { say "SKIPPED: $*"; }
# Runs a check; a failure is remembered, and the rest goes on.
check() { "$@" || { say "FAILED ($?): $*"; failed=yes; }; }

machine() {
    section "Machine and versions"
    say "- $(date -u +%Y-%m-%dT%H:%MZ), $(git log -1 --format='commit %h' 2>/dev/null)"
    say "- $(uname -srm); $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)," \
        "$(nproc) cores, $(free -g | awk '/^Mem/ {print $2}') GiB"
    say "- $(rustc --version)"
    if command -v nvidia-smi >/dev/null; then
        nvidia-smi --query-gpu=index,name,driver_version,memory.total,power.limit,pcie.link.gen.max,pcie.link.width.max \
            --format=csv,noheader | sed 's/^/- GPU /'
    else
        say "- no nvidia-smi: the NVIDIA driver is not installed"
    fi
    say "- CUDA_VISIBLE_DEVICES ${CUDA_VISIBLE_DEVICES-is not set}"
}

skipped() {
    section "What was not run"
    skip "golden and equivalence tests on CUDA"
    skip "NCCL in a group of one and of two ranks"
    skip "decode, prompt and batch of ${shapes:-llama3.1-8b and llama3.1-70b}"
    skip "pipelines of 1, 2 and 4 processes on one GPU"
    skip "workers that share one GPU, through the endpoint"
    skip "PyTorch and llama.cpp on the same shapes"
    say
    say "status: SKIPPED (no GPU: nothing was measured)"
}

gpu_tests() {
    section "Tests on CUDA"
    local tests
    # The integration tests, then the library's own.
    tests=$(find "$build/deps" -maxdepth 1 -name 'engine-*' -type f -executable -printf '%T@ %p\n' |
        sort -rn | head -2 | cut -d' ' -f2)
    if [ -z "$tests" ]; then
        skip "no test program in $build: build.sh FOLDER tests makes it"
        return
    fi
    say '```'
    for test in $tests; do
        check on_cuda "$test"
    done
    say '```'
}

on_cuda() {
    (cd engine && "$1" --nocapture on_device nccl cuda) |
        grep -E '^test |SKIPPED|FAILED|panicked|test result'
}

# Whether the first GPU has that many MiB free.
fits() {
    local needed=$1 free
    free=$(nvidia-smi --query-gpu=memory.free --format=csv,noheader,nounits | head -1)
    [ "${free:-0}" -gt "$needed" ]
}

figures() {
    local shape
    for shape in ${shapes//,/ }; do
        section "$shape"
        check "$build/gpu" --device cuda:0 --shape "$shape"
    done
}

# Real workers on one GPU: QUIC between them, the endpoint in front.
through_the_endpoint() {
    section "Workers that share the GPU, through the endpoint"
    local count
    say '```'
    for count in 1 2 4; do
        say "$count workers:"
        check timeout 300 "$build/trireme" up --nodes "$count" --stages "$count" \
            --devices cuda:0=2GiB --once "Name three colours."
    done
    say '```'
}

pytorch() {
    section "PyTorch"
    local python=$folder/peers/bin/python
    [ -n "$peers" ] || { skip "not asked for (--peers)"; return; }
    [ -x "$python" ] || python3 -m venv "$folder/peers" || { skip "no venv"; return; }
    "$python" -c 'import torch' 2>/dev/null || "$python" -m pip install --quiet torch numpy ||
        { skip "PyTorch does not install"; return; }
    check "$python" benches/peers/time_torch.py
}

llama_cpp() {
    section "llama.cpp"
    local python=$folder/peers/bin/python model=$folder/llama3.1-8b.gguf
    [ -n "$peers" ] || { skip "not asked for (--peers)"; return; }
    command -v nvcc >/dev/null || { skip "no nvcc: llama.cpp does not build with CUDA"; return; }
    "$python" -c 'import llama_cpp' 2>/dev/null ||
        CMAKE_ARGS="-DGGML_CUDA=ON" "$python" -m pip install --quiet llama-cpp-python \
            --no-binary llama-cpp-python || { skip "llama-cpp-python does not build"; return; }
    # llama.cpp needs a file: 5 GB.
    [ -s "$model" ] || cargo run --quiet --release -p benches --bin random_model -- \
        llama3.1-8b q4_k_m "$model" || { skip "no file of random weights"; return; }
    printf 'prefill 512\nprefill 512\ndecode 64 512\ndecode 64 512\n' |
        "$python" benches/peers/time_llama_cpp.py "$model" "$(nproc)" 1024 999 |
        awk '/^ready/ {print "llama-cpp-python " $2; next}
             {n++; if (n == 2) printf "prompt of 512: %.0f tokens/s\n", 512 / $1
                   if (n == 4) printf "decode, 1 sequence after 512: %.1f tokens/s\n", 64 / $1}'
}

say "# Figures on a GPU"
machine
if ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
    skipped
    exit 77
fi
if [ -z "$program" ] && ! benches/gpu/build.sh "$folder" tests > "$folder/build.log" 2>&1; then
    tail -20 "$folder/build.log"
    say "status: FAILED (the build)"
    exit 1
fi
build=$folder/build/release
say "- $("$build/trireme" version)"
if [ -z "$shapes" ]; then
    shapes=llama3.1-8b
    fits 48000 && shapes+=,llama3.1-70b || skip "llama3.1-70b: it takes 45 GiB of one GPU"
fi
gpu_tests
figures
through_the_endpoint
pytorch
llama_cpp
say
if [ -n "$failed" ]; then
    say "status: FAILED (see above)"
    exit 1
fi
say "status: PASSED"
