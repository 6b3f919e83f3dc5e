//! coordinator.
#![forbid(unsafe_code)]

pub mod gateway;
pub mod text;
