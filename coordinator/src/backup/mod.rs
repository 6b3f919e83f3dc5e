//! Snapshots for people: the replicated state and the CA in one file, sealed to the recovery key.

mod file;
mod restoring;

pub use file::SnapshotHeader;
pub(crate) use file::seal;
pub use restoring::{RestoreOptions, Restored, restore};

#[cfg(test)]
mod tests;
