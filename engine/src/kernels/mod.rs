//! Arithmetic loops under the layers; the CPU set is the reference and runs everywhere.

pub(crate) mod cpu;
