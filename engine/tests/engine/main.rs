//! What the engine promises: the reference's logits, and bits that no batch, chunk or cut changes.

mod allocations;
mod bad_batches;
mod golden_logits;
mod kv_types;
#[cfg(feature = "candle")]
mod on_device;
mod packed_cache;
mod paged_state;
mod quantised_folders;
mod quantised_logits;
mod random_model;
mod recurrent_state;
mod reused_keys;
mod row_invariance;
mod running;
mod small_specs;
mod split_equivalence;
mod tensor_shares;
mod told_memory;
