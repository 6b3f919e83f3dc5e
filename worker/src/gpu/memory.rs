//! How much of a GPU's memory stages may take.

use super::found::Gpu;

/// Left on each GPU for what its libraries take as they run: kernels, workspaces, graphs.
const GPU_RESERVE_BYTES: u64 = 512 << 20;

/// `free_bytes`: as the opened device tells. Several GPUs in the host's memory (`sharing`) get
/// equal parts of what stages may take there (`host_bytes`).
pub(super) fn usable_bytes(
    gpu: &Gpu,
    free_bytes: Option<u64>,
    host_bytes: u64,
    sharing: usize,
) -> u64 {
    let free = match free_bytes.or(gpu.reading.free_bytes) {
        _ if gpu.has_unified_memory() => host_bytes / sharing.max(1) as u64,
        Some(free) => free,
        None => gpu.facts.memory_total_bytes,
    };
    free.saturating_sub(GPU_RESERVE_BYTES)
}

#[cfg(test)]
mod tests {
    use engine::gpu::GpuFacts;

    use super::super::readings::Reading;
    use super::*;

    const GIB: u64 = 1 << 30;

    fn gpu(integrated: bool, free_bytes: Option<u64>) -> Gpu {
        let facts = GpuFacts { integrated, memory_total_bytes: 24 * GIB, ..GpuFacts::default() };
        Gpu { facts, reading: Reading { free_bytes, ..Reading::default() } }
    }

    #[test]
    fn a_card_offers_what_is_free_on_it_less_a_reserve() {
        let card = gpu(false, Some(20 * GIB));
        assert_eq!(usable_bytes(&card, None, GIB, 1), 20 * GIB - GPU_RESERVE_BYTES);
        let opened = usable_bytes(&card, Some(19 * GIB), GIB, 1);
        assert_eq!(opened, 19 * GIB - GPU_RESERVE_BYTES, "its context is there by now");
        assert_eq!(usable_bytes(&gpu(false, None), None, GIB, 1), 24 * GIB - GPU_RESERVE_BYTES);
        assert_eq!(usable_bytes(&gpu(false, Some(1)), None, GIB, 1), 0);
    }

    #[test]
    fn gpus_in_the_hosts_memory_share_what_is_usable_there() {
        let integrated = gpu(true, Some(20 * GIB));
        assert_eq!(
            usable_bytes(&integrated, Some(20 * GIB), 8 * GIB, 1),
            8 * GIB - GPU_RESERVE_BYTES
        );
        assert_eq!(usable_bytes(&integrated, None, 8 * GIB, 2), 4 * GIB - GPU_RESERVE_BYTES);
    }
}
