//! Runs a kernel's source on this machine's processor, with the launch that a GPU would get.

use std::ffi::{c_char, c_int, c_uint, c_void};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Layout, Result, Storage};

use super::launch::{Argument, Launch};

unsafe extern "C" {
    fn trireme_emulate(
        name: *const c_char,
        grid: *const c_uint,
        threads: c_uint,
        arguments: *mut *mut c_void,
    ) -> c_int;
}

pub(super) fn run(
    launch: &Launch<'_>,
    out: &mut CpuStorage,
    layout: &Layout,
    grid: [u32; 3],
) -> Result<()> {
    let out = address(out, layout)?;
    let mut guards = Vec::new();
    let mut words = Vec::with_capacity(launch.arguments.len());
    for argument in launch.arguments {
        // A parameter lies at the start of its word.
        words.push(match argument {
            Argument::Out => out,
            Argument::In(tensor) => {
                let (storage, layout) = tensor.storage_and_layout();
                let Storage::Cpu(cpu) = &*storage else {
                    candle_core::bail!("{:?} reads another device's memory", launch.kernel);
                };
                let address = address(cpu, layout)?;
                guards.push(storage);
                address
            }
            Argument::Null => 0,
            Argument::Int(value) => *value as u64,
            Argument::Float(value) => u64::from(value.to_bits()),
        });
    }
    let mut pointers: Vec<*mut c_void> = words.iter_mut().map(|w| (w as *mut u64).cast()).collect();
    let (name, threads) = (launch.kernel.name(), launch.threads as u32);
    // SAFETY: the parameters are those of the kernel, which its own tests hold; the tensors live
    // and are locked until it returns.
    let failed =
        unsafe { trireme_emulate(name.as_ptr(), grid.as_ptr(), threads, pointers.as_mut_ptr()) };
    drop(guards);
    match failed {
        0 => Ok(()),
        1 => candle_core::bail!("{name:?} is not known to the emulator"),
        2 => candle_core::bail!("{name:?}: {grid:?} blocks of {threads} threads"),
        _ => candle_core::bail!("{name:?}: threads of a block wait for each other for ever"),
    }
}

fn address(storage: &CpuStorage, layout: &Layout) -> Result<u64> {
    if !layout.is_contiguous() {
        candle_core::bail!("a kernel's tensor has gaps");
    }
    let first = layout.start_offset();
    Ok(match storage {
        CpuStorage::F32(values) => values[first..].as_ptr() as u64,
        CpuStorage::F16(values) => values[first..].as_ptr() as u64,
        CpuStorage::BF16(values) => values[first..].as_ptr() as u64,
        CpuStorage::U32(values) => values[first..].as_ptr() as u64,
        CpuStorage::U8(values) => values[first..].as_ptr() as u64,
        other => candle_core::bail!("no kernel takes {:?}", other.dtype()),
    })
}
