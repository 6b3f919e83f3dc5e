//! What a stage, a hop and an exchange cost in seconds and bytes.

pub(crate) mod exchange;
pub(crate) mod link;
pub(crate) mod memory;
pub(crate) mod roofline;
