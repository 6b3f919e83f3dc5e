//! What two processes of a bench need to meet as nodes of a cluster do.

use std::error::Error;

use protocol::control::Role;
use protocol::identity::{ClusterCa, Identity, NodeKey};
use protocol::transport::NodeTls;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// A node that the cluster of `ca` has signed.
pub fn node(ca: &ClusterCa) -> Result<NodeTls> {
    let key = NodeKey::generate()?;
    let signed = ca.sign_node(&key.signing_request()?, Role::Worker)?;
    let ca_pem = ca.certificate_pem().to_owned();
    Ok(NodeTls::new(&Identity::new(&key, signed.certificate_pem, ca_pem)?)?)
}
