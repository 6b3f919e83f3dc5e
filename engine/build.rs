//! Compiles the CUDA kernels: to PTX for the feature `cuda`; without it, for tests on candle's CPU
//! device, with the host's compiler.

#![allow(clippy::print_stdout, reason = "that is how a build script speaks")]
#![allow(clippy::disallowed_methods, reason = "that is how it is spoken to")]

use std::path::Path;
use std::process::Command;

const KERNELS: &str = "src/kernels/cuda";

fn main() {
    println!("cargo::rerun-if-changed={KERNELS}");
    println!("cargo::rustc-check-cfg=cfg(emulated_kernels)");
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    let has = |feature: &str| std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    if has("CUDA") {
        compile_for_gpus(Path::new(&out));
    } else if has("CANDLE") {
        compile_for_host(Path::new(&out));
    }
}

/// PTX for compute capability 8.0, which drivers compile for any later one.
fn compile_for_gpus(out: &Path) {
    for name in ["NVCC", "CUDA_HOME", "PATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let home = || std::env::var("CUDA_HOME").map(|home| format!("{home}/bin/nvcc"));
    let nvcc = std::env::var("NVCC").or_else(|_| home()).unwrap_or_else(|_| "nvcc".to_owned());
    let mut command = Command::new(&nvcc);
    // Flags that are meant for candle's kernels.
    command.env_remove("NVCC_APPEND_FLAGS");
    command.args(["--ptx", "-arch=compute_80", "-O3", "--std=c++17", "-o"]);
    command.arg(out.join("kernels.ptx")).arg(format!("{KERNELS}/sources/kernels.cu"));
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{nvcc} did not compile the kernels: {status}"),
        Err(error) => panic!("the feature `cuda` needs nvcc, {nvcc} does not start: {error}"),
    }
}

/// A machine without a C++ compiler has no emulated kernels: their tests say so.
fn compile_for_host(out: &Path) {
    println!("cargo::rerun-if-env-changed=CXX");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let (object, library) = (out.join("emulator.o"), out.join("libtrireme_emulator.a"));
    let mut compile = Command::new(&compiler);
    compile.args(["-std=c++17", "-O2", "-fPIC", "-fno-exceptions", "-fno-rtti"]);
    // Fibers leave by longjmp, which the fortified one takes for an error. Without the machine's
    // own instructions a fused multiply-add is a function call.
    compile.args(["-U_FORTIFY_SOURCE", "-Wno-unknown-pragmas", "-march=native"]);
    compile.arg("-I").arg(format!("{KERNELS}/emulator"));
    compile.arg("-c").arg(format!("{KERNELS}/emulator/emulator.cpp")).arg("-o").arg(&object);
    let mut archive = Command::new("ar");
    archive.arg("rcs").arg(&library).arg(&object);
    for command in [&mut compile, &mut archive] {
        match command.status() {
            Ok(status) if status.success() => {}
            failed => {
                println!("cargo::warning=kernels are not emulated: {command:?}: {failed:?}");
                return;
            }
        }
    }
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static=trireme_emulator");
    println!("cargo::rustc-cfg=emulated_kernels");
}
