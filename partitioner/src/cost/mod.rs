//! What a stage and a hop cost in seconds and bytes.

pub(crate) mod link;
pub(crate) mod memory;
pub(crate) mod roofline;
