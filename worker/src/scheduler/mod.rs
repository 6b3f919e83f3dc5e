//! Continuous batching at the head of a replica: which rows run next, and where their state lives.

mod action;
mod config;
mod event;

pub use action::Action;
pub use config::{STEP_TARGET, SchedulerConfig};
pub use event::{Event, StreamKey};
