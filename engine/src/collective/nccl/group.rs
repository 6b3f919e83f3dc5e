//! A group whose tensors are added up by NCCL, on the stream that computes them.

use std::time::Duration;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DevicePtrMut};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::super::{Collective, CollectiveError, Mesh};
use super::Joined;
use super::calls::Buffers;
use super::communicator::Communicator;
use super::setup::connect;
use crate::error::EngineError;
use crate::kernels::NcclLibrary;
use crate::stage::Device;

/// Between the first rank's start and a communicator on all; less than a step may take.
const PATIENCE: Duration = Duration::from_secs(10);

struct NcclGroup {
    mesh: Mesh,
    communicator: Communicator<NcclLibrary>,
}

pub(super) fn open(
    mut mesh: Mesh,
    device: &Device,
    interfaces: &[String],
) -> std::result::Result<Joined, CollectiveError> {
    let library = ready_on(device);
    if let Ok(library) = &library {
        library.prefer(interfaces);
    }
    let connected = connect(&mut mesh, library.as_ref().ok(), PATIENCE)?;
    Ok(match connected {
        Ok(communicator) => {
            Joined { group: Box::new(NcclGroup { mesh, communicator }), instead: None }
        }
        Err(why) => {
            let instead = Some(library.err().unwrap_or(why));
            Joined { group: Box::new(mesh), instead }
        }
    })
}

/// NCCL takes the GPU whose context the calling thread has.
fn ready_on(device: &Device) -> std::result::Result<std::sync::Arc<NcclLibrary>, String> {
    let library = NcclLibrary::of_process()?;
    let cuda = device.0.device.as_cuda_device().map_err(|error| error.to_string())?;
    let bound = cuda.cuda_stream().context().bind_to_thread();
    bound.map_err(|error| error.to_string())?;
    Ok(library)
}

impl Collective for NcclGroup {
    fn all_reduce(&mut self, values: &mut [f32]) -> std::result::Result<(), CollectiveError> {
        self.mesh.all_reduce(values)
    }

    fn gather(&mut self, own: &[f32], all: &mut [f32]) -> std::result::Result<(), CollectiveError> {
        self.mesh.gather(own, all)
    }

    fn all_reduce_tensor(&mut self, values: &Tensor) -> std::result::Result<Tensor, EngineError> {
        Ok(values.contiguous()?.apply_op1_no_bwd(&Sum(&self.communicator))?)
    }
}

/// f32 values, summed over all ranks.
struct Sum<'a>(&'a Communicator<NcclLibrary>);

impl CustomOp1 for Sum<'_> {
    fn name(&self) -> &'static str {
        "all-reduce over NCCL"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("NCCL adds up what is on GPUs")
    }

    fn cuda_fwd(&self, own: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (device, stream) = (own.device(), own.device().cuda_stream());
        let (start, count) = (layout.start_offset(), layout.shape().elem_count());
        let own = own.as_cuda_slice::<f32>()?.slice(start..start + count);
        let mut sums = device.alloc_zeros::<f32>(count)?;
        {
            // Both stay in order with what the stream does before and after.
            let (from, _read) = own.device_ptr(&stream);
            let (to, _written) = sums.device_ptr_mut(&stream);
            let stream = stream.cu_stream() as usize;
            let buffers = Buffers { from, to, values: count, stream };
            self.0.all_reduce(buffers).map_err(candle_core::Error::wrap)?;
        }
        Ok((CudaStorage::wrap_cuda_slice(sums, device.clone()), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::in_process_group;
    use super::super::{nccl_version, over_nccl};
    use super::*;
    use crate::stage::Place;

    /// As many ranks as there are GPUs, two at most: NCCL refuses two ranks on one.
    #[test]
    #[allow(clippy::print_stdout, reason = "a skipped GPU must be seen")]
    fn tensors_are_added_up_on_gpus_over_nccl() {
        let gpus: Vec<_> = (0..2).map_while(|index| Device::cuda(index).ok()).collect();
        if let (true, _) | (_, Err(_)) = (gpus.is_empty(), nccl_version()) {
            println!("SKIPPED: {} GPUs, NCCL {:?}", gpus.len(), nccl_version());
            return;
        }
        println!("{} ranks", gpus.len());
        let expected = (1..=gpus.len()).sum::<usize>() as f32;
        let group = in_process_group(gpus.len(), Duration::from_secs(60));
        std::thread::scope(|scope| {
            for (rank, (mesh, gpu)) in group.into_iter().zip(gpus).enumerate() {
                scope.spawn(move || {
                    let device = gpu.0.device.clone();
                    let place = Place::Device(gpu);
                    let joined = over_nccl(mesh, Some(&place), &[]).expect("whole");
                    assert_eq!(joined.instead, None);
                    let mut group = joined.group;
                    let own = vec![1.0 + rank as f32; 5000];
                    let own = Tensor::from_vec(own, 5000, &device).expect("placed");
                    for _ in 0..3 {
                        let sums = group.all_reduce_tensor(&own).expect("added up");
                        let sums = sums.to_vec1::<f32>().expect("read");
                        assert!(sums.iter().all(|sum| *sum == expected), "{sums:?}");
                    }
                });
            }
        });
    }
}
