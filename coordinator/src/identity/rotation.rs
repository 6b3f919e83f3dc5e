//! The next CA: made here, given to every coordinator, then made known through the log, which
//! never holds its key.

use protocol::control::ShareCa;
use protocol::identity::{ClusterCa, IdentityError};
use protocol::transport::NodeTls;

use super::authority::{Authority, shared};
use super::service;
use crate::raft::Consensus;
use crate::state::{Change, IdentityChange};

#[derive(Debug, thiserror::Error)]
pub(crate) enum RotationError {
    #[error("every coordinator must take the new CA first, and not all did: {reasons}")]
    NotTaken { reasons: String },
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// The change that, once it is in the log, lets a new CA sign; what the old one signed stays good.
/// Every coordinator holds its key by then.
pub(crate) async fn next_ca(
    authority: &Authority,
    consensus: &Consensus,
    tls: &NodeTls,
) -> Result<Change, RotationError> {
    let old = authority.signing();
    let new = ClusterCa::create(old.cluster())?;
    let (fingerprint, vouched_pem) = (new.fingerprint(), new.vouched_for_by(&old)?);
    authority.keep(&new)?;
    let message = ShareCa { ca: fingerprint, given: Some(shared(&new)) };
    let state = consensus.state();
    let others = state.coordinators().into_iter().filter(|c| c.node != consensus.own());
    let giving = others.map(|to| {
        let message = &message;
        async move {
            let name = to.node.short();
            service::ask(tls, &to, message).await.err().map(|why| format!("{name}: {why}"))
        }
    });
    let given = futures::future::join_all(giving).await;
    let refused: Vec<_> = given.into_iter().flatten().collect();
    if !refused.is_empty() {
        authority.forget(fingerprint)?;
        return Err(RotationError::NotTaken { reasons: refused.join("; ") });
    }
    let ca_pem = new.certificate_pem().to_owned();
    Ok(Change::Identity(IdentityChange::RotateCa { ca_pem, vouched_pem }))
}
