//! What a stage remembers of sequences between steps.

mod kv_pool;
mod slot_pool;

pub(crate) use kv_pool::KvPool;
pub(crate) use slot_pool::SlotPool;
pub use slot_pool::StateSnapshot;

/// All kinds of state beside each other.
pub(crate) struct SequenceState {
    pub(crate) pool: KvPool,
    pub(crate) slots: SlotPool,
}

/// Pages that are never written stay unbacked, so a large pool costs what is used of it.
fn zeroed<T: Clone>(count: usize, zero: T) -> Option<Vec<T>> {
    let mut probe: Vec<T> = Vec::new();
    probe.try_reserve_exact(count).ok()?;
    drop(probe);
    Some(vec![zero; count])
}
