//! Packed weights of shards, kept in files that are mapped when the same shard is loaded again:
//! nothing is packed then, and nothing is copied.
//!
//! A folder holds a file per shard, named by a digest of what is in it: the model's weights (a
//! manifest's digest, or what tells the state of a user's files), the layers, the share, and the
//! version of the panels' layout. A file is written beside its place, synced and renamed, and never
//! changed after; one that is not as it was written is told, removed and made anew.

mod error;
mod file;
mod folder;
mod identity;
mod shard;
mod writing;

pub use error::PackedCacheError;
pub use folder::PackedCache;
pub use identity::{PackedIdentity, digest_of_files};
pub use shard::{CachedSource, PackedShard};
