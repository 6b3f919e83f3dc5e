//! coordinator.
#![forbid(unsafe_code)]

pub mod gateway;
