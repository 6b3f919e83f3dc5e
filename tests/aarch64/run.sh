#!/usr/bin/env bash
# Runs the engine's tests for aarch64 on a machine of another kind, in QEMU's user mode.
#
#   tests/aarch64/run.sh [FILTER]
#
# Needs Rust's standard library for the target (`rustup target add aarch64-unknown-linux-gnu`) and
# Debian's packages gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user. The emulated CPU
# has dot products, so both kernel sets run and must agree; it says nothing about speed. All tests
# take an hour or two; `panels` and `golden` are minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=aarch64-unknown-linux-gnu
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/aarch64
cargo test -p engine --locked --target "$target" -- "$@"
