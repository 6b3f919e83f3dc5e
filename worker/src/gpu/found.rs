//! Puts together what CUDA and NVML say of the same GPUs.

use engine::gpu::GpuFacts;

use super::readings::{Reading, Readings};

/// A GPU that CUDA shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gpu {
    pub(super) facts: GpuFacts,
    /// Empty where NVML tells nothing.
    pub(super) reading: Reading,
}

/// GPUs by CUDA's numbers, and those of the machine that CUDA does not show.
///
/// The two count in different orders: an identity says which is which.
pub(super) fn join(shown: Vec<GpuFacts>, readings: &Readings) -> (Vec<Gpu>, Vec<Reading>) {
    let is_shown = |reading: &&Reading| shown.iter().any(|facts| facts.uuid == reading.uuid);
    let hidden = readings.gpus.iter().filter(|reading| !is_shown(reading)).cloned().collect();
    let gpus = shown.into_iter().map(|facts| {
        let reading = readings.gpus.iter().find(|reading| reading.uuid == facts.uuid);
        Gpu { reading: reading.cloned().unwrap_or_default(), facts }
    });
    (gpus.collect(), hidden)
}

impl Gpu {
    /// Its memory is the host's: an integrated GPU, or one on a coherent link (as in NVIDIA's Grace
    /// parts) that has none of its own to tell of.
    pub(super) fn has_unified_memory(&self) -> bool {
        let own = self.reading.free_bytes.is_some();
        self.facts.integrated || (self.facts.uses_host_page_tables && !own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(ordinal: u32, uuid: &str) -> GpuFacts {
        GpuFacts { ordinal, uuid: uuid.to_owned(), ..GpuFacts::default() }
    }

    fn reading(uuid: &str, free_bytes: u64) -> Reading {
        let uuid = uuid.to_owned();
        Reading { uuid, free_bytes: Some(free_bytes), ..Reading::default() }
    }

    #[test]
    fn facts_meet_by_identity_whatever_the_order_and_the_rest_is_hidden() {
        let gpus = vec![reading("GPU-a", 1), reading("GPU-b", 2), reading("GPU-c", 3)];
        let readings = Readings { driver: "580".to_owned(), gpus };
        let (found, hidden) = join(vec![facts(0, "GPU-c"), facts(1, "GPU-a")], &readings);
        let free: Vec<_> = found.iter().map(|gpu| gpu.reading.free_bytes).collect();
        assert_eq!(free, [Some(3), Some(1)]);
        assert_eq!(hidden, [reading("GPU-b", 2)]);
    }

    #[test]
    fn gpus_are_found_without_nvml() {
        let (found, hidden) = join(vec![facts(0, "GPU-c")], &Readings::default());
        assert_eq!((found.len(), hidden.len()), (1, 0));
    }

    #[test]
    fn memory_is_the_hosts_where_a_gpu_is_integrated_or_has_none_of_its_own() {
        let gpu = |integrated, uses_host_page_tables, free_bytes| {
            let facts = GpuFacts { integrated, uses_host_page_tables, ..GpuFacts::default() };
            let reading = Reading { free_bytes, ..Reading::default() };
            Gpu { facts, reading }.has_unified_memory()
        };
        assert!(gpu(true, false, Some(1)), "a Jetson, whatever NVML says");
        assert!(gpu(false, true, None), "a Grace part with one memory");
        assert!(!gpu(false, true, Some(1)), "Grace Hopper: a GPU with memory of its own");
        assert!(!gpu(false, false, None), "a card without NVML");
    }
}
