//! How much memory stages may take, and how much the process takes now.

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

use crate::config::PROCESS_RESERVE_BYTES;

/// Left to the rest of the machine where no limit was given.
const MACHINE_RESERVE_BYTES: u64 = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total_bytes: u64,
    pub(super) usable_bytes: u64,
}

pub(super) fn measure(limit: Option<u64>) -> Memory {
    let refresh = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
    match System::new_with_specifics(refresh) {
        Ok(system) => usable(system.total_memory(), system.available_memory(), limit),
        Err(error) => {
            tracing::warn!(%error, "free memory cannot be measured, the limit alone counts");
            let limit = limit.unwrap_or(0);
            Memory { total_bytes: limit, usable_bytes: limit.saturating_sub(PROCESS_RESERVE_BYTES) }
        }
    }
}

/// The least of what is free and what the operator allows, less what the process itself needs.
fn usable(total_bytes: u64, available_bytes: u64, limit: Option<u64>) -> Memory {
    let free = available_bytes.saturating_sub(MACHINE_RESERVE_BYTES);
    let allowed = limit.map_or(free, |limit| limit.min(free));
    Memory { total_bytes, usable_bytes: allowed.saturating_sub(PROCESS_RESERVE_BYTES) }
}

/// Watches the resident bytes of this process, mapped pages included.
pub(crate) struct OwnMemory {
    system: Option<System>,
}

impl OwnMemory {
    pub(crate) fn new() -> Self {
        Self { system: System::new().ok() }
    }

    /// 0 where the system does not tell.
    pub(crate) fn resident_bytes(&mut self) -> u64 {
        let (Some(system), Ok(own)) = (&mut self.system, sysinfo::get_current_pid()) else {
            return 0;
        };
        let refresh = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, refresh);
        system.process(own).map_or(0, sysinfo::Process::memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_memory_limit_caps_what_stages_may_take_and_leaves_the_process_its_part() {
        let limited = usable(64 * GIB, 32 * GIB, Some(560 << 20));
        assert_eq!(limited.usable_bytes, (560 << 20) - PROCESS_RESERVE_BYTES);
        let generous = usable(64 * GIB, 2 * GIB, Some(32 * GIB));
        assert_eq!(generous, usable(64 * GIB, 2 * GIB, None), "never more than there is");
        assert_eq!(usable(GIB, 1 << 20, None).usable_bytes, 0);
    }

    #[test]
    fn the_process_knows_its_own_size() {
        let size = OwnMemory::new().resident_bytes();
        assert!(size > 1 << 20, "{size} bytes");
    }
}
