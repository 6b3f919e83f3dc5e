//! Who a node is: cluster CA, node keys and certificates, join tokens, and their files on disk.

pub mod ca;
pub mod certificate;
pub mod durable_file;
pub mod error;
pub mod join_token;
pub mod node_key;
pub mod store;

pub use ca::{CaFingerprint, ClusterCa};
pub use certificate::PeerIdentity;
pub use error::IdentityError;
pub use join_token::{JoinSecret, JoinToken};
pub use node_key::NodeKey;
pub use store::{Identity, IdentityStore};
