#!/usr/bin/env bash
# Fuzzes the readers of model files, each for SECONDS seconds (600 unless told). Needs a C++
# compiler and `cargo install cargo-fuzz`.
#
#   fuzz/run.sh [SECONDS] [TARGET...]
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-600}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(gguf safetensors config tokenizer)
golden=../fixtures/golden
seed() {
    mkdir -p "corpus/$1"
    cp "${@:2}" "corpus/$1/"
}
# The stable compiler takes the flags that fuzzing needs.
export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
    case $target in
        gguf) seed gguf $golden/llama-gqa-rope-scaled.gguf $golden/gpt-oss.gguf ;;
        safetensors) seed safetensors $golden/llama-tied/model.safetensors ;;
        config) for folder in "$golden"/*/; do
            mkdir -p corpus/config
            cp "$folder/config.json" "corpus/config/$(basename "$folder").json"
        done ;;
        tokenizer) seed tokenizer $golden/llama-tied/tokenizer.json ;;
        *) echo "no target $target: gguf, safetensors, config, tokenizer" >&2; exit 2 ;;
    esac
    cargo fuzz run --sanitizer none "$target" -- \
        -max_total_time="$seconds" -max_len=600000 -timeout=20 -rss_limit_mb=4096
done
