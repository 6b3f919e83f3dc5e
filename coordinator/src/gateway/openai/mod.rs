//! The OpenAI interface: what clients send, and the shapes that they expect back.

pub(super) mod chat_completions;
mod chat_shape;
mod completion_shape;
pub(super) mod completions;
mod fields;
mod identity;
mod later;
mod messages;
pub(super) mod models;
mod prompts;
pub(super) mod sampling_fields;
mod stream_fields;
