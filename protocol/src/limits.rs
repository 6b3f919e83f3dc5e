//! Upper bounds on what a peer may send; over a bound is a refusal, never memory.

/// Metadata of one frame (a step batch of many long block tables is the largest).
pub const FRAME_META_BYTES_MAX: u32 = 16 << 20;
/// Raw tensor or weight bytes of one frame.
pub const FRAME_BODY_BYTES_MAX: u32 = 64 << 20;
/// A manifest, tokenizer or template blob.
pub const BLOB_BYTES_MAX: u64 = 64 << 20;
/// Longest weight chunk; chunks are cut at tensor boundaries.
pub const CHUNK_BYTES_MAX: u64 = 4 << 20;
/// Tokens in one step batch over all its sequences.
pub const STEP_TOKENS_MAX: usize = 4096;
/// Sequences in one step batch.
pub const STEP_SEQUENCES_MAX: usize = 1024;
/// Alternatives reported beside a sampled token.
pub const TOP_LOGPROBS_MAX: u8 = 20;
