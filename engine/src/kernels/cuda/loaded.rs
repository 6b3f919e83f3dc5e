//! The kernels as functions of a CUDA device, looked up once. Not run on a GPU so far.

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg,
    SyncOnDrop,
};
use candle_core::cuda_backend::{CudaDevice, CudaStorage, CudaStorageSlice, WrapErr};
use candle_core::{Layout, Result, Storage};

use super::Kernel;
use super::launch::{Argument, Launch};

const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

pub(crate) struct LoadedKernels {
    device: CudaDevice,
    /// In the order of `Kernel::ALL`.
    functions: Vec<CudaFunction>,
}

impl LoadedKernels {
    /// The driver compiles them for the device, or finds them in its own cache.
    pub(crate) fn load(device: &CudaDevice) -> Result<Self> {
        let load = |kernel: &Kernel| {
            let name = kernel.name().to_string_lossy();
            device.get_or_load_custom_func(&name, "trireme", PTX).map(|f| f.into_cuda_function())
        };
        let functions = Kernel::ALL.iter().map(load).collect::<Result<_>>()?;
        Ok(Self { device: device.clone(), functions })
    }

    pub(super) fn run(
        &self,
        launch: &Launch<'_>,
        out: &mut CudaStorage,
        layout: &Layout,
        [x, y, z]: [u32; 3],
    ) -> Result<()> {
        let stream = self.device.cuda_stream();
        let function = &self.functions[launch.kernel as usize];
        let inputs: Vec<_> = launch.arguments.iter().map(locked).collect();
        // The guards tell the stream, when they go, what was read and written.
        let (out, _guard) = address_mut(out, layout, &stream)?;
        let mut guards = Vec::new();
        let mut words = Vec::with_capacity(launch.arguments.len());
        for (argument, input) in launch.arguments.iter().zip(&inputs) {
            words.push(match (argument, input) {
                (Argument::Out, _) => Word::Address(out),
                (Argument::In(tensor), Some(storage)) => {
                    let Storage::Cuda(cuda) = &**storage else {
                        candle_core::bail!("{:?} reads another device's memory", launch.kernel);
                    };
                    let (address, guard) = address(cuda, tensor.layout(), &stream)?;
                    guards.push(guard);
                    Word::Address(address)
                }
                (Argument::Int(value), _) => Word::Int(*value as i32),
                (Argument::Float(value), _) => Word::Float(*value),
                (Argument::Null | Argument::In(_), _) => Word::Address(0),
            });
        }
        let mut builder = stream.launch_builder(function);
        for word in &words {
            match word {
                Word::Address(address) => builder.arg(address),
                Word::Int(value) => builder.arg(value),
                Word::Float(value) => builder.arg(value),
            };
        }
        let block_dim = (launch.threads as u32, 1, 1);
        let config = LaunchConfig { grid_dim: (x, y, z), block_dim, shared_mem_bytes: 0 };
        // SAFETY: the parameters are those of the kernel, which the emulated tests hold; its
        // tensors are locked until it is queued, and the stream keeps the order of their uses.
        unsafe { builder.launch(config) }.w()?;
        Ok(())
    }
}

enum Word {
    Address(u64),
    Int(i32),
    Float(f32),
}

fn locked<'a>(argument: &Argument<'a>) -> Option<candle_core::StorageRef<'a>> {
    match argument {
        Argument::In(tensor) => Some(tensor.storage_and_layout().0),
        _ => None,
    }
}

fn address<'a>(
    storage: &'a CudaStorage,
    layout: &Layout,
    stream: &'a CudaStream,
) -> Result<(u64, SyncOnDrop<'a>)> {
    let first = layout.start_offset();
    Ok(match &storage.slice {
        CudaStorageSlice::F32(slice) => of(slice, first, stream),
        CudaStorageSlice::F16(slice) => of(slice, first, stream),
        CudaStorageSlice::BF16(slice) => of(slice, first, stream),
        CudaStorageSlice::U32(slice) => of(slice, first, stream),
        CudaStorageSlice::U8(slice) => of(slice, first, stream),
        _ => candle_core::bail!("no kernel takes tensors of this type"),
    })
}

fn address_mut<'a>(
    storage: &'a mut CudaStorage,
    layout: &Layout,
    stream: &'a CudaStream,
) -> Result<(u64, SyncOnDrop<'a>)> {
    if !layout.is_contiguous() {
        candle_core::bail!("a kernel's tensor has gaps");
    }
    let first = layout.start_offset();
    Ok(match &mut storage.slice {
        CudaStorageSlice::F32(slice) => of_mut(slice, first, stream),
        CudaStorageSlice::F16(slice) => of_mut(slice, first, stream),
        CudaStorageSlice::BF16(slice) => of_mut(slice, first, stream),
        CudaStorageSlice::U32(slice) => of_mut(slice, first, stream),
        CudaStorageSlice::U8(slice) => of_mut(slice, first, stream),
        _ => candle_core::bail!("no kernel writes tensors of this type"),
    })
}

fn of<'a, T>(
    slice: &'a CudaSlice<T>,
    first: usize,
    stream: &'a CudaStream,
) -> (u64, SyncOnDrop<'a>) {
    let (address, guard) = slice.device_ptr(stream);
    (address + (first * size_of::<T>()) as u64, guard)
}

fn of_mut<'a, T>(
    slice: &'a mut CudaSlice<T>,
    first: usize,
    stream: &'a CudaStream,
) -> (u64, SyncOnDrop<'a>) {
    let (address, guard) = slice.device_ptr_mut(stream);
    (address + (first * size_of::<T>()) as u64, guard)
}
