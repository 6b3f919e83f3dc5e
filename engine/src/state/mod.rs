//! What a stage remembers of sequences between steps.

mod kv_pool;

pub(crate) use kv_pool::KvPool;
