//! A node's agent: at the head of a replica, the scheduler that decides every step of its pipeline.
#![forbid(unsafe_code)]

pub mod scheduler;
