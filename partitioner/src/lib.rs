//! partitioner.
