//! Who a node is: cluster CA, node keys and certificates, join tokens, and their files on disk.

pub mod ca;
mod ca_files;
pub mod certificate;
pub mod durable_file;
pub mod error;
pub mod join_token;
pub mod node_key;
pub mod recovery_key;
pub mod sealed;
pub mod store;

pub use ca::{CaFingerprint, ClusterCa};
pub use certificate::{CertificateFacts, PeerIdentity};
pub use error::IdentityError;
pub use join_token::{JoinSecret, JoinToken};
pub use node_key::NodeKey;
pub use recovery_key::RecoveryKey;
pub use sealed::{SealingPublic, SealingSecret};
pub use store::{Identity, IdentityStore};
